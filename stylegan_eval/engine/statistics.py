"""Statistics of features that add: moments, and sums of class probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.sampling import on_device
from stylegan_eval.errors import UserError

_STRIP = 64
_ENOUGH = 10  # splits whose own spread tells the error of their mean
_PIECES = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureStats:
    """Count, mean and scatter of feature vectors; statistics of parts add up to the whole."""

    count: int  # Number of vectors N
    mean: NDArray[np.float64]  # float64 [D]
    scatter: NDArray[np.float64]  # float64 [D, D]: sum of (x - mean)(x - mean)^T
    detector: str  # Identity of the feature network: unlike features are never mixed

    def __post_init__(self) -> None:
        dim = self.mean.shape[0] if self.mean.ndim == 1 else -1
        if self.scatter.shape != (dim, dim):
            raise ValueError(
                f"statistics need a mean [D] and a scatter [D, D],"
                f" got {list(self.mean.shape)} and {list(self.scatter.shape)}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scatter).all()):
            raise UserError("features hold values that are not finite: check images and weights")

    @classmethod
    def of(cls, features: Tensor | NDArray[np.floating], detector: str) -> FeatureStats:
        """Statistics of features [N, D], N at least 1; computed in float64 where they are."""
        x = torch.as_tensor(features).double()  # [N, D]
        mean = x.mean(dim=0)
        centred = x - mean
        return cls(
            count=len(x),
            mean=mean.cpu().numpy(),
            scatter=(centred.T @ centred).cpu().numpy(),
            detector=detector,
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for a file; `scatter` may be stored as its `pack`."""
        return {"count": np.array(self.count), "mean": self.mean, "scatter": self.scatter}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], detector: str) -> FeatureStats:
        """Inverse of `arrays`."""
        scatter = arrays["scatter"]
        return cls(
            count=int(arrays["count"]),
            mean=arrays["mean"],
            scatter=unpack(scatter) if scatter.ndim == 1 else scatter,
            detector=detector,
        )

    def __add__(self, other: FeatureStats) -> FeatureStats:
        """Statistics of both sets together (Chan, Golub, LeVeque 1979, equation 2.1)."""
        if self.detector != other.detector:
            raise ValueError(f"features of {self.detector} and of {other.detector} do not add")
        count = self.count + other.count
        delta = other.mean - self.mean
        weight = self.count * other.count / count
        return FeatureStats(
            count=count,
            mean=self.mean + delta * (other.count / count),
            scatter=self.scatter + other.scatter + weight * np.outer(delta, delta),
            detector=self.detector,
        )

    @property
    def cov(self) -> NDArray[np.float64]:
        """Covariance [D, D] with divisor N - 1, as the official code; N must be at least 2."""
        return self.scatter / (self.count - 1)


