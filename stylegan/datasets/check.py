"""Dry run of a preparation: decode every image, write nothing, report each file's fault."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stylegan.datasets import Choices, LabelSource
from stylegan.datasets.resize import fits
from stylegan.datasets.sources import open_source
from stylegan.datasets.survey import Plan, make_plan, pick_channels, summary
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.names import csv_text
from stylegan_eval.engine.progress import follow
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header
from stylegan_eval.images.parallel import map_ordered
from stylegan_eval.images.source import Source, read_as

COLUMNS = ("file", "bytes", "width", "height", "mode", "trouble")


@dataclass(frozen=True)
class CheckedImage:
    """One image: its name, size in bytes, header if it has one, and trouble or ""."""

    name: str
    size: int
    header: Header | None
    trouble: str = ""
    digest: bytes = b""  # of the pixels


def decode_all(source: Source, workers: int | None, *, progress: bool) -> list[CheckedImage]:
    """Decode every image."""
    threads = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        decoded = map_ordered(
            pool, lambda index: _decoded(source, index), range(len(source)), ahead=4 * threads
        )
        return list(follow(decoded, "check", len(source), shown=progress))


def digest_of(pixels: np.ndarray) -> bytes:
    """Digest of an image [C, H, W]; equal for equal pixels."""
    digest = hashlib.blake2b(f"{pixels.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def repeated(digests: Iterable[bytes]) -> dict[int, int]:
    """Numbers of the images that have the pixels of an earlier one, and its number.

    >>> repeated([b"a", b"b", b"a", b"", b"", b"a"])
    {2: 0, 5: 0}
    """
    first: dict[bytes, int] = {}
    places = ((number, first.setdefault(d, number)) for number, d in enumerate(digests) if d)
    return {number: place for number, place in places if place != number}


def duplicates_line(pairs: Mapping[int, int], names: Sequence[str]) -> str:
    """Line on images with the pixels of others."""
    number, place = next(iter(pairs.items()))
    return f"exact duplicates: {len(pairs)}, {names[number]} of {names[place]} first"


def check(
    source: Source, choices: Choices, *, workers: int | None = None, progress: bool = True
) -> tuple[list[CheckedImage], Plan | None]:
    """Decode all images and compare their sizes with what is asked for.

    The plan is that without the images in trouble; None if no image is usable.
    """
    images = decode_all(source, workers, progress=progress)
    usable = {i.name: i.header for i in images if i.header is not None and not i.trouble}
    if not usable:
        return images, None
    overview = summary(tuple(usable), tuple(usable.values()))
    plan = make_plan(source, overview, replace(choices, skip_small=True))
    if not choices.skip_small and plan.crop != "lsun-wide":
        images = [_sized(image, plan) for image in images]
    return images, plan


def write_report(path: Path, images: Sequence[CheckedImage]) -> None:
    """Write the images as CSV, with the header `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image in images:
        header, name = image.header or Header(0, 0, ""), csv_text(image.name)
        size = header.width, header.height, header.mode
        writer.writerow((name, image.size, *size, image.trouble))
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", errors="backslashreplace")


def check_set(
    src: Path | str,
    choices: Choices,
    *,
    labels: LabelSource = "source",
    report: Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[str]:
    """Check a set of any kind, write the report if asked, and say what would be made, in lines."""
    with open_source(src, folder_classes=labels == "folders") as source:
        images, plan = check(source, choices, workers=workers, progress=progress)
        if report is not None:
            write_report(report, images)
        damaged = [image for image in images if not image.digest]
        skips = choices.skip_damaged and plan is not None
        troubled = [each for each in images if each.trouble and (each.digest or not skips)]
        if plan is None or troubled:
            first = troubled[0]
            more = f"see {report}" if report is not None else "list them with --report FILE.csv"
            if plan is not None:
                more = f"--skip-damaged and --skip-small leave such images out, {more}"
            raise UserError(
                f"{src}: {len(troubled)} of {len(images)} images cannot be used,"
                f" {first.name} first: {first.trouble}; {more}"
            )
        readable = [number for number, image in enumerate(images) if image.digest]
        kept = [readable[index] for index in plan.kept]
        headers = {index: source.header(index) for index in kept}
        _, reason = pick_channels(source, headers, choices.channels)
    size = f"{plan.resolution}x{plan.resolution}"
    used = choices.resample if plan.filtered else "none"
    count = f"{len(readable)}" if damaged else f"all {len(images)}"
    pairs = repeated(image.digest for image in images)
    lines = [
        f"{src}: {source.kind}, {count} images can be read",
        f"  would make: {len(plan.kept)} images of {size}, crop {plan.crop}, filter {used}",
    ]
    lines += [f"  {damaged_line(damaged)}"] if damaged else []
    lines += [f"  {duplicates_line(pairs, source.names)}"] if pairs else []
    return [*lines, f"  {reason}"] if reason else lines


def damaged_line(troubled: Sequence[CheckedImage]) -> str:
    """Line on the images that are left out."""
    first = troubled[0]
    return f"left out as damaged: {len(troubled)}, {first.name} first ({first.trouble})"


def _decoded(source: Source, index: int) -> CheckedImage:
    name, size, header, trouble, digest = source.names[index], 0, None, "", b""
    try:
        size = source.size(index)
        header = source.header(index)
        digest = digest_of(read_as(source, index, header.channels))
    except UserError as error:
        trouble = " ".join(str(error).removeprefix(f"{source.path}: {name}: ").split())
    return CheckedImage(name, size, header, trouble, digest)


def _sized(image: CheckedImage, plan: Plan) -> CheckedImage:
    header = image.header
    if image.trouble or header is None:
        return image
    if fits(plan.crop, header.width, header.height, plan.resolution):
        return image
    return replace(image, trouble=f"too small for {plan.resolution}")
