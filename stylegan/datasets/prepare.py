"""Prepare any images for training, and export them in stylegan2-ada's layout."""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from stylegan.datasets import Choices, Crop, Resample
from stylegan.datasets.archive import Label, encode_png, write_encoded
from stylegan.datasets.partial import check_target, write_resumable
from stylegan.datasets.resize import cropped
from stylegan.datasets.sources import open_source
from stylegan.datasets.survey import Plan, make_plan, pick_channels, survey
from stylegan_eval.engine.progress import follow
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import CHANNELS
from stylegan_eval.images.files import ImageFiles, prepare_command
from stylegan_eval.images.labels import empty_classes, shortened
from stylegan_eval.images.parallel import map_ordered
from stylegan_eval.images.source import Source, read_as

LabelSource = Literal["source", "folders"]
_EXACT = 2**24  # whole numbers below are the same in float32
_FORMAT = 1  # of what is written; a beginning of another is not used


@dataclass(frozen=True)
class Prepared:
    """Result of `prepare`."""

    count: int  # Images
    resolution: int  # In pixels
    kind: str  # What the source was
    crop: Crop  # How the images were cropped
    filter: Resample | None  # What they were shrunk by; None if all had the resolution already
    skipped: int  # Images left out because they were too small
    resumed: int  # Images that an earlier, killed process had made
    numbers: int  # In a label that is no class
    classes: tuple[str, ...]  # Names of the classes, or none
    empty: tuple[str, ...]  # Classes without images
    channels: str  # Which channels the images have, and why; "" for RGB of RGB

    def lines(self, out: Path) -> list[str]:
        """Lines for the user."""
        size = f"{self.resolution}x{self.resolution}"
        shrunk = f"filter {self.filter}" if self.filter else "no filter, none was larger"
        lines = [
            f"{out}: {self.count} images of {size}",
            f"  from {self.kind}: crop {self.crop}, {shrunk}",
        ]
        if self.channels:
            lines.append(f"  {self.channels}")
        if self.skipped:
            lines.append(f"  left out as too small: {self.skipped}")
        if self.resumed:
            lines.append(f"  made by an earlier run: {self.resumed}")
        if self.numbers > 1:
            lines.append(f"  {self.numbers} numbers in each label")
        lines += [f"  class {number}: {name}" for number, name in enumerate(self.classes)]
        if self.empty:
            lines.append(f"  without images: {shortened(self.empty)}")
        return lines


