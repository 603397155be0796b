"""Read the headers of a data set, and plan its size and crops."""

import contextlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from stylegan.datasets import Channels, Choices, Crop
from stylegan.datasets.resize import (
    WIDE_RESOLUTION,
    crop_side,
    fits,
    natural_crop,
    shrinks,
)
from stylegan_eval.engine.command import note
from stylegan_eval.engine.progress import follow
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import CHANNELS, Header
from stylegan_eval.images.parallel import map_ordered
from stylegan_eval.images.source import Source, read_as

MIN_RESOLUTION = 4
_NAMES = {count: name for name, count in CHANNELS.items()}


class HasHeaders(Protocol):
    """Interface of images for `survey`."""

    @property
    def names(self) -> Sequence[str]:
        """One for each image."""

    def __len__(self) -> int:
        """Number of images."""

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`."""


@dataclass(frozen=True)
class Survey:
    """Sizes and modes of all images, from their headers."""

    sizes: Mapping[tuple[int, int], int]  # In pixels, as stored
    modes: Mapping[str, int]  # Pillow's names: RGB, L, P, ...
    smallest: str  # Name of an image with the shortest side of all
    smallest_side: int  # That side in pixels
    headers: tuple[Header, ...]  # Of each image
    names: Sequence[str]  # Of each image

    def fault(self) -> str | None:
        """Why training cannot read these images as they are, or None if it can."""
        if len(self.sizes) > 1:
            (one, another), _ = zip(*Counter(self.sizes).most_common(2), strict=True)
            return (
                f"images differ in size ({one[0]}x{one[1]}, {another[0]}x{another[1]}, ...;"
                f" {self.smallest} is the smallest)"
            )
        width, height = next(iter(self.sizes))
        if width != height:
            return f"images are {width}x{height}, not square"
        if width < MIN_RESOLUTION or width & (width - 1):
            return f"the resolution, {width}, is not a power of two from {MIN_RESOLUTION} on"
        return None


def survey(files: HasHeaders, *, progress: bool = False) -> Survey:
    """Read the headers of all images."""
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        read = map_ordered(pool, files.header, range(len(files)), ahead=16 * threads)
        headers = follow(read, "headers", len(files), shown=progress)
        return summary(files.names, tuple(headers))


def summary(names: Sequence[str], headers: tuple[Header, ...]) -> Survey:
    """Sizes and modes by the headers of one image or more."""
    sides = [min(header.width, header.height) for header in headers]
    smallest = min(range(len(headers)), key=sides.__getitem__)
    return Survey(
        sizes=Counter((header.width, header.height) for header in headers),
        modes=Counter(header.mode for header in headers),
        smallest=names[smallest],
        smallest_side=sides[smallest],
        headers=headers,
        names=names,
    )


@dataclass(frozen=True)
class Plan:
    """Size and crop of a preparation."""

    resolution: int
    crop: Crop
    kept: tuple[int, ...]  # Numbers of the images that are taken, ascending
    filtered: bool  # Whether an image has to be shrunk
    ground: tuple[int, ...] = ()  # Value of each channel around a padded image


def make_plan(source: Source, overview: Survey, choices: Choices) -> Plan:
    """Decide on crop and resolution, and which images are taken."""
    natural = "pad" if choices.pad else natural_crop(source.kind, overview.sizes)
    crop: Crop = choices.crop or natural
    skip = choices.skip_small or crop == "lsun-wide"
    resolution = choices.resolution or _default_resolution(crop, overview, skip=skip)
    kept = tuple(
        index
        for index, header in enumerate(overview.headers)
        if fits(crop, header.width, header.height, resolution)
    )
    if not kept or (len(kept) < len(overview.headers) and not skip):
        raise UserError(_too_small(source, overview, crop, resolution))
    if choices.resolution is None and crop == "centre":
        _note_small(source, overview, resolution)
    shapes = {(overview.headers[index].width, overview.headers[index].height) for index in kept}
    filtered = any(shrinks(crop, width, height, resolution) for width, height in shapes)
    return Plan(resolution, crop, kept, filtered)


def pick_channels(
    source: Source, headers: Mapping[int, Header], wanted: Channels
) -> tuple[int, str]:
    """Channels of a preparation of the images with these headers, and a line that says why.

    The line is empty where RGB is made of RGB.
    """
    counts = Counter(header.channels for header in headers.values())
    kinds = (
        f"{counts[channels]} {what}"
        for channels, what in ((1, "grey"), (3, "in colour"), (4, "with alpha"))
        if counts[channels]
    )
    if wanted != "auto":
        channels = CHANNELS[wanted]
    elif set(counts) == {4}:
        channels = 4 if _any_clear(source, list(headers)) else 3
    else:
        channels = 1 if set(counts) == {1} else 3
    if set(counts) == {channels} == {3}:
        return channels, ""
    line = f"channels: {_NAMES[channels]}, of {', '.join(kinds)}"
    changes = {
        "16 bits become 8": any(header.mode.startswith("I") for header in headers.values()),
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
    sides = [crop_side(crop, header.width, header.height) for header in overview.headers]
    usable = [side for side in sides if side >= MIN_RESOLUTION or not skip]
    return max(MIN_RESOLUTION, 1 << (min(usable, default=MIN_RESOLUTION).bit_length() - 1))


def _note_small(source: Source, overview: Survey, resolution: int) -> None:
    """Name the image that lowers the resolution below what half of the images allow."""
    sides = sorted(min(header.width, header.height) for header in overview.headers)
    usual = 1 << (sides[len(sides) // 2].bit_length() - 1)
    if resolution < usual:
        fewer = sum(side < usual for side in sides)
        smallest = overview.headers[list(overview.names).index(overview.smallest)]
        note(
            f"{source.path}: {overview.smallest} is {smallest.width}x{smallest.height}, so all"
            f" images become {resolution}x{resolution}; --resolution {usual} --skip-small leaves"
            f" out the {fewer} of {len(sides)} that are smaller than {usual}"
        )


def _too_small(source: Source, overview: Survey, crop: Crop, resolution: int) -> str:
    if crop != "centre":
        bad = next(
            index
            for index, header in enumerate(overview.headers)
            if not fits(crop, header.width, header.height, resolution)
        )
        header = overview.headers[bad]
        return (
            f"{source.path}: {overview.names[bad]} is {header.width}x{header.height}, which the"
            f" crop {crop} to {resolution} does not fit: choose another --crop or --resolution"
        )
    side = overview.smallest_side
    smallest = f"{source.path}: {overview.smallest} is only {side} pixels on its shorter side"
    if side < MIN_RESOLUTION:
        return f"{smallest}; at least {MIN_RESOLUTION} are needed: remove it, or use --skip-small"
    return (
        f"{smallest}, below {resolution}, and images are never enlarged: remove it, use"
        f" --skip-small, or ask for at most {1 << (side.bit_length() - 1)}"
    )
