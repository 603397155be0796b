"""Data set of images with binary attributes: read, checked, downscaled and kept in memory."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.classifiers.network import SMALLEST, shrink
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import prepare_command, read_batches
from stylegan_eval.images.source import Source

FEWEST_IMAGES = 100
MOST_ATTRIBUTES = 1000
_READ_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Images with labels."""

    images: Tensor  # uint8 [N, 3, R, R] on the CPU
    labels: Tensor  # float32 [N, A], 0 or 1
    names: tuple[str, ...]  # A attributes
    digest: str  # Key of the files

    @property
    def resolution(self) -> int:
        """R, in pixels."""
        return self.images.shape[-1]


def to_float(images: Tensor) -> Tensor:
    """Bytes 0 to 255 -> float32 from -1 to 1."""
    return images.float() / 127.5 - 1


def read_labelled(files: Source, resolution: int, *, skip_constant: bool) -> LabelledImages:
    """Read all images of a labelled set, at most `resolution` pixels wide.

    They are square, of a power of two and one size, with lists of 0 and 1 as labels. Larger images
    are averaged down to `resolution` and rounded to bytes again. Takes N * 3 * R * R bytes of
    memory.
    """
    labels, names = _labels(files, skip_constant=skip_constant)
    size = min(_size(files), resolution)
    images = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    start = 0
    with progress_bar(desc="read", total=len(files), unit="img") as bar:
        for part in read_batches(files, range(len(files)), _READ_AT_ONCE):
            small = shrink(torch.from_numpy(part).float(), size)
            images[start : start + len(part)] = small.round_().to(torch.uint8)
            start += len(part)
            bar.update(len(part))
    return LabelledImages(
        images=images, labels=torch.from_numpy(labels), names=names, digest=content_digest(files)
    )


def _size(files: Source) -> int:
    """Size of the first image; reading on finds images of other sizes."""
    height, width = files.read(0).shape[1:]
    if height != width or height < SMALLEST or height & (height - 1):
        raise UserError(
            f"{files.path}: images are {width}x{height}, expected squares of a power of two from"
            f" {SMALLEST} pixels: make them so with {prepare_command(files.path)}"
        )
    return int(height)


def _labels(files: Source, *, skip_constant: bool) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    expected = "expected a dataset.json with a list of 0 and 1 for each image"
    if files.labels is None:
        raise UserError(f"{files.path}: the images have no labels: {expected}")
    labels = files.labels
    if labels.ndim != 2:
        raise UserError(f"{files.path}: the labels are classes: {expected}")
    if not ((labels == 0) | (labels == 1)).all():
        wrong = labels[(labels != 0) & (labels != 1)][0]
        raise UserError(f"{files.path}: a label is {wrong:g}: {expected}")
    if len(labels) < FEWEST_IMAGES:
        raise UserError(
            f"{files.path}: {len(labels)} images are too few to train and test a classifier:"
            f" give at least {FEWEST_IMAGES}"
        )
    if labels.shape[1] > MOST_ATTRIBUTES:
        raise UserError(
            f"{files.path}: {labels.shape[1]} attributes, expected at most {MOST_ATTRIBUTES}"
        )
    names = files.attributes or tuple(f"attribute{k}" for k in range(labels.shape[1]))
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UserError(f"{files.path}: {times} attributes are called {name}: name them apart")
    for name in names:
        # Names are chosen by --attributes, which divides at commas and leaves out by a minus.
        if (
            not name.strip()
            or name != name.strip()
            or "," in name
            or name[0] == "-"
            or not (name.isprintable())
        ):
            raise UserError(
                f"{files.path}: attribute {name!r}: names must be printable, without commas,"
                " spaces at their ends or a minus at their beginning"
            )
    return _varying(files, labels, names, skip_constant=skip_constant)


def _varying(
    files: Source, labels: NDArray[np.float32], names: tuple[str, ...], *, skip_constant: bool
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    varies = labels.min(axis=0) != labels.max(axis=0)
    if not varies.any():
        raise UserError(f"{files.path}: no attribute differs between images: nothing to learn")
    if not varies.all() and not skip_constant:
        column = int(np.flatnonzero(~varies)[0])
        who = "all images have" if labels[0, column] else "no image has"
        raise UserError(
            f"{files.path}: {who} {names[column]}: give other images, or leave such attributes"
            " out with --skip-constant"
        )
    kept = tuple(name for name, keep in zip(names, varies, strict=True) if keep)
    return np.ascontiguousarray(labels[:, varies]), kept