def prepare(
    src: Path | str,
    out: Path,
    choices: Choices | None = None,
    *,
    labels: LabelSource = "source",
    download: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Crop each image to a square, shrink it to a power of two, and write an archive.

    The archive is a zip if `out` ends in ``.zip``, else a folder, whole or absent. Labels are those
    of the source, or a class for each first sub-folder, numbered in the order of their names.
    """
    choices = choices or Choices()
    check_target(out)
    with open_source(src, folder_classes=labels == "folders", download=download) as source:
        overview = survey(source, progress=progress)
        plan = make_plan(source, overview, choices)
        kept = {index: overview.headers[index] for index in plan.kept}
        channels, reason = pick_channels(source, kept, choices.channels)
        threads = workers or os.cpu_count() or 1

        def images(start: int) -> Iterator[bytes]:
            made = _encoded(source, plan, channels, choices.resample, start, threads)
            total = len(plan.kept)
            return iter(follow(made, "prepare", total, initial=start, shown=progress))

        labelled = label_list(source, plan.kept)
        remaining = None if source.labels is None else source.labels[list(plan.kept)]
        empty = empty_classes(remaining, source.classes)
        resumed = write_resumable(
            out,
            images,
            labelled,
            attributes=source.attributes,
            channels=channels,
            classes=source.classes,
            made_of=_made_of(source, plan, choices.resample) | {"channels": channels},
        )
    return Prepared(
        count=len(plan.kept),
        resolution=plan.resolution,
        kind=source.kind,
        crop=plan.crop,
        filter=choices.resample if plan.filtered else None,
        skipped=len(source) - len(plan.kept),
        resumed=resumed,
        numbers=0 if source.labels is None or source.labels.ndim == 1 else source.labels.shape[1],
        classes=tuple(source.classes),
        empty=tuple(empty),
        channels=reason,
    )


def label_list(source: Source, kept: Sequence[int]) -> list[Label]:
    """The labels of some images, in the types of `archive.Label`.

    Numbers are as short as they can be and still be the same float32, so that labels that were
    read and are written again stay as they were.
    """
    if source.labels is None:
        return [None] * len(kept)
    labels = source.labels[np.asarray(kept, np.int64)]
    if labels.ndim == 1:
        classes: list[Label] = labels.tolist()
        return classes
    return [[_shortest(number) for number in row] for row in labels.astype(np.float32)]


def _shortest(number: np.float32) -> float:
    return int(number) if abs(number) < _EXACT and number == int(number) else float(str(number))


def _encoded(
    source: Source, plan: Plan, channels: int, resample: Resample, start: int, workers: int
) -> Iterator[bytes]:
    def prepared(index: int) -> bytes:
        image = read_as(source, index, channels)
        return encode_png(cropped(image, plan.crop, plan.resolution, resample))

    with ThreadPoolExecutor(workers) as pool:
        yield from map_ordered(pool, prepared, plan.kept[start:], ahead=4 * workers)


def _made_of(source: Source, plan: Plan, resample: Resample) -> dict[str, object]:
    """All that decides the images."""
    kept = np.asarray(plan.kept, np.int64).tobytes()
    # Also of files whose time of modification was set back.
    stamped = f"{source.digest} {sorted(source.stamps.items())!a}"
    return {
        "format": _FORMAT,
        "source": hashlib.sha256(stamped.encode()).hexdigest(),
        "kept": hashlib.sha256(kept).hexdigest(),
        "resolution": plan.resolution,
        "crop": plan.crop,
        "filter": resample,
    }


def export_ada(
    src: Path | str, out: Path, *, workers: int | None = None, progress: bool = True
) -> int:
    """Write square images of one size, and labels, as stylegan2-ada and stylegan3 read them.

    PNG files of 8-bit RGB (or grey, where the set says so) are copied byte for byte, all else
    becomes such a file. `out` is a zip if it ends in ``.zip``, else a folder, whole or absent.
    """
    with open_source(src) as source:
        if (fault := survey(source, progress=progress).fault()) is not None:
            raise UserError(f"{src}: {fault}; make a set that fits with: {prepare_command(src)}")
        if source.channels == 4:
            raise UserError(
                f"{src} holds RGBA, which stylegan2-ada and stylegan3 do not read: make a set of"
                f" RGB with: {prepare_command(src)} --channels RGB"
            )
        labels = label_list(source, range(len(source)))
        stored = _stored(source, workers or os.cpu_count() or 1)
        images = follow(stored, "export", len(source), shown=progress)
        write_encoded(
            out,
            zip(images, labels, strict=True),
            attributes=source.attributes,
            channels=source.channels,
            classes=source.classes,
        )
        return len(source)


def _stored(source: Source, workers: int) -> Iterator[bytes]:
    def png(index: int) -> bytes:
        # Also where bytes are kept: what is damaged is not copied.
        pixels = read_as(source, index, source.channels)
        if isinstance(source, ImageFiles):
            data = source.encoded(index)
            if _is_plain_png(data, source.channels):
                return data
        return encode_png(pixels)

    with ThreadPoolExecutor(workers) as pool:
        yield from map_ordered(pool, png, range(len(source)), ahead=4 * workers)


def _is_plain_png(data: bytes, channels: int) -> bool:
    """Whether any reader of PNG takes the same pixels from it as `decoding.decode`."""
    with Image.open(io.BytesIO(data)) as image:
        plain = image.format == "PNG" and CHANNELS.get(image.mode) == channels
        return plain and "transparency" not in image.info and not image.getexif()
