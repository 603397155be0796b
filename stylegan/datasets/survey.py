"""Read the headers of a data set, and plan its size and crops."""

import contextlib
import itertools
import os
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from stylegan.datasets import Channels, Choices, Crop
from stylegan.datasets.resize import WIDE_RESOLUTION, crop_side, fits, natural_crop, shrinks
from stylegan_eval.engine.command import note
from stylegan_eval.engine.progress import follow
from stylegan_eval.engine.untrusted import one_line
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import CHANNELS, Header
from stylegan_eval.images.files import map_ordered, prepare_command
from stylegan_eval.images.source import Source, read_as

T = TypeVar("T")

MIN_RESOLUTION = 4
MAX_RESOLUTION = 8192  # the largest whose images are read again
_NAMES = {count: name for name, count in CHANNELS.items()}


class Headers:
    """Headers of N images, nine bytes each; 0x0 where none is known."""

    def __init__(self, count: int) -> None:
        self._sides = np.zeros((count, 2), np.int32)
        self._kinds = np.zeros(count, np.uint8)
        self._modes = [""]  # by their kind

    def __getitem__(self, index: int) -> Header:
        width, height = self._sides[index].tolist()
        return Header(width, height, self._modes[self._kinds[index]])

    def __setitem__(self, index: int, header: Header) -> None:
        if header.mode not in self._modes:
            self._modes.append(header.mode)
        self._sides[index] = header[:2]
        self._kinds[index] = self._modes.index(header.mode)


@dataclass(frozen=True)
class Survey:
    """Sizes and modes of images, from their headers."""

    sizes: Mapping[tuple[int, int], int]  # In pixels, as stored
    modes: Mapping[str, int]  # Pillow's names: RGB, L, P, ...
    smallest: int  # Number of an image with the shortest side of all
    smallest_side: int  # That side in pixels
    numbers: Sequence[int]  # Of the images, ascending
    headers: Headers  # By those numbers
    names: Sequence[str]  # Likewise

    def fault(self) -> str | None:
        """Why training cannot read these images as they are, or None if it can."""
        if len(self.sizes) > 1:
            (one, another), _ = zip(*Counter(self.sizes).most_common(2), strict=True)
            return (
                f"images differ in size ({one[0]}x{one[1]}, {another[0]}x{another[1]}, ...;"
                f" {one_line(self.names[self.smallest])} is the smallest)"
            )
        width, height = next(iter(self.sizes))
        if width != height:
            return f"images are {width}x{height}, not square"
        if width < MIN_RESOLUTION or width & (width - 1):
            return f"the resolution, {width}, is not a power of two from {MIN_RESOLUTION} on"
        return None

    def check(self, place: Path | str) -> None:
        """Refuse images with a `fault`; `place` is where they are."""
        if (fault := self.fault()) is not None:
            command = prepare_command(place)
            raise UserError(f"{place}: {fault}; make a set that fits with: {command}")


def survey(files: Source, *, progress: bool = False) -> Survey:
    """Read the headers of all images."""
    headers = Headers(len(files))
    for number, header in enumerate(read_headers(files, files.header, progress=progress)):
        headers[number] = header
    return summary(files.names, headers, range(len(files)))


def read_headers(files: Source, read: Callable[[int], T], *, progress: bool = False) -> Iterator[T]:
    """`read` of the header of each image, in several threads."""
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        found = map_ordered(pool, read, range(len(files)), ahead=16 * threads)
        yield from follow(found, "headers", len(files), shown=progress)


def summary(names: Sequence[str], headers: Headers, numbers: Sequence[int]) -> Survey:
    """Sizes and modes by the headers of the images of these numbers, at least one."""
    chosen = (headers[number] for number in numbers)
    counts = Counter(chosen)
    smallest = min(numbers, key=lambda number: min(headers[number][:2]))
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    for header, count in counts.items():
        sizes[header.width, header.height] += count
        modes[header.mode] += count
    return Survey(
        sizes=sizes,
        modes=modes,
        smallest=smallest,
        smallest_side=min(headers[smallest][:2]),
        numbers=numbers,
        headers=headers,
        names=names,
    )


@dataclass(frozen=True)
class Plan:
    """Size and crop of a preparation."""

    resolution: int
    crop: Crop
    kept: Sequence[int]  # Numbers of the images that are taken, ascending
    filtered: bool  # Whether an image has to be shrunk
    ground: tuple[int, ...] = ()  # Value of each channel around a padded image


