"""The stream of real images that training looks at.

Image k of the stream, and whether it is mirrored, depend on (seed, k) alone: neither on the batch
size nor on where a run was resumed.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan.datasets.pyramid import Pyramid

# Last word of Philox's counter: keeps the two streams of one seed apart.
_ORDER_STREAM, _MIRROR_STREAM = 1, 2
_BITS = 64


def image_indices(start: int, count: int, size: int, seed: int) -> np.ndarray:
    """Elements `start` to `start + count` - 1 of the endless order of images.

    Epoch e (elements e * size to (e + 1) * size - 1) is a permutation drawn from (seed, e).

    Parameters
    ----------
    size : int
        Images in the data set, at least 1.
    seed : int
        In [0, 2^64).

    Returns
    -------
    ndarray
        int64 [count], in [0, size).
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
    """Whether elements `start` to `start + count` - 1 of the stream are mirrored.

    Element k is bit k of a stream of Philox words: probability 1/2, at no cost.

    Returns
    -------
    ndarray
        bool [count].
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


def process_reals(images: Tensor, *, lod: float, mirror: Tensor | None = None) -> Tensor:
    """Images of one level as the discriminator sees them at `lod`.

    The official function enlarges its result to the full resolution; this one stays at the
    resolution of the level.

    Parameters
    ----------
    images : Tensor
        uint8 [N, 3, H, W], of level floor(`lod`).
    lod : float
        Level of detail; its fraction t fades the image x towards up(down(x)), the 2x2 means
        repeated: x + t (up(down(x)) - x).
    mirror : Tensor or None
        bool [N], the images to flip left to right.

    Returns
    -------
    Tensor
        float32 [N, 3, H, W] in [-1, 1].

    References
    ----------
    ``process_reals`` in the official ``training_loop.py``.
    """
    x = images.to(torch.float32) / 127.5 - 1  # [N, 3, H, W]
    if mirror is not None:
        x = torch.where(mirror[:, None, None, None], x.flip(3), x)
    fade = lod - math.floor(lod)
    if fade > 0:
        coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="nearest")
        x = x.lerp(coarse, fade)
    return x


class Reals:
    """The stream of real images of a pyramid.

    Parameters
    ----------
    pyramid : Pyramid
        The images.
    seed : int
        Decides order and mirroring.
    mirror : bool
        Whether images are mirrored with probability 1/2.

    Attributes
    ----------
    label_size : int
        L, numbers in a label: classes, attributes, or 0 if the data have no labels.
    """

    def __init__(self, pyramid: Pyramid, *, seed: int, mirror: bool) -> None:
        self._pyramid = pyramid
        self._seed = seed
        self._mirror = mirror
        self.label_size = _label_size(pyramid.labels)

    def __len__(self) -> int:
        return len(self._pyramid)

    def batch(self, start: int, count: int, *, lod: float, device: torch.device) -> Tensor:
        """Elements `start` to `start + count` - 1 of the stream, N of them.

        Returns
        -------
        Tensor
            float32 [N, 3, R >> floor(lod), R >> floor(lod)] in [-1, 1] on `device`.
        """
        level = self._pyramid.level(math.floor(lod))
        indices = image_indices(start, count, len(self), self._seed)
        images = torch.from_numpy(np.asarray(level[indices])).to(device)  # uint8 [N, 3, H, W]
        flags = None
        if self._mirror:
            flags = torch.from_numpy(mirror_flags(start, count, self._seed)).to(device)  # [N]
        return process_reals(images, lod=lod, mirror=flags)

    def labels_batch(self, start: int, count: int) -> Tensor:
        """Labels of the same elements.

        Returns
        -------
        Tensor
            float32 [N, L] on the CPU; classes are one-hot.
        """
        labels = self._pyramid.labels
        if labels is None:
            return torch.zeros(count, 0)
        chosen = labels[image_indices(start, count, len(self), self._seed)]
        if chosen.ndim == 1:
            chosen = chosen[:, None] == np.arange(self.label_size)
        return torch.from_numpy(chosen.astype(np.float32))  # [N, L]


def _label_size(labels: np.ndarray | None) -> int:
    if labels is None:
        return 0
    return int(labels.max()) + 1 if labels.ndim == 1 else int(labels.shape[1])