def pack(symmetric: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper triangle of a symmetric [D, D], row by row: [D (D + 1) / 2]."""
    return np.concatenate([row[number:] for number, row in enumerate(symmetric)])


def unpack(triangle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `pack`: the symmetric [D, D]."""
    dim = (math.isqrt(8 * len(triangle) + 1) - 1) // 2
    symmetric = np.empty((dim, dim))
    done = 0
    # In strips: columns are mirrored many at a time, which the processor's cache can follow.
    for start in range(0, dim, _STRIP):
        stop = min(start + _STRIP, dim)
        for number in range(start, stop):
            row = triangle[done : done + dim - number]
            symmetric[number, number:] = row
            symmetric[number:stop, number] = row[: stop - number]
            done += len(row)
        symmetric[stop:, start:stop] = symmetric[start:stop, stop:].T
    return symmetric


class StatsAccumulator:
    """Statistics of a stream of feature batches, in memory that does not grow.

    Rows gather in float64 on the features' device and are reduced a block at a time (4096 of length
    2048 take 67 MB): one merge per small batch would cost more than the features (0.2 s each at D =
    2048), and fixed blocks make the sums the same for every batch size.
    """

    def __init__(self, detector: str, block: int = 4096) -> None:
        self.detector = detector
        self.block = block
        self._rows: Tensor | None = None
        self._filled = 0
        self._total: FeatureStats | None = None

    def add(self, features: Tensor) -> None:
        """Take in features [n, D]."""
        if self._rows is None:
            self._rows = features.new_empty(self.block, features.shape[1], dtype=torch.float64)
        while len(features):
            taken = features[: self.block - self._filled]
            self._rows[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            features = features[len(taken) :]
            if self._filled == self.block:
                self._reduce()

    def result(self) -> FeatureStats:
        """Statistics of all rows so far."""
        if self._filled:
            self._reduce()
        if self._total is None:
            raise UserError("no images to measure")
        return self._total

    def _reduce(self) -> None:
        assert self._rows is not None
        stats = FeatureStats.of(self._rows[: self._filled], self.detector)
        self._total = stats if self._total is None else self._total + stats
        self._filled = 0


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Sums over the images of each piece of the splits; those of disjoint images add."""

    probability: NDArray[np.float64]  # float64 [P, C]: sum of p over the images
    negentropy: NDArray[np.float64]  # float64 [P]: sum over images and classes of p log p, in nats
    count: NDArray[np.int64]  # int64 [P]: images

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for a file."""
        return {
            "probability": self.probability, "negentropy": self.negentropy, "images": self.count
        }  # fmt: skip

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ClassSums:
        """Inverse of `arrays`."""
        return cls(
            probability=arrays["probability"],
            negentropy=arrays["negentropy"],
            count=arrays["images"],
        )

    def __add__(self, other: ClassSums) -> ClassSums:
        return ClassSums(
            probability=self.probability + other.probability,
            negentropy=self.negentropy + other.negentropy,
            count=self.count + other.count,
        )


@dataclass(frozen=True, kw_only=True)
class SplitScore:
    """A score."""

    mean: float  # Over the splits, 1 to the number of classes
    std: float  # Population standard deviation over the splits, as papers print it
    stderr: float | None
    """Standard error of the mean: with 10 splits or more from the splits, with fewer from their
    pieces; None where these are too few."""
    freedom: int | None  # Degrees of freedom of the standard error, where there is one
    splits: NDArray[np.float64]  # float64 [S]


def pieces_of(num: int, splits: int) -> int:
    """Number of equal pieces, whole ones in each split, for the standard error of the score."""
    each = 1 if splits >= _ENOUGH else min(-(-_PIECES // splits), num // splits)
    return splits * each


def split_of(positions: Sequence[int], num: int, splits: int = 10) -> NDArray[np.int64]:
    """Split of each image of `num`: s holds positions s num // splits up to the next one's."""
    bounds = [split * num // splits for split in range(1, splits)]
    return np.searchsorted(bounds, np.asarray(positions, dtype=np.int64), side="right")


def class_sums(logits: Tensor, split: NDArray[np.int64], splits: int = 10) -> ClassSums:
    """Sums of logits [N, C] by the split of each image, int64 [N] (`split_of`), in float64."""
    sums = ClassAccumulator(splits)
    sums.add(logits, split)
    return sums.result()


class ClassAccumulator:
    """`class_sums` of a stream of batches, where their logits are."""

    def __init__(self, splits: int) -> None:
        self._splits = splits
        self._sums: tuple[Tensor, Tensor] | None = None  # as in `ClassSums`
        self._count = np.zeros(splits, np.int64)

    def add(self, logits: Tensor, split: NDArray[np.int64]) -> None:
        """Take in logits [n, C] by the split of each image."""
        log_p = logits.double().log_softmax(dim=1)  # [n, C]
        p = log_p.exp()
        where = on_device(torch.from_numpy(split), logits.device)
        probability = p.new_zeros(self._splits, p.shape[1]).index_add_(0, where, p)
        negentropy = p.new_zeros(self._splits).index_add_(0, where, (p * log_p).sum(dim=1))
        if self._sums is not None:
            probability, negentropy = self._sums[0] + probability, self._sums[1] + negentropy
        self._sums = probability, negentropy
        self._count += np.bincount(split, minlength=self._splits)

    def result(self) -> ClassSums:
        """Sums so far, of one batch or more."""
        assert self._sums is not None
        probability, negentropy = self._sums
        return ClassSums(
            probability=probability.cpu().numpy(),
            negentropy=negentropy.cpu().numpy(),
            count=self._count,
        )


def inception_score(sums: ClassSums, splits: int) -> SplitScore:
    """exp of the mean KL divergence of p(y|x) from p(y), per split.

    `sums` are of `pieces_of` pieces, those of a split side by side.
    """
    if sums.count.min() < 1:
        raise UserError(
            f"{splits} splits need {splits} images or more, there are {sums.count.sum()}"
        )
    each = len(sums.count) // splits
    pieces = [  # of each split: [S, pieces, C], [S, pieces] and [S, pieces]
        part.reshape(splits, each, *part.shape[1:])
        for part in (sums.probability, sums.negentropy, sums.count)
    ]
    scores = _score(*(part.sum(axis=1) for part in pieces))
    stderr, freedom = None, None
    if splits >= _ENOUGH:
        freedom = splits - 1
        stderr = float(scores.std(ddof=1)) / math.sqrt(splits)
    elif each > 1:
        freedom = splits * (each - 1)
        left_out = _score(*(part.sum(axis=1, keepdims=True) - part for part in pieces))
        variances = left_out.var(axis=1) * (each - 1)  # of each split, by the jackknife
        stderr = float(np.sqrt(variances.sum())) / splits
    return SplitScore(
        mean=float(scores.mean()),
        std=float(scores.std()),
        stderr=stderr,
        freedom=freedom,
        splits=scores,
    )


def _score(
    probability: NDArray[np.float64], negentropy: NDArray[np.float64], count: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores [...] of sums of sets of images, probability [..., C]."""
    marginal = probability / count[..., None]
    # A class that no image has adds 0 log 0 = 0; without a piece it may be rounding below 0.
    logs = np.log(marginal, out=np.zeros_like(marginal), where=marginal > 0)
    scores: NDArray[np.float64] = np.exp(negentropy / count - (marginal * logs).sum(axis=-1))
    return scores
