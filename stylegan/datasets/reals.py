"""The stream of real images for training.

Image k of the stream, and whether it is mirrored, depend on (seed, k) alone: neither on the batch
size nor on where a run was resumed.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan.datasets.pyramid import Pyramid
from stylegan_eval.images.labels import label_size

# Last word of Philox's counter: keeps the streams of one seed apart.
_ORDER_STREAM, _MIRROR_STREAM, _LABEL_STREAM = 1, 2, 3
_BITS = 64


def image_indices(start: int, count: int, size: int, seed: int) -> np.ndarray:
    """Elements `start` to `start + count` - 1 of the endless order of images, int64 [count].

    Epoch e (elements e * size to (e + 1) * size - 1) is a permutation drawn from (seed, e).
    """
    parts = [np.empty(0, dtype=np.int64)]
    while count > 0:
        epoch, offset = divmod(start, size)
        part = _epoch_order(size, seed, epoch)[offset : offset + count]
        parts.append(part)
        start, count = start + len(part), count - len(part)
    return np.concatenate(parts)


@functools.lru_cache(maxsize=2)  # A minibatch touches one epoch, or the end of one and the next.
def _epoch_order(size: int, seed: int, epoch: int) -> np.ndarray:
    bits = _philox((seed, epoch), counter=(0, 0, 0, _ORDER_STREAM))
    order = np.random.Generator(bits).permutation(size)
    order.setflags(write=False)
    return order


def mirror_flags(start: int, count: int, seed: int) -> np.ndarray:
    """Whether elements `start` to `start + count` - 1 of the stream are mirrored, bool [count].

    Element k is bit k of a stream of Philox words: probability 1/2, at no cost.
    """
    words_per_step = 4
    step, offset = divmod(start, words_per_step * _BITS)
    words = -(-(offset + count) // _BITS)
    drawn = _philox((seed, 0), counter=(step, 0, 0, _MIRROR_STREAM)).random_raw(words)  # [words]
    flags = (drawn[:, None] >> np.arange(_BITS, dtype=np.uint64)) & np.uint64(1)
    return flags.reshape(-1)[offset : offset + count].astype(bool)


def _philox(key: tuple[int, ...], counter: tuple[int, ...]) -> np.random.Philox:
    # Explicit types: NumPy would take a list with a number from 2^63 on for floats.
    return np.random.Philox(
        key=np.array(key, dtype=np.uint64), counter=np.array(counter, dtype=np.uint64)
    )


def process_reals(
    images: Tensor, *, fade: float | Tensor | None = None, mirror: Tensor | None = None
) -> Tensor:
    """Images of one level as the discriminator sees them, float32 in [-1, 1].

    As ``process_reals`` of the official ``training_loop.py``, but at the resolution of the level.

    Parameters
    ----------
    images : Tensor
        uint8 [N, C, H, W], of level floor(lod).
    fade : float, Tensor or None
        The fraction t of lod, where it is not 0: fades the image x towards up(down(x)), the 2x2
        means repeated: x + t (up(down(x)) - x).
    mirror : Tensor or None
        bool [N], the images to flip left to right.
    """
    x = images.to(torch.float32) / 127.5 - 1  # [N, C, H, W]
    if mirror is not None:
        x = torch.where(mirror[:, None, None, None], x.flip(3), x)
    if fade is not None:
        coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="nearest")
        x = x.lerp(coarse, fade)
    return x


@dataclass(frozen=True)
class Slice:
    """Elements of the stream that are read at once."""

    start: int  # First element of the minibatch
    count: int  # Elements of the minibatch
    rows: np.ndarray  # Which of its places to read, int64 [N]
    level: int  # Level of detail


class RawBatch(NamedTuple):
    """N elements of the stream as they are stored, on the CPU."""

    images: Tensor  # uint8 [N, C, H, W]
    mirror: Tensor  # bool [N], which of them are to be flipped
    labels: Tensor  # float32 [N, L], theirs; classes are one-hot. L is 0 without labels.
    other_labels: Tensor  # float32 [N, L], of images drawn at random: for fakes


class Reals:
    """The stream of real images of a pyramid, mirrored with probability 1/2 where `mirror` is set.

    `offset` is the number of levels by which the images are larger than the networks; `label_size`
    the length L of a label, 0 without labels.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        *,
        seed: int,
        mirror: bool,
        offset: int = 0,
        labelled: bool = False,
    ) -> None:
        self._pyramid = pyramid
        self._seed = seed
        self._mirror = mirror
        self._offset = offset
        self.label_size = label_size(pyramid.labels, pyramid.classes) if labelled else 0

    def __len__(self) -> int:
        return len(self._pyramid)

    def __getitem__(self, part: Slice) -> RawBatch:
        """Read elements; they depend on (seed, start + row) alone."""
        indices = image_indices(part.start, part.count, len(self), self._seed)[part.rows]
        mirror = np.zeros(len(part.rows), bool)
        if self._mirror:
            mirror = mirror_flags(part.start, part.count, self._seed)[part.rows]
        rng = np.random.default_rng((self._seed, part.start, _LABEL_STREAM))
        others = rng.integers(len(self), size=part.count)[part.rows]
        return RawBatch(
            images=torch.from_numpy(self._pyramid.read(part.level + self._offset, indices)),
            mirror=torch.from_numpy(mirror),
            labels=self._labels(indices),
            other_labels=self._labels(others),
        )

    def _labels(self, indices: np.ndarray) -> Tensor:
        labels = self._pyramid.labels
        if labels is None or self.label_size == 0:
            return torch.zeros(len(indices), 0)
        return torch.from_numpy(as_rows(labels[indices], self.label_size))


def as_rows(labels: np.ndarray, size: int) -> np.ndarray:
    """Classes [N] as one-hot rows, attributes [N, size] as they are; float32 [N, size]."""
    if labels.ndim == 1:
        labels = labels[:, None] == np.arange(size)
    return labels.astype(np.float32)
