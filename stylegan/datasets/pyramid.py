"""Images at every power-of-two resolution, decoded once, then memory-mapped.

Each image of each level has a CRC-32, which is checked whenever it is read: no other image than
those that were prepared reaches a training. When the folder is opened, nothing is read as long as
size and times of its files are those of the day it was made, which no tool sets back. Else up to
1 GiB is checked, which is all of most sets, and what has changed is prepared again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stylegan.datasets.resize import halve, to_uint8
from stylegan.datasets.survey import MIN_RESOLUTION, Survey, survey
from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.command import note, tell
from stylegan_eval.engine.files import (
    FolderTakenError,
    atomic_folder,
    atomic_write,
    check_writable,
    locked,
)
from stylegan_eval.engine.progress import follow, progress_bar
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest, is_new
from stylegan_eval.images.files import open_images, prepare_command, read_batches
from stylegan_eval.images.source import Source

FORMAT_VERSION = 2
ABOUT = "about.json"
CHECKSUMS = "checksums.npy"  # uint32 [levels, N]
_BATCH_BYTES = 2**25  # of full-size images read at a time
_MANY = 10_000  # images whose check is worth a bar
_DAMAGED = (OSError, ValueError, EOFError, LookupError, TypeError, AttributeError)
_CHECKED_BYTES = 2**30  # of a folder whose files have other times than when it was made


@dataclass(frozen=True, eq=False)
class Pyramid:
    """N images at full resolution R and at every halving of it down to 4x4; see `open_pyramid`.

    The files are mapped, not loaded; in another process they are mapped anew.
    """

    folder: Path
    labels: np.ndarray | None  # int64 [N] classes, or float32 [N, A]
    attributes: tuple[str, ...]  # names of the A columns of `labels`, or none
    classes: tuple[str, ...]  # names of the classes, or none
    digest: str  # `content_digest` of the images it was made from
    earlier_digest: str  # what versions that looked at times instead of content said
    _levels: tuple[np.ndarray, ...]
    _checksums: np.ndarray

    def __len__(self) -> int:
        return len(self._levels[0])

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the numbers in a label: of classes or attributes, where they have their own."""
        names = self.classes or self.attributes
        return names if all(names) and len(set(names)) == len(names) else ()

    def __getstate__(self) -> dict[str, Any]:
        """State for another process: paths of the levels, not their content."""
        return {**self.__dict__, "_levels": self.resolution, "_checksums": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files."""
        levels, checksums = _mapped(state["folder"], state["_levels"])
        self.__dict__.update(state, _levels=levels, _checksums=checksums)

    @property
    def resolution(self) -> int:
        """R, in pixels."""
        return int(self._levels[0].shape[3])

    @property
    def channels(self) -> int:
        """C: 1 (grey), 3 or 4 (RGBA)."""
        return int(self._levels[0].shape[1])

    @property
    def max_lod(self) -> int:
        """The last level of detail, which is 4x4."""
        return len(self._levels) - 1

    def level(self, lod: int) -> np.ndarray:
        """All images at `lod`, uint8 [N, C, R >> lod, R >> lod], read-only and mapped."""
        if not 0 <= lod <= self.max_lod:
            raise ValueError(f"lod {lod} is not in [0, {self.max_lod}]")
        return self._levels[lod]

    def read(self, lod: int, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read images of these numbers at `lod`, checked, as uint8 [n, C, R >> lod, R >> lod]."""
        images = np.ascontiguousarray(self.level(lod)[numbers])
        expected = self._checksums[lod][numbers]
        for image, number, checksum in zip(images, numbers, expected, strict=True):
            if zlib.crc32(memoryview(image)) != checksum:
                size = self.resolution >> lod
                with contextlib.suppress(OSError):
                    (self.folder / ABOUT).unlink()  # so that the next start prepares it again
                raise UserError(
                    f"{self.folder}: image {number} of {size}x{size} is damaged on the disk: the"
                    " prepared images are made again at the next start; go on with --resume"
                )
        return images


def open_pyramid(path: Path, *, cache: Path | None = None, progress: bool = True) -> Pyramid:
    """Open the pyramid of a folder or zip of images; prepare it in the cache the first time.

    A level is the 2x2 mean of the one above, kept in float32 through the chain and rounded to
    8 bits for each level, as the official ``dataset_tool.py`` does. All images must be square, of
    one size, a power of two from 4 on. They have the channels that the set says.
    """
    with open_images(path) as files:
        if is_new(files, cache):  # refuse what does not fit before everything is read
            survey(files, progress=progress).check(files.path)
        digest = content_digest(files, cache)
        folder = (cache or cache_dir()) / "pyramids" / _key(FORMAT_VERSION, digest, files.channels)
        if folder.exists() and not _is_whole(folder, digest, progress=progress):
            with locked(folder):  # Another process may have made it anew meanwhile.
                if folder.exists() and not _is_whole(folder, digest, progress=progress):
                    tell(f"note: {folder} has changed since it was made: it is made again")
                    shutil.rmtree(folder)
        if not folder.exists():
            _build(files, digest, folder, progress=progress)
        _, levels, checksums = _opened(folder)
        return Pyramid(
            folder=folder,
            labels=files.labels,
            attributes=files.attributes,
            classes=files.classes,
            digest=digest,
            earlier_digest=files.digest,
            _levels=levels,
            _checksums=checksums,
        )


def _is_whole(folder: Path, digest: str, *, progress: bool) -> bool:
    """Whether a pyramid of the images with this digest is as it was made, as far as it is read."""
    try:
        about, levels, checksums = _opened(folder)
        stamps = _stamps(folder)
        if about["content"] != digest:
            return False
        if about["stamps"] == stamps:
            return True
        size = sum(level[0].nbytes for level in levels)
        numbers = np.arange(count := len(levels[0]))
        if size * count > _CHECKED_BYTES:
            rng = np.random.default_rng(0)
            numbers = rng.choice(count, max(1, _CHECKED_BYTES // size), replace=False)
        if not _as_made(levels, checksums, numbers, progress=progress):
            return False
    except _DAMAGED:
        return False
    with contextlib.suppress(UserError):  # of a folder that cannot be written
        _write_about(folder, {**about, "stamps": stamps})
    return True


def prepared_in(cache: Path) -> list[Path]:
    """Folders of the pyramids in a cache; those of earlier versions are not read any more."""
    folders = sorted((cache / "pyramids").glob("[!.]*"))
    return [folder for folder in folders if (folder / CHECKSUMS).exists()]


def check_pyramid(folder: Path, *, progress: bool = True) -> bool:
    """Read all images of a pyramid; one with a damaged image is made again when it is wanted."""
    with contextlib.suppress(*_DAMAGED):
        _, levels, checksums = _opened(folder)
        if _as_made(levels, checksums, np.arange(len(levels[0])), progress=progress):
            return True
    with contextlib.suppress(OSError):
        (folder / ABOUT).unlink()
    return False


def _as_made(
    levels: Sequence[np.ndarray], checksums: np.ndarray, numbers: np.ndarray, *, progress: bool
) -> bool:
    shown = progress and len(numbers) >= _MANY
    return all(
        zlib.crc32(memoryview(level[number])) == expected[number]
        for number in follow(numbers, "check", len(numbers), unit="img", shown=shown)
        for level, expected in zip(levels, checksums, strict=True)
    )


def _key(version: int, digest: str, channels: int = 3) -> str:
    content = digest if channels == 3 else f"{digest} of {channels} channels"
    return hashlib.sha256(f"pyramid {version} {content}".encode()).hexdigest()[:32]


def _note_channels(files: Source, overview: Survey) -> None:
    """Say that images are trained on as RGB which have other channels, all of them."""
    kinds = {overview.headers[number].channels for number in overview.numbers}
    how = {1: ("are grey", "L"), 4: ("have alpha, put over white", "RGBA")}
    if files.channels == 3 and len(kinds) == 1 and (channels := kinds.pop()) in how:
        what, name = how[channels]
        note(
            f"{files.path}: all images {what}, and are trained on as RGB; for networks of {name}:"
            f" {prepare_command(files.path)} --channels {name}"
        )


def _build(files: Source, digest: str, folder: Path, *, progress: bool) -> None:
    overview = survey(files, progress=progress)
    overview.check(files.path)
    _note_channels(files, overview)
    resolution = overview.smallest_side
    sizes = [resolution >> lod for lod in range(_level_count(resolution))]
    channels = files.channels
    # What an earlier version made has no checksums and is not used any more.
    shutil.rmtree(folder.with_name(_key(1, files.digest)), ignore_errors=True)
    _check_space(files, folder, sum(channels * len(files) * size**2 for size in sizes))
    batch = max(1, _BATCH_BYTES // (channels * resolution**2))
    checksums = np.empty((len(sizes), len(files)), np.uint32)
    with (
        # Another process that finished first has made the same files.
        contextlib.suppress(FolderTakenError),
        atomic_folder(folder) as temporary,
    ):
        with (
            _level_files(temporary, sizes, (len(files), channels)) as outputs,
            progress_bar(desc="pyramid", total=len(files), unit="img", shown=progress) as bar,
        ):
            start = 0
            for images in read_batches(files, range(len(files)), batch, channels):
                part = slice(start, start := start + len(images))
                checksums[:, part] = _append_levels(images, outputs)
                bar.update(len(images))
        np.save(temporary / CHECKSUMS, checksums)
        about = {"content": digest, "count": len(files), "resolution": resolution}
        text = json.dumps({**about, "stamps": _stamps(temporary)})
        (temporary / ABOUT).write_text(text, encoding="utf-8")


def _append_levels(images: np.ndarray, outputs: Sequence[BinaryIO]) -> list[list[int]]:
    """Append uint8 [N, C, R, R] to the first file, its 2x2 means to the next, and so on.

    Returns the CRC-32 of each image, for each level.
    """
    level, checksums = images.astype(np.float32), []
    for lod, output in enumerate(outputs):
        level = halve(level) if lod else level
        stored = np.ascontiguousarray(to_uint8(level))
        output.write(stored.tobytes())
        checksums.append([zlib.crc32(memoryview(image)) for image in stored])
    return checksums


@contextlib.contextmanager
def _level_files(
    folder: Path, sizes: Sequence[int], shape: tuple[int, int]
) -> Iterator[list[BinaryIO]]:
    """Open one .npy file [N, C, H, W] for each level, its header written; synced at the end.

    Written in order rather than through a mapping: on a full disk a mapping kills the process.
    """
    with contextlib.ExitStack() as stack:
        outputs: list[BinaryIO] = []
        for size in sizes:
            output: BinaryIO = stack.enter_context((folder / _level_name(size)).open("wb"))
            whole = (*shape, size, size)
            header = {"descr": "|u1", "fortran_order": False, "shape": whole}
            np.lib.format.write_array_header_1_0(output, header)
            outputs.append(output)
        yield outputs
        for output in outputs:
            output.flush()
            os.fsync(output.fileno())


def _opened(folder: Path) -> tuple[dict[str, Any], tuple[np.ndarray, ...], np.ndarray]:
    """Metadata of a pyramid, levels and checksums; one of `_DAMAGED` if they do not fit."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    levels, checksums = _mapped(folder, int(about["resolution"]))
    if len(levels[0]) != about["count"]:
        raise ValueError(f"{len(levels[0])} images, not {about['count']}")
    return about, levels, checksums


def _mapped(folder: Path, resolution: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Map all levels and the checksums; ValueError, OSError or EOFError where they do not fit."""
    checksums = np.load(folder / CHECKSUMS, mmap_mode="r", allow_pickle=False)
    levels: list[np.ndarray] = []
    for lod in range(_level_count(resolution)):
        size = resolution >> lod
        level = np.load(folder / _level_name(size), mmap_mode="r", allow_pickle=False)
        channels = (levels or [level])[0].shape[1]
        if level.shape != (checksums.shape[1], channels, size, size) or level.dtype != np.uint8:
            raise ValueError(f"{_level_name(size)} has {level.dtype} {level.shape}")
        levels.append(level)
    if checksums.shape != (len(levels), len(levels[0])) or checksums.dtype != np.uint32:
        raise ValueError(f"{CHECKSUMS} has {checksums.dtype} {checksums.shape}")
    return tuple(levels), checksums


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Size and times of the files; another machine may see other inodes on a shared folder."""
    files = {path.name: path.stat() for path in sorted(folder.glob("*.npy"))}
    return {name: [s.st_size, s.st_mtime_ns, s.st_ctime_ns] for name, s in files.items()}


def _write_about(folder: Path, about: Mapping[str, Any]) -> None:
    with atomic_write(folder / ABOUT) as temporary:
        temporary.write_text(json.dumps(about), encoding="utf-8")


def _check_space(files: Source, folder: Path, needed: int) -> None:
    if folder.is_dir():  # another process has finished first
        return
    try:
        check_writable(folder)
    except UserError as error:
        raise UserError(f"{error}: choose another folder with --cache or STYLEGAN_CACHE") from error
    above = folder
    while not above.exists():
        above = above.parent
    free = shutil.disk_usage(above).free
    if free < needed:
        raise UserError(
            f"the prepared copy of {files.path} needs {needed / 1e9:.2f} GB in {folder.parent},"
            f" where {free / 1e9:.2f} GB are free: free some, or choose another disk with --cache"
            " or STYLEGAN_CACHE"
        )


def _level_count(resolution: int) -> int:
    return (resolution // MIN_RESOLUTION).bit_length()


def _level_name(size: int) -> str:
    return f"{size:04d}.npy"
