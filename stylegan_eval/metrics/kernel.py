"""Kernel distance: squared maximum mean discrepancy between features; KID with Inception's.

References
----------
Binkowski et al., Demystifying MMD GANs, 2018, Section 4.
Gretton et al., A Kernel Two-Sample Test, 2012, Lemma 6.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.precision import strict_float32


@dataclass(frozen=True, kw_only=True)
class KernelDistance:
    """Estimates over random subsets.

    Attributes
    ----------
    values : NDArray
        float64 [subsets]; unbiased, so slightly negative values are possible.
    subset_size : int
        Images of each side in a subset.
    count : int
        Images of the smaller side.
    """

    values: NDArray[np.float64]
    subset_size: int
    count: int

    @property
    def mean(self) -> float:
        """The distance."""
        return float(self.values.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the subsets' values, as papers and peers print it."""
        return float(self.values.std())

    @property
    def stderr(self) -> float:
        """Standard error of the mean for `count` independent images, about std sqrt(m / N).

        Subsets overlap: `count` images hold only N / m independent ones, however many are drawn.
        """
        return self.std * math.sqrt(self.subset_size / self.count)


def unbiased_mmd2(x: Tensor, y: Tensor) -> float:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3.

    Parameters
    ----------
    x, y : Tensor
        float32 or float64 [m, D], on one device.

    Returns
    -------
    float
        Mean over pairs of different vectors within x and within y, less twice that across.
    """
    m, dim = x.shape
    with strict_float32(x.device.type):
        pairs = ((x, x), (y, y), (x, y))
        xx, yy, xy = ((a @ b.T).double().div_(dim).add_(1).pow_(3) for a, b in pairs)
        within = xx.sum() - xx.trace() + yy.sum() - yy.trace()
        return float(within / (m * (m - 1)) - 2 * xy.sum() / m**2)


def random_subsets(
    counts: tuple[int, int], subsets: int, subset_size: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draw numbers of images, without repetition within a subset, for both sides in turn.

    Raises
    ------
    UserError
        One side has fewer images than a subset.
    """
    if subset_size < 2 or subsets < 1:
        raise UserError(
            f"a kernel distance needs a subset of 2 images or more, got {subsets} subsets of"
            f" {subset_size}"
        )
    if min(counts) < subset_size:
        raise UserError(
            f"subsets of {subset_size} images need that many generated and real ones, there are"
            f" {counts[0]} and {counts[1]}: use --subset-size {min(counts)} or more images"
        )
    for _ in range(subsets):
        first, second = (rng.choice(count, subset_size, replace=False) for count in counts)
        yield first, second


def kernel_distance_of(
    fake: Tensor, real: Tensor, indices: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> KernelDistance:
    """Kernel distance over given subsets: pairs of numbers of fake and real images."""
    values, size = [], 0
    for first, second in indices:
        x = fake[torch.from_numpy(first).to(fake.device)]
        y = real[torch.from_numpy(second).to(real.device)]
        values.append(unbiased_mmd2(x, y))
        size = len(first)
    count = min(len(fake), len(real))
    return KernelDistance(values=np.array(values), subset_size=size, count=count)


def kernel_distance(
    fake: Tensor,
    real: Tensor,
    *,
    rng: np.random.Generator,
    subsets: int = 100,
    subset_size: int = 1000,
) -> KernelDistance:
    """Kernel distance over random subsets.

    Parameters
    ----------
    fake, real : Tensor
        Features float32 or float64 [N, D], on one device.
    rng : np.random.Generator
        Draws the subsets; nothing else is random.
    subsets : int
        How many.
    subset_size : int
        Images of each side in one.

    Raises
    ------
    UserError
        Fewer images than a subset.
    """
    counts = (len(fake), len(real))
    return kernel_distance_of(fake, real, random_subsets(counts, subsets, subset_size, rng))