def make_plan(source: Source, overview: Survey, choices: Choices) -> Plan:
    """Decide on crop and resolution, and which images are taken."""
    natural = "pad" if choices.pad else natural_crop(source.kind, overview.sizes)
    crop: Crop = choices.crop or natural
    skip = choices.skip_small or crop == "lsun-wide"
    resolution = choices.resolution or _default_resolution(crop, overview, skip=skip)
    if resolution > MAX_RESOLUTION:
        raise UserError(
            f"--resolution {resolution}: images of at most {MAX_RESOLUTION}x{MAX_RESOLUTION} can be"
            " read again: ask for that, or for less"
        )
    fitting = {size for size in overview.sizes if fits(crop, *size, resolution)}
    kept: Sequence[int] = overview.numbers
    if len(fitting) < len(overview.sizes):
        headers = overview.headers
        kept = array("q", (n for n in overview.numbers if headers[n][:2] in fitting))
    if not kept or (len(kept) < len(overview.numbers) and not skip):
        raise UserError(_too_small(source, overview, crop, resolution))
    filtered = any(shrinks(crop, width, height, resolution) for width, height in fitting)
    return Plan(resolution, crop, kept, filtered)


def pick_channels(
    source: Source, headers: Headers, numbers: Sequence[int], wanted: Channels
) -> tuple[int, str]:
    """Channels of a preparation of the images of these numbers, and a line that says why.

    The line is empty where RGB is made of RGB.
    """
    counts = Counter(headers[number].channels for number in numbers)
    kinds = (
        f"{counts[channels]} {what}"
        for channels, what in ((1, "grey"), (3, "in colour"), (4, "with alpha"))
        if counts[channels]
    )
    if wanted != "auto":
        channels = CHANNELS[wanted]
    elif set(counts) == {4}:
        channels = 4 if _any_clear(source, numbers) else 3
    else:
        channels = 1 if set(counts) == {1} else 3
    if set(counts) == {channels} == {3}:
        return channels, ""
    line = f"channels: {_NAMES[channels]}, of {', '.join(kinds)}"
    changes = {
        "16 bits become 8": any(headers[number].mode.startswith("I") for number in numbers),
        "grey becomes three equal channels": counts[1] and channels > 1,
        "colour becomes its luma": channels == 1 and set(counts) > {1},
        "alpha is put over white": counts[4] and channels < 4,
        "what is wholly transparent becomes white": counts[4] and channels == 4,
    }
    return channels, "; ".join([line, *(change for change, made in changes.items() if made)])


def _any_clear(source: Source, numbers: Sequence[int]) -> bool:
    """Whether a pixel of RGBA images is not opaque; reads until it finds one."""

    def is_clear(index: int) -> bool:
        with contextlib.suppress(UserError):  # told when the image is prepared
            return bool(read_as(source, index, 4)[3].min() < 255)
        return False

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        return any(map_ordered(pool, is_clear, numbers, ahead=2 * threads))


def _default_resolution(crop: Crop, overview: Survey, *, skip: bool) -> int:
    if crop == "lsun-wide":
        return WIDE_RESOLUTION
    sides = [crop_side(crop, width, height) for width, height in overview.sizes]
    usable = [side for side in sides if side >= MIN_RESOLUTION or not skip]
    largest = 1 << (min(usable, default=MIN_RESOLUTION).bit_length() - 1)
    return min(max(MIN_RESOLUTION, largest), MAX_RESOLUTION)


def note_small(source: Source, overview: Survey, plan: Plan, choices: Choices) -> None:
    """Name the image that lowers the resolution below what half of the images allow."""
    if choices.resolution is not None or plan.crop != "centre":
        return
    resolution = plan.resolution
    sides = Counter[int]()
    for size, count in overview.sizes.items():
        sides[min(size)] += count
    usual = 1 << (_median(sides).bit_length() - 1)
    if resolution < usual:
        fewer = sum(count for side, count in sides.items() if side < usual)
        smallest = overview.headers[overview.smallest]
        note(
            f"{source.path}: {one_line(overview.names[overview.smallest])} is"
            f" {smallest.width}x{smallest.height}, so all"
            f" images become {resolution}x{resolution}; --resolution {usual} --skip-small leaves"
            f" out the {fewer} of {sides.total()} that are smaller than {usual}"
        )


def _median(counts: Counter[int]) -> int:
    """The larger of the two in the middle, where there are two.

    >>> _median(Counter([1, 2, 2, 7]))
    2
    """
    values = sorted(counts)
    totals = list(itertools.accumulate(counts[value] for value in values))
    return values[bisect_right(totals, totals[-1] // 2)]


def _too_small(source: Source, overview: Survey, crop: Crop, resolution: int) -> str:
    if crop != "centre":
        bad = next(
            number
            for number in overview.numbers
            if not fits(crop, *overview.headers[number][:2], resolution)
        )
        header, name = overview.headers[bad], one_line(overview.names[bad])
        return (
            f"{source.path}: {name} is {header.width}x{header.height}, which"
            f" the crop {crop} to {resolution} does not fit: choose another --crop or --resolution"
        )
    side = overview.smallest_side
    name = one_line(overview.names[overview.smallest])
    smallest = f"{source.path}: {name} is only {side} pixels on its shorter side"
    if side < MIN_RESOLUTION:
        return f"{smallest}; at least {MIN_RESOLUTION} are needed: remove it, or use --skip-small"
    return (
        f"{smallest}, below {resolution}, and images are never enlarged: remove it, use"
        f" --skip-small, or ask for at most {1 << (side.bit_length() - 1)}"
    )
