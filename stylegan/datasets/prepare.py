"""Prepare any images for training, and export them in stylegan2-ada's layout."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan.datasets import Choices, Crop, LabelSource, Resample
from stylegan.datasets.archive import encode_png, write_encoded
from stylegan.datasets.making import Making, labels_of
from stylegan.datasets.partial import check_target, write_resumable
from stylegan.datasets.sources import ffhq_images, open_source
from stylegan.datasets.survey import survey
from stylegan.png import image_grid, save_png
from stylegan_eval.engine.files import check_apart, check_writable
from stylegan_eval.engine.progress import follow
from stylegan_eval.engine.untrusted import one_line
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import CHANNELS, PNG_DEPTH
from stylegan_eval.images.files import ImageFiles, map_ordered, prepare_command
from stylegan_eval.images.labels import empty_classes, shortened
from stylegan_eval.images.source import Source, read_as
from stylegan_eval.images.storage import check_outside

_SHEET = 8  # rows and columns of a sheet


@dataclass(frozen=True)
class Prepared:
    """Result of `prepare`."""

    count: int  # Images
    resolution: int  # In pixels
    kind: str  # What the source was
    crop: Crop  # How the images were cropped
    filter: Resample | None  # What they were shrunk by; None if all had the resolution already
    skipped: int  # Images left out because they were too small
    notes: tuple[str, ...]  # On damaged images and duplicates
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
        lines += [f"  {line}" for line in self.notes]
        if self.resumed:
            lines.append(f"  made by an earlier run: {self.resumed}")
        if self.numbers > 1:
            lines.append(f"  {self.numbers} numbers in each label")
        lines += [f"  class {number}: {one_line(name)}" for number, name in enumerate(self.classes)]
        if self.empty:
            lines.append(f"  without images: {shortened(self.empty)}")
        return lines


def prepare(
    src: Path | str,
    out: Path,
    choices: Choices = Choices(),
    *,
    labels: LabelSource = "source",
    report: Path | None = None,
    download: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Crop each image to a square, shrink it to a power of two, and write an archive.

    The archive is a zip if `out` ends in ``.zip``, else a folder, whole or absent. Labels are those
    of the source, or a class for each first sub-folder, numbered in the order of their names.
    """
    check_not_read(out, src)
    check_target(out)
    if report is not None:
        check_writable(report)
    with open_source(src, folder_classes=labels == "folders", download=download) as source:
        threads = workers or os.cpu_count() or 1
        making = Making(source, choices, report=report, workers=threads, shown=progress)
        making.look()
        resumed = write_resumable(out, making, making.made_of)
        remaining = None if source.labels is None else source.labels[making.taken]
        plan = making.plan
        return Prepared(
            count=len(making.taken),
            resolution=plan.resolution,
            kind=source.kind,
            crop=plan.crop,
            filter=choices.resample if plan.filtered else None,
            skipped=making.skipped,
            notes=tuple(making.notes()),
            resumed=resumed,
            numbers=0 if remaining is None or remaining.ndim == 1 else remaining.shape[1],
            classes=tuple(source.classes),
            empty=tuple(empty_classes(remaining, source.classes)),
            channels=making.reason,
        )


def check_not_read(out: Path, src: Path | str) -> None:
    """Refuse an output that is the source or would be read as part of it, as no zip is."""
    source = Path(src)
    if source.is_file():
        check_apart(out, source)
    elif source.is_dir() and out.suffix.lower() != ".zip":
        check_outside(out, ffhq_images(source) or source)


def write_sheet(prepared: Path, path: Path) -> None:
    """Write images of a prepared set, at even distances in it, as one PNG."""
    with open_source(prepared) as source:
        count = min(len(source), _SHEET**2)
        numbers = [len(source) * k // count for k in range(count)]
        images = np.stack([read_as(source, number, source.channels) for number in numbers])
    save_png(path, image_grid(images, min(count, _SHEET)))


def export_ada(
    src: Path | str, out: Path, *, workers: int | None = None, progress: bool = True
) -> int:
    """Write square images of one size, and labels, as stylegan2-ada and stylegan3 read them.

    PNG files of 8-bit RGB (or grey, where the set says so) are copied byte for byte, all else
    becomes such a file. `out` is a zip if it ends in ``.zip``, else a folder, whole or absent.
    """
    check_not_read(out, src)
    with open_source(src) as source:
        survey(source, progress=progress).check(src)
        if source.channels == 4:
            raise UserError(
                f"{src} holds RGBA, which stylegan2-ada and stylegan3 do not read: make a set of"
                f" RGB with: {prepare_command(src)} --channels RGB"
            )
        labels = labels_of(source, range(len(source)))
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
        plain = plain and data[PNG_DEPTH] == 8  # Pillow opens colours of 16 bits as RGB of 8
        return plain and "transparency" not in image.info and not image.getexif()
