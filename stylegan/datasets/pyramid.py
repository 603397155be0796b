"""The images at every power-of-two resolution, decoded once and mapped into memory from then on."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stylegan.datasets.resample import halve, to_uint8
from stylegan.datasets.survey import MIN_RESOLUTION, survey
from stylegan_eval.cache import cache_dir
from stylegan_eval.errors import UserError
from stylegan_eval.files import FolderTakenError, atomic_folder
from stylegan_eval.images import ImageFiles, open_images, read_batches
from stylegan_eval.progress import progress_bar

FORMAT_VERSION = 1
_BATCH_BYTES = 2**25  # of full-size images read at a time


@dataclass(frozen=True, eq=False)
class Pyramid:
    """N images at full resolution R and at every halving of it down to 4x4.

    Made by `open_pyramid`. The files are mapped, not loaded.

    Attributes
    ----------
    resolution : int
        R, in pixels.
    labels : ndarray or None
        int64 [N] classes, or float32 [N, A].
    attributes : tuple of str
        Names of the A columns of `labels`, or none.
    digest : str
        `ImageFiles.digest` of the images it was made from.
    """

    resolution: int
    labels: np.ndarray | None
    attributes: tuple[str, ...]
    digest: str
    _levels: tuple[np.memmap, ...]

    def __len__(self) -> int:
        return len(self._levels[0])

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: where the levels are, not what is in them."""
        return self.__dict__ | {"_levels": [level.filename for level in self._levels]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files anew."""
        levels = tuple(np.load(path, mmap_mode="r") for path in state["_levels"])
        self.__dict__.update(state | {"_levels": levels})

    @property
    def max_lod(self) -> int:
        """The last level of detail, which is 4x4."""
        return len(self._levels) - 1

    def level(self, lod: int) -> np.ndarray:
        """All images at level of detail `lod`, an integer in [0, `max_lod`].

        Returns
        -------
        ndarray
            uint8 [N, 3, R >> lod, R >> lod], read-only and mapped from a file.
        """
        if not 0 <= lod <= self.max_lod:
            raise ValueError(f"lod {lod} is not in [0, {self.max_lod}]")
        return self._levels[lod]


def open_pyramid(path: Path, *, cache: Path | None = None, progress: bool = True) -> Pyramid:
    """Open the pyramid of a folder or zip of images; prepare it in the cache the first time.

    A level is the 2x2 mean of the one above, kept in float32 through the chain and rounded to
    8 bits for each level, as the official ``dataset_tool.py`` does.

    Parameters
    ----------
    path : Path
        Folder or zip; all images square, of one size, a power of two from 4 on.
    cache : Path or None
        Where pyramids are kept; None means `cache_dir`.

    Raises
    ------
    UserError
        The images cannot be read or are not of such a size, the disk has no room, or the cached
        files are damaged.
    """
    with open_images(path) as files:
        key = hashlib.sha256(f"pyramid {FORMAT_VERSION} {files.digest}".encode()).hexdigest()[:32]
        folder = (cache or cache_dir()) / "pyramids" / key
        if not folder.exists():
            _build(files, folder, progress=progress)
        return Pyramid(
            labels=files.labels,
            attributes=files.attributes,
            digest=files.digest,
            resolution=(levels := _mapped(folder, len(files)))[0].shape[3],
            _levels=levels,
        )


def _build(files: ImageFiles, folder: Path, *, progress: bool) -> None:
    found = survey(files, progress=progress)
    if (fault := found.fault()) is not None:
        raise UserError(
            f"{files.path}: {fault}; make a set that fits with:"
            f" stylegan-data prepare {files.path} OUT.zip"
        )
    resolution = found.smallest_side
    sizes = [resolution >> lod for lod in range(_level_count(resolution))]
    _check_space(files, folder, sum(3 * len(files) * size**2 for size in sizes))
    batch = max(1, _BATCH_BYTES // (3 * resolution**2))
    with (
        # Another process that finished first has made the same files.
        contextlib.suppress(FolderTakenError),
        atomic_folder(folder) as temporary,
        _level_files(temporary, sizes, len(files)) as outputs,
        progress_bar(desc="pyramid", total=len(files), unit="img", shown=progress) as bar,
    ):
        for images in read_batches(files, range(len(files)), batch):
            _append_levels(images, outputs)
            bar.update(len(images))


def _append_levels(images: np.ndarray, outputs: Sequence[BinaryIO]) -> None:
    """Append uint8 [N, 3, R, R] to the first file, its 2x2 means to the next, and so on."""
    level = images.astype(np.float32)
    for lod, output in enumerate(outputs):
        level = halve(level) if lod else level
        output.write(to_uint8(level).tobytes())


@contextlib.contextmanager
def _level_files(folder: Path, sizes: Sequence[int], count: int) -> Iterator[list[BinaryIO]]:
    """Open one .npy file for each level, its header written; they are on the disk at the end.

    Written in order rather than through a mapping: on a full disk a mapping kills the process.
    """
    with contextlib.ExitStack() as stack:
        outputs: list[BinaryIO] = []
        for size in sizes:
            output: BinaryIO = stack.enter_context((folder / _level_name(size)).open("wb"))
            shape = (count, 3, size, size)
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(output, header)
            outputs.append(output)
        yield outputs
        for output in outputs:
            output.flush()
            os.fsync(output.fileno())


def _mapped(folder: Path, count: int) -> tuple[np.memmap, ...]:
    try:
        resolution = max(int(file.stem) for file in folder.glob("*.npy"))
        levels = []
        for lod in range(_level_count(resolution)):
            size = resolution >> lod
            level = np.load(folder / _level_name(size), mmap_mode="r")
            if level.shape != (count, 3, size, size) or level.dtype != np.uint8:
                raise ValueError(f"{_level_name(size)} has {level.dtype} {level.shape}")
            levels.append(level)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{folder} is damaged ({error}): remove it, it is made again") from error
    return tuple(levels)


def _check_space(files: ImageFiles, folder: Path, needed: int) -> None:
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
