"""Any set of images to one that can be trained on: square, a power of two, one size."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from stylegan.datasets.archive import Label, encode_png, write_encoded
from stylegan.datasets.resample import Resample, centre_square, shrink
from stylegan.datasets.survey import MIN_RESOLUTION, Survey, survey
from stylegan_eval.errors import UserError
from stylegan_eval.images import ImageFiles, open_images
from stylegan_eval.parallel import map_ordered

LabelSource = Literal["source", "folders"]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` wrote: how many images, their resolution, and the folders used as classes."""

    count: int
    resolution: int
    classes: tuple[str, ...]


def prepare(
    src: Path,
    out: Path,
    *,
    resolution: int | None = None,
    resample: Resample = "box",
    labels: LabelSource = "source",
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Crop each image to its centre square, shrink it to a power of two, and write an archive.

    Parameters
    ----------
    src : Path
        Folder or zip of images of any sizes and modes.
    out : Path
        A zip if it ends in ``.zip``, else a folder; whole or absent.
    resolution : int or None
        Power of two; None means the largest that needs no enlarging.
    resample : "box" or "lanczos"
        See `resample.shrink`.
    labels : "source" or "folders"
        Labels and attributes of the source's ``dataset.json``, or a class for each first
        sub-folder, numbered in the order of their names.
    workers : int or None
        Threads (decoding, shrinking and encoding run outside Python's lock); None means one for
        each processor.

    Raises
    ------
    UserError
        An image cannot be read or is smaller than `resolution`; `out` cannot be written.
    """
    with open_images(src) as files:
        resolution = _resolution(files, survey(files, progress=progress), resolution)
        classes: tuple[str, ...] = ()
        attributes = files.attributes
        values: Sequence[Label] = [None] * len(files)
        if labels == "folders":
            classes, values = _folder_classes(files)
            attributes = ()
        elif files.labels is not None:
            values = files.labels.tolist()
        encoded = _encoded(files, resolution, resample, workers or os.cpu_count() or 1)
        bar = tqdm(encoded, "prepare", len(files), unit="img", disable=None if progress else True)
        write_encoded(out, zip(bar, values, strict=True), attributes=attributes)
    return Prepared(len(values), resolution, classes)


def _encoded(
    files: ImageFiles, resolution: int, resample: Resample, workers: int
) -> Iterator[bytes]:
    def prepared(index: int) -> bytes:
        square = centre_square(files.read(index))
        return encode_png(shrink(square, resolution, resample))

    with ThreadPoolExecutor(workers) as pool:
        yield from map_ordered(pool, prepared, range(len(files)), ahead=4 * workers)


def _resolution(files: ImageFiles, found: Survey, wanted: int | None) -> int:
    side = found.smallest_side
    smallest = f"{files.path}: {found.smallest} is only {side} pixels on its shorter side"
    if side < MIN_RESOLUTION:
        raise UserError(f"{smallest}; at least {MIN_RESOLUTION} are needed: remove it")
    largest = 1 << (side.bit_length() - 1)
    if wanted is not None and wanted > side:
        raise UserError(
            f"{smallest}, below {wanted}, and images are never enlarged:"
            f" remove it, or ask for at most {largest}"
        )
    return wanted or largest


def _folder_classes(files: ImageFiles) -> tuple[tuple[str, ...], list[Label]]:
    folders = [name.split("/", 1)[0] if "/" in name else None for name in files.names]
    if None in folders:
        name = files.names[folders.index(None)]
        raise UserError(f"{files.path}: {name} is in no sub-folder, so it has no class")
    classes = tuple(sorted({folder for folder in folders if folder is not None}))
    numbers = {folder: number for number, folder in enumerate(classes)}
    return classes, [numbers[folder] for folder in folders if folder is not None]
