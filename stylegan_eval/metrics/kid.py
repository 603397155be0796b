"""Kernel Inception Distance."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.device import strict_float32
from stylegan_eval.engine.sampling import Stream, random_stream
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.mmd_variance import FEWEST, Across, MmdVariance, Within, mmd_variance
from stylegan_eval.metrics.naming import Value, error_details, inception_name
from stylegan_eval.results.paired import projected
from stylegan_eval.settings.image_metrics import KidSettings, subset_size_for

# Relative spread of a kernel of float32 features that cannot be told from none.
_ROUNDING = 1e-6


class KernelDistance(NamedTuple):
    """An estimate over random subsets; unbiased, so slightly negative values are possible."""

    mean: float  # The distance
    std: float  # Standard deviation of the subsets' values, as papers and peers print it
    stderr: float | None  # Of the mean: generated images and subsets redrawn, real images fixed
    stderr_redrawn: float | None  # With the real images redrawn as well
    projected: str  # How the real images move the mean, see `results.paired`; "" without errors
    # Both errors are None with subsets of 3 images or fewer, and where features have no spread.


def _kernels(x: Tensor, y: Tensor) -> list[Tensor]:
    """Kernel (x.y / D + 1)^3, float64 [m, m]: within x [m, D], within y and across."""
    dim = x.shape[1]
    with strict_float32(x.device.type):
        pairs = ((x, x), (y, y), (x, y))
        return [(a @ b.T).double().div_(dim).add_(1).pow_(3) for a, b in pairs]


def _mmd2(xx: Tensor, yy: Tensor, xy: Tensor) -> float:
    """Unbiased: mean over pairs of different vectors within x and y, less twice that across."""
    m = len(xy)
    within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
    return float(within / (m * (m - 1)) - 2 * xy.sum() / m**2)


def _variance(xx: Tensor, yy: Tensor, xy: Tensor) -> tuple[MmdVariance, Tensor]:
    """Variances from the kernels of a subset, which are overwritten, and IF of its real images."""
    middle = xy.mean()
    for kernel in (xx, yy, xy):
        kernel -= middle
    fakes, reals = (
        Within(rows=kernel.sum(dim=1), squares=float(kernel.square().sum()))
        for kernel in (xx.fill_diagonal_(0), yy.fill_diagonal_(0))
    )
    across = Across(rows=xy.sum(dim=1), columns=xy.sum(dim=0), squares=float(xy.square().sum()))
    variance = mmd_variance(fakes, reals, across)
    if max(variance) <= (_ROUNDING * float(middle)) ** 2:
        variance = MmdVariance(*[0.0] * 5)
    return variance, 2 * (reals.rows / (len(yy) - 1) - across.columns / len(xx))


def random_subsets(
    counts: tuple[int, int], subsets: int, subset_size: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw numbers of images, without repetition within a subset, for both sides in turn."""
    if subset_size < 2 or subsets < 1:
        raise UserError(
            f"a kernel distance needs a subset of 2 images or more, got {subsets} subsets of"
            f" {subset_size}"
        )
    if min(counts) < subset_size:
        raise UserError(
            f"subsets of {subset_size} images need that many generated and real ones, there are"
            f" {counts[0]} and {counts[1]}: use --subset-size {subset_size_for(min(counts))}, or"
            " more images"
        )
    for _ in range(subsets):
        first, second = (rng.choice(count, subset_size, replace=False) for count in counts)
        yield first, second


def kernel_distance_of(
    fake: Tensor,
    real: Tensor,
    indices: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
    device: torch.device | None = None,
) -> KernelDistance:
    """Kernel distance over given subsets: pairs of numbers of fake and real images.

    `device`: where subsets are computed; by default where the features are.
    """
    values, variances, size = [], [], 0
    moves = np.zeros(len(real))  # sums of IF over the subsets
    for first, second in indices:
        x = fake[torch.from_numpy(first).to(fake.device)].to(device)
        y = real[torch.from_numpy(second).to(real.device)].to(device)
        kernels = _kernels(x, y)
        values.append(_mmd2(*kernels))
        size = len(first)
        if size >= FEWEST:
            of_subset, influence = _variance(*kernels)
            variances.append(of_subset)
            moves[second] += (influence - influence.mean()).cpu().numpy()
    # Estimates of what is near 0 may be negative; variances are not.
    means = np.maximum(np.mean(variances, axis=0), 0) if variances else None
    variance = None if means is None else MmdVariance(*means.tolist())
    counts = (len(fake), len(real))
    return KernelDistance(
        mean=float(np.mean(values)),
        std=float(np.std(values)),
        **_errors(variance, (size, size), counts, len(values)),
        projected=_projected(variance, moves, size, counts, len(values)),
    )


def _projected(
    variance: MmdVariance | None,
    moves: NDArray[np.float64],
    size: int,
    counts: tuple[int, int],
    subsets: int,
) -> str:
    """`moves` are sums of IF over subsets of this size."""
    if variance is None:
        return ""
    n, m = counts
    # Of the generated images of a subset, and of those that an image meets in several.
    noise = 4 * variance.cross * (m / (size**2 * subsets) + 1 / n)
    return projected(moves * (m / (size * subsets)), m, noise)


def _errors(
    variance: MmdVariance | None, subset: tuple[int, int], counts: tuple[int, int], subsets: int
) -> dict[str, float | None]:
    """Roots of the variances of the estimate from all pairs, and of the choice of subsets.

    All subsets would average to the estimate from all pairs. One of them varies as that of its
    number of images; what it varies more than that of all is due to which it is.
    """
    if variance is None:
        return {"stderr": None, "stderr_redrawn": None}
    choice = (variance.both(*subset) - variance.both(*counts)) / subsets
    of_all = {"stderr": variance.generated(*counts), "stderr_redrawn": variance.both(*counts)}
    return {name: math.sqrt(value + choice) or None for name, value in of_all.items()}


def kernel_distance(
    fake: Tensor,
    real: Tensor,
    *,
    rng: np.random.Generator,
    subsets: int = 100,
    subset_size: int = 1000,
) -> KernelDistance:
    """Kernel distance over random subsets.

    `fake`, `real`: features float32 or float64 [N, D], on one device.
    """
    counts = (len(fake), len(real))
    return kernel_distance_of(fake, real, random_subsets(counts, subsets, subset_size, rng))


def kid(settings: KidSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """Mean over random subsets, which the seed draws."""
    assert fake.vectors is not None
    assert real.vectors is not None
    rng = random_stream(settings.seed, 1, Stream.SUBSET)
    counts = (len(fake.vectors), len(real.vectors))
    distance = kernel_distance_of(
        # Where they lie, which may be a file: a subset at a time goes to the network's device.
        torch.from_numpy(fake.vectors),
        torch.from_numpy(real.vectors),
        random_subsets(counts, settings.subsets, settings.subset_size, rng),
        fake.detector.device,
    )
    value = Value(
        name=inception_name("kid", "kd", settings, fake.detector),
        value=distance.mean,
        stderr=distance.stderr,
        protocol={"subsets": f"{settings.subsets}x{settings.subset_size}"},
        details={
            "std": f"{distance.std:.4g}",
            **error_details(distance.stderr_redrawn, distance.projected),
        },
        notes=[] if distance.stderr else [_NO_ERROR],
    )
    return [value]


_NO_ERROR = f"no standard error: it takes subsets of {FEWEST} unlike images or more"
