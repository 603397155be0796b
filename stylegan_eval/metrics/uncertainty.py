"""Standard error and limit of the Fréchet distance, from the moments of groups of images.

To first order image x moves the distance by IF(x) / N, with (m_f, C_f) of the generated images,
(m_r, C_r) of the real ones and A the optimal transport map from C_f to C_r:

    IF(x) = 2 (m_f - m_r).(x - m_f) + tr (I - A)((x - m_f)(x - m_f)^T - C_f)

Its mean over a group follows from the group's moments, so the spread between groups gives its
variance. Where the distributions are alike IF vanishes, and what one sees of it is noise of m_f
and C_f themselves: v(N) = a + b / N. That noise counts with half its size in the distance and
twice in the limit, as that of any statistic of second order; b is known from halves of the images.

References
----------
Hampel: The Influence Curve and its Role in Robust Estimation, 1974.
Chong, Forsyth: Effectively Unbiased FID and Inception Score and where to find them, CVPR 2020.
Marchenko, Pastur: Distribution of Eigenvalues for some Sets of Random Matrices, 1967.
"""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from stylegan_eval.metrics.frechet import FrechetTo, Gaussian, Gradient
from stylegan_eval.noise import known
from stylegan_eval.statistics import FeatureStats

GROUPS = 20
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


def estimate(distance: FrechetTo, groups: Sequence[FeatureStats]) -> Estimate:
    """Distance of the images of all groups; the real images count as fixed.

    The limit is that of a parabola in 1 / N through the distances of all images, of halves and of
    quarters; its error holds what the parabola may leave out.

    Parameters
    ----------
    groups : sequence of FeatureStats
        Disjoint parts of about equal size.
    """
    whole = reduce(add, groups)
    dim = len(whole.mean)
    if len(groups) < _FEWEST or whole.count <= dim:
        return Estimate(distance(whole), None)
    value, gradient = distance.with_gradient(whole)
    of_whole = influence_variance(groups, whole, gradient)
    if whole.count // 2 <= dim:
        return Estimate(value, _root(of_whole / whole.count, value))
    halves = _parts(groups, 2)
    found = [distance.with_gradient(half) for half, _ in halves]
    of_halves = [
        influence_variance(members, half, slope)
        for (half, members), (_, slope) in zip(halves, found, strict=True)
    ]
    x = [1 / whole.count, float(np.mean([1 / half.count for half, _ in halves]))]
    noise = (float(np.mean(of_halves)) - of_whole) / (x[1] - x[0]) * x[0]
    noise = min(max(noise, 0.0), of_whole)  # b / N
    stderr = _root((of_whole - noise / 2) / whole.count, value)
    if whole.count < 8 * dim:
        return Estimate(value, stderr)
    quarters = [quarter for quarter, _ in _parts(groups, 4)]
    x.append(float(np.mean([1 / quarter.count for quarter in quarters])))
    of_sizes = ([value], [half for half, _ in found], [distance(q) for q in quarters])
    y = [float(np.mean(values)) for values in of_sizes]
    line, parabola = (float(np.polyfit(x, y, degree)[-1]) for degree in (1, 2))
    beyond = _BEYOND_PARABOLA * dim * x[0] * (parabola - line)
    limit_stderr = _root((of_whole + noise) / whole.count + beyond**2, value)
    return Estimate(value, stderr, parabola, limit_stderr)


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
