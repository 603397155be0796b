"""Inception Score from running sums: how sure and how varied a classifier finds images.

References
----------
Salimans et al., Improved Techniques for Training GANs, 2016, Section 4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Sums over the images of each split; those of disjoint images add.

    Attributes
    ----------
    probability : NDArray
        float64 [S, C]: sum of p over the images.
    negentropy : NDArray
        float64 [S]: sum over images and classes of p log p, in nats.
    count : NDArray
        int64 [S]: images.
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
        Standard error of the mean, from the splits; None with one split.
    splits : NDArray
        float64 [S].
    """

    mean: float
    std: float
    stderr: float | None
    splits: NDArray[np.float64]


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


def inception_score(sums: ClassSums) -> InceptionScore:
    """exp of the mean KL divergence of p(y|x) from p(y), per split.

    Raises
    ------
    UserError
        A split without images.
    """
    splits = len(sums.count)
    if sums.count.min() < 1:
        raise UserError(
            f"{splits} splits need {splits} images or more, there are {sums.count.sum()}"
        )
    marginal = sums.probability / sums.count[:, None]
    # A class that no image has adds 0 log 0 = 0.
    logs = np.log(marginal, out=np.zeros_like(marginal), where=marginal > 0)
    scores = np.exp(sums.negentropy / sums.count - (marginal * logs).sum(axis=1))
    return InceptionScore(
        mean=float(scores.mean()),
        std=float(scores.std()),
        stderr=float(scores.std(ddof=1)) / math.sqrt(splits) if splits > 1 else None,
        splits=scores,
    )
