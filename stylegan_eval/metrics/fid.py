"""FID and spatial FID, their standard errors and limits for infinitely many images."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.frechet import FrechetTo, Gaussian, Gradient
from stylegan_eval.metrics.naming import Value, error_details, full_name, inception_name
from stylegan_eval.results.paired import projected
from stylegan_eval.results.significance import known
from stylegan_eval.settings.image_metrics import FidSettings, SfidSettings

_FEWEST = 10  # groups that tell a standard error
# How far, at D / N of 1, the limit may be off relative to the step from a straight line to a
# parabola: 0.50 to 0.57 for equal eigenvalues, the worst spectrum, by Marchenko and Pastur's law.
_BEYOND_PARABOLA = 0.6


class Estimate(NamedTuple):
    """A distance and its limit for infinitely many generated images, with standard errors."""

    value: float
    stderr: float | None  # None with too few images or groups
    limit: float | None = None  # None with fewer images than 8 times the features
    limit_stderr: float | None = None
    of_reals: float | None = None
    """Variance that redrawn real images add to both errors; None if unknown."""
    projected: str = ""  # How the real images move the value, see `results.paired`

    def redrawn(self, stderr: float | None) -> float | None:
        """Standard error with the real images redrawn as well."""
        if stderr is None or self.of_reals is None:
            return None
        return math.sqrt(stderr**2 + self.of_reals)


def estimate(
    distance: FrechetTo,
    groups: Sequence[FeatureStats],
    sample: NDArray[np.floating] | None = None,
) -> Estimate:
    """Distance of the images of all groups; the real images count as fixed.

    The limit is that of a parabola in 1 / N through the distances of all images, of halves and of
    quarters; its error holds what the parabola may leave out.

    Parameters
    ----------
    groups : sequence of FeatureStats
        Disjoint parts of about equal size.
    sample : NDArray, optional
        Features [n, D] of real images chosen at random, by which the others are judged.
    """
    whole = reduce(add, groups)
    dim = len(whole.mean)
    if len(groups) < _FEWEST or whole.count <= dim:
        return Estimate(distance(whole), None)
    value, gradient = distance.with_gradient(whole, sample)
    of_whole = influence_variance(groups, whole, gradient)
    if whole.count // 2 <= dim:
        of_reals = _of_reals(gradient, distance.b, 0.0, whole.count)
        return Estimate(value, _root(of_whole / whole.count, value), None, None, *of_reals)
    halves = _parts(groups, 2)
    with_gradients = [distance.with_gradient(half, sample) for half, _ in halves]
    of_halves = [
        influence_variance(members, half, slope)
        for (half, members), (_, slope) in zip(halves, with_gradients, strict=True)
    ]
    x = [1 / whole.count, float(np.mean([1 / half.count for half, _ in halves]))]
    noise = (float(np.mean(of_halves)) - of_whole) / (x[1] - x[0]) * x[0]
    noise = min(max(noise, 0.0), of_whole)  # b / N
    stderr = _root((of_whole - noise / 2) / whole.count, value)
    # Of half the images each of the two has twice the noise.
    apart = with_gradients[0][1].of_b - with_gradients[1][1].of_b
    of_reals = _of_reals(gradient, distance.b, noise, whole.count, apart / 2)
    if whole.count < 8 * dim:
        return Estimate(value, stderr, None, None, *of_reals)
    quarters = [quarter for quarter, _ in _parts(groups, 4)]
    x.append(float(np.mean([1 / quarter.count for quarter in quarters])))
    of_sizes = ([value], [half for half, _ in with_gradients], [distance(q) for q in quarters])
    y = [float(np.mean(values)) for values in of_sizes]
    line, parabola = (float(np.polyfit(x, y, degree)[-1]) for degree in (1, 2))
    beyond = _BEYOND_PARABOLA * dim * x[0] * (parabola - line)
    limit_stderr = _root((of_whole + noise) / whole.count + beyond**2, value)
    return Estimate(value, stderr, parabola, limit_stderr, *of_reals)


def _of_reals(
    gradient: Gradient,
    real: Gaussian,
    noise: float,
    num: int,
    apart: NDArray[np.float64] | None = None,
) -> tuple[float | None, str]:
    """Variance of the distance from the choice of real images, and `projected`; or None and "".

    `noise`: what the noise of `num` generated images adds to the variance of IF(x), here to that of
    the real ones: it is in the error with these fixed. Of their own noise half counts. `apart`: as
    noisy as the influence of the real images.
    """
    if len(gradient.of_b) < 2 or real.count is None or real.count <= len(real.mean):
        return None, ""
    of_one = float(gradient.of_b.var(ddof=1))
    # Bounds: those of two equal distributions, where there is nothing but noise.
    of_fakes = min(noise, of_one * real.count / (num + real.count))
    of_one -= of_fakes
    of_reals = (of_one - min(noise * min(num / real.count, 1), of_one) / 2) / real.count
    own = 0.0 if apart is None else float(apart.var(ddof=1))
    return of_reals, projected(gradient.of_b, real.count, own)


def influence_variance(
    groups: Sequence[FeatureStats], whole: Gaussian, gradient: Gradient
) -> float:
    """Variance of IF(x) over images, from its means over groups.

    Parameters
    ----------
    groups : sequence of FeatureStats
        Disjoint parts of the images whose moments are `whole`.
    gradient : Gradient
        `FrechetTo.with_gradient` of `whole`; of real images, that of the distance to the generated.
    """
    counts = np.array([group.count for group in groups])
    means = np.array([_mean_influence(group, whole, gradient) for group in groups])
    shares = counts / counts.sum()
    means -= (shares * means).sum()
    of_mean = float(np.square(shares * means).sum()) * len(groups) / (len(groups) - 1)
    return of_mean * float(counts.sum())


def _mean_influence(group: FeatureStats, whole: Gaussian, gradient: Gradient) -> float:
    """Up to a constant."""
    shift = group.mean - whole.mean
    second = float((gradient.cov * group.scatter).sum()) / group.count
    return float(gradient.mean @ shift + shift @ gradient.cov @ shift) + second


def _root(variance: float, value: float) -> float | None:
    return known(math.sqrt(variance), value)


def _parts(groups: Sequence[FeatureStats], n: int) -> list[tuple[FeatureStats, list[FeatureStats]]]:
    """Merge the groups to n sets of neighbours: group g is in set g n // len(groups)."""
    members: list[list[FeatureStats]] = [[] for _ in range(n)]
    for number, group in enumerate(groups):
        members[number * n // len(groups)].append(group)
    return [(reduce(add, each), each) for each in members]


def fid(settings: FidSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """Distance with its standard error, and where images suffice its limit for infinitely many."""
    name = inception_name("fid", "fd", settings, fake.detector)
    return fid_values(name, fake, real)[: 1 if settings.floor else 2]


def sfid(settings: SfidSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """As `fid`, of Inception's features of 17x17 places.

    References
    ----------
    Nash et al., Generating Images with Sparse Representations, 2021.
    Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, 2021 (the evaluator "ADM").
    """
    name = full_name("sfid", settings, fake.detector, usual="inception-spatial")
    return fid_values(name, fake, real)[: 1 if settings.floor else 2]


def fid_of(fake: ImageFeatures, real: ImageFeatures) -> Estimate:
    """Estimate from images or, without an error, from statistics."""
    distance = FrechetTo(real.moments)
    if fake.stored is not None:
        return Estimate(distance(fake.stored), None)
    return estimate(distance, fake.blocks, real.sample)


def fid_values(name: str, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """Distance and, where there is one, limit, under this name."""
    result = fid_of(fake, real)
    errors = [
        (name, result.value, result.stderr),
        (f"{name}_inf", result.limit, result.limit_stderr),
    ]
    return [
        Value(
            name=name,
            value=value,
            stderr=stderr,
            details=details_of(result, stderr, fake),
            notes=[few_images_note(fake, real)],
        )
        for name, value, stderr in errors
        if value is not None
    ]


def details_of(result: Estimate, stderr: float | None, fake: ImageFeatures) -> dict[str, str]:
    """What a row says of a standard error of `result`, of which the images' groups tell it."""
    if not stderr:
        return {}
    return error_details(result.redrawn(stderr), result.projected, len(fake.blocks) - 1)


def few_images_note(fake: ImageFeatures, real: ImageFeatures) -> str:
    """Say where images do not span the features."""
    counts = [n for n in (fake.moments.count, real.moments.count) if n is not None]
    dim = len(real.moments.mean)
    if min(counts, default=dim + 1) > dim:
        return ""
    return (
        f"{min(counts)} images do not span {dim} features: the value is biased upwards and compares"
        f" only with values of {min(counts)} images"
    )
