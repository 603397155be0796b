"""Notes for a row on the two sides of its comparison: what is unknown of them, how they differ."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.sampling import SHOWN
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import ImageFiles
from stylegan_eval.images.memory import MemoryImages
from stylegan_eval.images.source import EncodedImages, HasHeader
from stylegan_eval.metrics.features import ImageFeatures, Size
from stylegan_eval.metrics.image_pass import FileImages, FunctionImages, Images
from stylegan_eval.results.results import one_note
from stylegan_eval.settings.image_metrics import FeatureSettings, GeneratedSettings, RealSettings

_ALIKE = 1.1  # times: where sizes within a side differ, medians closer than this are alike
_ENCODED = (ImageFiles, EncodedImages)
_LOOKED_UP = 64  # images of files that are looked for among the real ones


def on_both_sides(fakes: Images | StoredStats, reals: Images | StoredStats) -> str:
    """Note that images stand on both sides; "" where none is found, and of halves of one set."""
    if isinstance(fakes, Images) and (fakes.are_real or not isinstance(fakes.source, FileImages)):
        return ""
    same = content_of(fakes) == content_of(reals)
    which = "the images of --images are those of --data"
    if isinstance(fakes, Images) and isinstance(reals, Images):
        assert isinstance(fakes.source, FileImages)
        assert isinstance(reals.source, FileImages)
        found, looked_up = _in_both(fakes.source, reals.source, same=same)
        same = found > 0
        which = (
            f"{found} of {looked_up} images of --images that were looked up are among the real ones"
        )
    remedy = "give others, or use fid --floor, which compares halves of one set"
    return f"{which}: the value is no distance between two samples; {remedy}" if same else ""


def in_held_out(
    held_out: Images | StoredStats | None,
    fakes: Images | StoredStats,
    reals: Images | StoredStats | None,
) -> str:
    """Note that held-out images are among generated or training ones; "" where none is found."""
    if not isinstance(held_out, Images):
        return ""
    assert isinstance(held_out.source, FileImages)
    for name, side in (("--data", reals), ("--images", fakes)):
        if isinstance(side, Images) and isinstance(side.source, FileImages):
            same = content_of(held_out) == content_of(side)
            found, looked_up = _in_both(held_out.source, side.source, same=same)
            if found:
                return (
                    f"{found} of {looked_up} images of --held-out that were looked up are among"
                    f" those of {name}: they are not held out, and copying is hidden; give others"
                )
    return ""


def shown_as_rgb(*sides: Images | StoredStats | None) -> str:
    """Note that networks of RGB see files of other channels, by the headers of the first ones."""
    kinds: set[int] = set()
    for side in sides:
        if isinstance(side, Images) and isinstance(side.source, FunctionImages):
            kinds |= side.source.function.seen.channels
        if isinstance(side, Images) and isinstance(side.source, FileImages):
            files, chosen = side.source.files, side.source.indices[:_LOOKED_UP]
            if isinstance(files, HasHeader):
                for number in chosen:
                    with suppress(UserError):  # told when it is read
                        kinds.add(files.header(number).channels)
            elif isinstance(files, MemoryImages):
                kinds |= files.seen.channels
    return of_channels(kinds)


def of_channels(kinds: set[int]) -> str:
    """The same of the numbers of channels."""
    return one_note(*(SHOWN[channels] for channels in sorted(kinds) if channels in SHOWN))


def unknown_mirror(
    reals: Images | StoredStats | None, fakes: Images | StoredStats, settings: GeneratedSettings
) -> str:
    """Note that ``--mirror auto`` did not know what to do; empty where it did."""
    if not isinstance(settings, RealSettings) or not isinstance(reals, Images):
        return ""
    auto = settings.mirror == "auto" and settings.reals != "full"
    if not auto or not isinstance(fakes, Images) or fakes.mirrored is not None:
        return ""
    return (
        "not known whether the network was trained on mirrored images: not flipped; --mirror yes"
        " flips"
    )


def unnamed(side: Images | StoredStats | None, path: Any, settings: FeatureSettings) -> str:
    """Note that a file of statistics, as other packages write it, names no feature network."""
    if not isinstance(side, StoredStats) or side.detector:
        return ""
    return f"{path} does not say of which network its features are: taken as {settings.features}"


def unknown_count(fakes: Images | StoredStats, path: Any, settings: FeatureSettings) -> str:
    """Note that the number of images is what the user says."""
    if not isinstance(fakes, StoredStats) or fakes.count is not None:
        return ""
    return f"{path} does not say how many images its statistics are of: {settings.num} by --num"


def odd_values(*sides: Images | StoredStats | None) -> str:
    """Note of images that a program hands in whose values are hardly of their range."""
    notes = []
    for side in sides:
        source = side.source if isinstance(side, Images) else None
        if isinstance(source, FunctionImages):
            function = source.function
            notes.append(function.seen.note(str(function), function.value_range))
        elif isinstance(source, FileImages) and isinstance(source.files, MemoryImages):
            notes.append(source.files.note)
    return one_note(*notes)


def unlike_sizes(
    fakes: Images | StoredStats,
    reals: Images | StoredStats | None,
    fake: ImageFeatures,
    real: ImageFeatures,
) -> str:
    """Note of images of unlike sizes, within a side or between the sides; "" where there are none.

    `fake` and `real`: what the network saw in them.
    """
    return of_unlike_sizes(
        {
            word: sizes_of(images, seen)
            for word, images, seen in (("fakes", fakes, fake), ("reals", reals, real))
            if isinstance(images, Images)
        }
    )


def of_unlike_sizes(sides: Mapping[str, Counter[Size]]) -> str:
    """The same of the sizes of each side."""
    text = ", ".join(f"{word} {_in_words(sizes)}" for word, sizes in sides.items())
    medians = [_median(sizes) for sizes in sides.values()]
    within = any(len(sizes) > 1 for sizes in sides.values())
    alike = _ALIKE if within else 1
    if any(max(axis) > alike * min(axis) for axis in zip(*medians, strict=True)):
        return (
            f"{text}: each image goes through the network's resize, and what the sizes do to"
            " sharpness is part of the value"
        )
    return f"{text}: each image goes through the network's resize" if within else ""


def sizes_of(images: Images, seen: ImageFeatures) -> Counter[Size]:
    """How many images are of each size."""
    if seen.sizes or not isinstance(images.source, FileImages):
        return seen.sizes or Counter({images.size: images.num})
    height, width = images.source.files.read(images.source.indices[0]).shape[1:]
    return Counter({(height, width): images.num})


def _in_words(sizes: Counter[Size]) -> str:
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    ends = [f"{width}x{height}" for height, width in (ordered[0], ordered[-1])]
    if len(sizes) == 1:
        return f"are {ends[0]}"
    return f"are of {len(sizes)} sizes, {' to '.join(ends)}"


def _median(sizes: Counter[Size]) -> tuple[float, float]:
    """Of the heights and of the widths."""
    heights, widths = (sorted(size[axis] for size in sizes.elements()) for axis in (0, 1))
    return heights[len(heights) // 2], widths[len(widths) // 2]


def content_of(images: Images | StoredStats) -> str:
    """Digest of what the images are."""
    return images.content if isinstance(images, StoredStats) else str(images.key["content"])


def _in_both(fakes: FileImages, reals: FileImages, *, same: bool) -> tuple[int, int]:
    """How many generated images are real ones too, and of how many; `same`: of one content.

    Of other sets, a zip of the files say, some images are looked for by the bytes of their files.
    """
    if same:
        return len(set(fakes.indices) & set(reals.indices)), len(fakes.indices)
    ours, theirs = fakes.files, reals.files
    looked_up = fakes.indices[:: max(1, len(fakes.indices) // _LOOKED_UP)][:_LOOKED_UP]
    if isinstance(ours, MemoryImages) and isinstance(theirs, MemoryImages):
        return _held_in_both(ours, looked_up, theirs, reals.indices), len(looked_up)
    if not isinstance(ours, _ENCODED) or not isinstance(theirs, _ENCODED):  # pixels
        return 0, 0
    of_size: dict[int, list[int]] = {}
    for index in reals.indices:
        of_size.setdefault(theirs.size(index), []).append(index)

    @cache
    def digest(real: int) -> bytes:
        return hashlib.sha256(theirs.encoded(real)).digest()

    found = 0
    for fake in looked_up:
        name = Path(ours.names[fake]).name
        alike = of_size.get(ours.size(fake), [])
        # Of many files of one size (BMP) those of the same name come first.
        alike = sorted(alike, key=lambda real: Path(theirs.names[real]).name != name)
        wanted = hashlib.sha256(ours.encoded(fake)).digest()
        found += wanted in map(digest, alike[:_LOOKED_UP])
    return found, len(looked_up)


def _held_in_both(
    fakes: MemoryImages, looked_up: Sequence[int], reals: MemoryImages, indices: Sequence[int]
) -> int:
    """Count generated images that are also real ones. Equal middle rows are compared in full."""

    def row(image: NDArray[np.uint8]) -> bytes:
        middle = image[:, image.shape[1] // 2]
        return hashlib.sha256(f"{image.shape}".encode() + middle.tobytes()).digest()

    by_row: dict[bytes, list[int]] = {}
    for index in indices:
        by_row.setdefault(row(reals.read(index)), []).append(index)
    images = [fakes.read(index) for index in looked_up]
    return sum(
        any(np.array_equal(image, reals.read(at)) for at in by_row.get(row(image), [])[:_LOOKED_UP])
        for image in images
    )
