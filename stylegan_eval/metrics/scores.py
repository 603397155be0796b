"""Inception Score from running sums: how sure and how varied a classifier finds images.

References
----------
Salimans et al., Improved Techniques for Training GANs, 2016, Section 4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.errors import UserError

_ENOUGH = 10  # splits whose own spread tells the error of their mean
_PIECES = 40


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Sums over the images of each piece of the splits; those of disjoint images add.

    Attributes
    ----------
    probability : NDArray
        float64 [P, C]: sum of p over the images.
    negentropy : NDArray
        float64 [P]: sum over images and classes of p log p, in nats.
    count : NDArray
        int64 [P]: images.
    """

    probability: NDArray[np.float64]
    negentropy: NDArray[np.float64]
    count: NDArray[np.int64]

    def __add__(self, other: "ClassSums") -> "ClassSums":
        return ClassSums(
            probability=self.probability + other.probability,
            negentropy=self.negentropy + other.negentropy,
            count=self.count + other.count,
        )


@dataclass(frozen=True, kw_only=True)
class InceptionScore:
    """A score.

    Attributes
    ----------
    mean : float
        Over the splits, 1 to the number of classes.
    std : float
        Population standard deviation over the splits, as papers print it.
    stderr : float or None
        Standard error of the mean: with 10 splits or more from the splits, with fewer from their
        pieces; None where these are too few.
    splits : NDArray
        float64 [S].
    """

    mean: float
    std: float
    stderr: float | None
    splits: NDArray[np.float64]


def pieces_of(num: int, splits: int) -> int:
    """How many equal pieces, whole ones in each split, tell the standard error of the score."""
    each = 1 if splits >= _ENOUGH else min(-(-_PIECES // splits), num // splits)
    return splits * each


def split_of(positions: Sequence[int], num: int, splits: int = 10) -> NDArray[np.int64]:
    """Split of each image of `num`: s holds positions s num // splits up to the next one's."""
    bounds = [split * num // splits for split in range(1, splits)]
    return np.searchsorted(bounds, np.asarray(positions, dtype=np.int64), side="right")


def class_sums(logits: Tensor, split: NDArray[np.int64], splits: int = 10) -> ClassSums:
    """Sums of a batch, in float64.

    Parameters
    ----------
    logits : Tensor
        [N, C].
    split : NDArray
        int64 [N]: which split each image belongs to; see `split_of`.
    splits : int
        How many there are.
    """
    log_p = logits.double().log_softmax(dim=1)  # [N, C]
    p = log_p.exp()
    where = torch.from_numpy(split).to(logits.device)
    probability = p.new_zeros(splits, p.shape[1]).index_add_(0, where, p)
    negentropy = p.new_zeros(splits).index_add_(0, where, (p * log_p).sum(dim=1))
    return ClassSums(
        probability=probability.cpu().numpy(),
        negentropy=negentropy.cpu().numpy(),
        count=np.bincount(split, minlength=splits),
    )


def inception_score(sums: ClassSums, splits: int) -> InceptionScore:
    """exp of the mean KL divergence of p(y|x) from p(y), per split.

    Parameters
    ----------
    sums : ClassSums
        Of `pieces_of` pieces, those of a split side by side.

    Raises
    ------
    UserError
        A split without images.
    """
    if sums.count.min() < 1:
        raise UserError(
            f"{splits} splits need {splits} images or more, there are {sums.count.sum()}"
        )
    pieces = _Pieces(
        probability=sums.probability.reshape(splits, len(sums.count) // splits, -1),
        negentropy=sums.negentropy.reshape(splits, -1),
        images=sums.count.reshape(splits, -1),
    )
    scores = _score(*(part.sum(axis=1) for part in pieces))
    each = pieces.images.shape[1]
    stderr = None
    if splits >= _ENOUGH:
        stderr = float(scores.std(ddof=1)) / math.sqrt(splits)
    elif each > 1:
        left_out = _score(*(part.sum(axis=1, keepdims=True) - part for part in pieces))
        variances = left_out.var(axis=1) * (each - 1)  # of each split, by the jackknife
        stderr = float(np.sqrt(variances.sum())) / splits
    return InceptionScore(
        mean=float(scores.mean()), std=float(scores.std()), stderr=stderr, splits=scores
    )


class _Pieces(NamedTuple):
    """Class sums by split and piece."""

    probability: NDArray[np.float64]  # [S, pieces, C]
    negentropy: NDArray[np.float64]  # [S, pieces]
    images: NDArray[np.int64]  # [S, pieces]


def _score(
    probability: NDArray[np.float64], negentropy: NDArray[np.float64], count: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores [...] of sums of sets of images, probability [..., C]."""
    marginal = probability / count[..., None]
    # A class that no image has adds 0 log 0 = 0; without a piece it may be rounding below 0.
    logs = np.log(marginal, out=np.zeros_like(marginal), where=marginal > 0)
    scores: NDArray[np.float64] = np.exp(negentropy / count - (marginal * logs).sum(axis=-1))
    return scores
