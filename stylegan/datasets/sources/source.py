"""The protocol of a data source, and images that are encoded files."""

import hashlib
import importlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from stylegan_eval.engine.files import stamp_of
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header, decode, read_header

MAX_IMAGES = 2**24
"""Larger sets are refused before their names are gathered."""

MAX_LABEL_BYTES = 2**28
"""The same for a file of labels."""


class Source(Protocol):
    """N images, their names and labels. Reading from several threads is safe."""

    @property
    def kind(self) -> str:
        """What it is, in words: "TFRecords", ..."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def names(self) -> Sequence[str]:
        """One for each image, unique; they name images in messages."""

    @property
    def labels(self) -> np.ndarray | None:
        """int64 [N] classes, float32 [N, A] numbers, or None."""

    @property
    def attributes(self) -> Sequence[str]:
        """Names of the A columns, or none."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, or none."""

    @property
    def digest(self) -> str:
        """Changes when the content does."""

    def __len__(self) -> int:
        """N, at least 1."""

    def size(self, index: int) -> int:
        """Bytes of image number `index` as stored."""

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`; `UserError` if it is none."""

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W] RGB; `UserError` if it cannot be read."""

    def close(self) -> None:
        """Let go of files; nothing is read afterwards."""


def files_ending_in(folder: Path, *endings: str) -> list[Path]:
    """The files of a folder with one of these endings, sorted by name."""
    found = sorted(path for path in folder.iterdir() if path.name.endswith(endings))
    for path in found:
        check_ordinary(path)
    return found


def check_ordinary(path: Path) -> None:
    """Check that `path` is a file, and neither a folder nor a pipe nor a device."""
    if not path.is_file():
        raise UserError(f"{path}: is no ordinary file: remove it")


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 over name, size, times and inode of each file, so that any change of it shows."""
    digest = hashlib.sha256()
    for path in paths:
        line = f"{path.name}\0{stamp_of(path.stat())}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def check_count(count: int, path: Path) -> None:
    """Check a number of images before anything is made of that many."""
    if count == 0:
        raise UserError(f"{path}: no images")
    if count > MAX_IMAGES:
        raise UserError(f"{path}: more than {MAX_IMAGES} images; divide the set")


def needed(module: str, package: str, what: str) -> ModuleType:
    """Import a package of an extra when it is needed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"reading {what} needs {package}, which is not installed:"
            ' pip install ".[datasets]" in the source folder'
        ) from error


class Store(Protocol):
    """Where encoded images are kept."""

    def fetch(self, index: int, where: str) -> bytes:
        """The file of image number `index`; `where` names it in messages."""

    def close(self) -> None:
        """Let go of what is open."""


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images of a `Store`, decoded when they are read. See `Source`."""

    kind: str
    path: Path
    names: Sequence[str]
    digest: str
    store: Store
    labels: np.ndarray | None = None
    attributes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def size(self, index: int) -> int:
        """Bytes of image number `index` as stored."""
        return len(self._fetch(index))

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`."""
        return read_header(io.BytesIO(self._fetch(index)), self._where(index))

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W]."""
        return decode(self._fetch(index), self._where(index))

    def close(self) -> None:
        """Let go of what is open."""
        self.store.close()

    def _where(self, index: int) -> str:
        return f"{self.path}: {self.names[index]}"

    def _fetch(self, index: int) -> bytes:
        return self.store.fetch(index, self._where(index))
