"""Prepare any images for training, and export them in stylegan2-ada's layout."""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor

from stylegan.datasets import Choices, Crop, LabelSource, Resample
from stylegan.datasets.archive import Label, encode_png, write_encoded
from stylegan.datasets.check import (
    damaged_line,
    decode_all,
    digest_of,
    duplicates_line,
    repeated,
    write_report,
)
from stylegan.datasets.partial import check_target, write_resumable
from stylegan.datasets.resize import cropped
from stylegan.datasets.sources import open_source
from stylegan.datasets.survey import Plan, Survey, make_plan, pick_channels, summary, survey
from stylegan.png import image_grid, save_png
from stylegan_eval.engine.progress import follow
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import CHANNELS
from stylegan_eval.images.files import ImageFiles, prepare_command
from stylegan_eval.images.labels import empty_classes, shortened
from stylegan_eval.images.parallel import map_ordered
from stylegan_eval.images.source import Source, read_as

_EXACT = 2**24  # whole numbers below are the same in float32
_SHEET = 8  # rows and columns of a sheet
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
    report: Path | None = None,
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
        usable, overview, notes = _usable(
            source, choices, report=report, workers=workers, progress=progress
        )
        plan = make_plan(source, overview, choices)
        kept = {usable[index]: overview.headers[index] for index in plan.kept}
        digests = [b""] * len(kept)
        channels, reason = pick_channels(source, kept, choices.channels)
        plan = replace(plan, kept=tuple(kept), ground=_ground(choices.pad, plan.crop, channels))
        threads = workers or os.cpu_count() or 1

        def images(start: int) -> Iterator[bytes]:
            made = _encoded(source, plan, channels, choices.resample, start, threads, digests)
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
    if pairs := repeated(digests):
        names = [source.names[index] for index in kept]
        advice = "--drop-duplicates leaves them out"
        notes.append(f"{duplicates_line(pairs, names)}: {advice}")
    return Prepared(
        count=len(plan.kept),
        resolution=plan.resolution,
        kind=source.kind,
        crop=plan.crop,
        filter=choices.resample if plan.filtered else None,
        skipped=len(usable) - len(plan.kept),
        notes=tuple(notes),
        resumed=resumed,
        numbers=0 if source.labels is None or source.labels.ndim == 1 else source.labels.shape[1],
        classes=tuple(source.classes),
        empty=tuple(empty),
        channels=reason,
    )


def write_sheet(prepared: Path, path: Path) -> None:
    """Write images of a prepared set, at even distances in it, as one PNG."""
    with open_source(prepared) as source:
        count = min(len(source), _SHEET**2)
        numbers = [len(source) * k // count for k in range(count)]
        images = np.stack([read_as(source, number, source.channels) for number in numbers])
    save_png(path, image_grid(images, min(count, _SHEET)))


def _usable(
    source: Source,
    choices: Choices,
    *,
    report: Path | None,
    workers: int | None,
    progress: bool,
) -> tuple[Sequence[int], Survey, list[str]]:
    """Numbers of the images that may be taken, their headers, and lines on the others."""
    if not choices.skip_damaged and not choices.drop_duplicates:
        return range(len(source)), survey(source, progress=progress), []
    images = decode_all(source, workers, progress=progress)
    if report is not None:
        write_report(report, images)
    damaged = [image for image in images if image.trouble]
    if damaged and (not choices.skip_damaged or len(damaged) == len(images)):
        first = damaged[0]
        advice = "no image can be read" if choices.skip_damaged else "remove it, or --skip-damaged"
        raise UserError(f"{source.path}: {first.name}: {first.trouble}: {advice}")
    notes = [damaged_line(damaged)] if damaged else []
    pairs = repeated(image.digest for image in images) if choices.drop_duplicates else {}
    if pairs:
        notes.append(f"{duplicates_line(pairs, source.names)}: left out")
    usable = {
        number: image.header
        for number, image in enumerate(images)
        if image.header is not None and not image.trouble and number not in pairs
    }
    names = [source.names[number] for number in usable]
    return list(usable), summary(names, tuple(usable.values())), notes


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
    source: Source,
    plan: Plan,
    channels: int,
    resample: Resample,
    start: int,
    workers: int,
    digests: list[bytes],
) -> Iterator[bytes]:
    def prepared(place: int) -> bytes:
        try:
            image = read_as(source, plan.kept[place], channels)
        except UserError as error:
            raise UserError(f"{error}: remove it, or --skip-damaged") from error
        digests[place] = digest_of(image)
        return encode_png(cropped(image, plan.crop, plan.resolution, resample, plan.ground))

    with ThreadPoolExecutor(workers) as pool:
        yield from map_ordered(pool, prepared, range(start, len(plan.kept)), ahead=4 * workers)


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
        "ground": plan.ground,
    }


def _ground(colour: str | None, crop: Crop, channels: int) -> tuple[int, ...]:
    """Value of each channel around padded images; none for other crops."""
    if crop != "pad":
        return ()
    mode = next(mode for mode, count in CHANNELS.items() if count == channels)
    value = ImageColor.getcolor(colour or "black", mode)
    return value if isinstance(value, tuple) else (value,)


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
