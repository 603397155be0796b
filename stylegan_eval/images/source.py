"""Sets of images: the protocol that training and metrics read, and images of containers."""

import hashlib
import importlib
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol, Self, runtime_checkable

import numpy as np

from stylegan_eval.engine.files import Stamp, stamp_of
from stylegan_eval.engine.untrusted import one_line
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header, decode, in_channels, read_header

MAX_IMAGES = 2**24
"""Larger sets are refused before their names are gathered."""

MAX_LABEL_BYTES = 2**28
"""The same for a file of labels."""


class ImageSet(Protocol):
    """N images and their names. Reading from several threads is safe."""

    @property
    def path(self) -> Path:
        """Their place, or what rows call them."""

    @property
    def names(self) -> Sequence[str]:
        """One for each image, unique; they name images in messages."""

    @property
    def digest(self) -> str:
        """Changes when the content does; equal for equal content where there is no `folder`."""

    @property
    def folder(self) -> Path | None:
        """Where the names of `stamps` begin."""

    @property
    def stamps(self) -> Mapping[str, Stamp]:
        """Stamp of each file that holds images, from when it was listed."""

    def __len__(self) -> int:
        """N, at least 1."""

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W] RGB; `UserError` if it cannot be read."""


class Source(ImageSet, Protocol):
    """Images that are stored, with their labels."""

    @property
    def kind(self) -> str:
        """Its kind, in words: "TFRecords", ..."""

    @property
    def labels(self) -> np.ndarray | None:
        """int64 [N] classes, float32 [N, A] numbers, or None."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the A columns, or none."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, or none."""

    @property
    def channels(self) -> int:
        """Channels to train on: 1 (grey), 3, or 4 (RGBA); 3 where the set does not say."""

    def size(self, index: int) -> int:
        """Bytes of image number `index` as stored."""

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`; `UserError` if it is none."""

    def close(self) -> None:
        """Let go of files."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class ContainerImages(ABC):
    """Images of files that hold many. See `Source`."""

    kind: str
    path: Path
    names: Sequence[str]
    stamps: Mapping[str, Stamp]  # by `stamps_of`
    labels: np.ndarray | None = None
    labels_fault: UserError | None = None  # Why there are labels that cannot be used
    attributes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    channels: int = 3

    @property
    def folder(self) -> Path | None:
        """Where the files are."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def digest(self) -> str:
        """SHA-256 over name, size, times and inode of each file, so that any change of it shows."""
        digest = hashlib.sha256()
        for name, stamp in self.stamps.items():
            digest.update(f"{name}\0{stamp}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def size(self, index: int) -> int:
        """Bytes of image number `index` as stored."""

    @abstractmethod
    def header(self, index: int) -> Header:
        """Size and mode of image number `index`."""

    @abstractmethod
    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W]."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""

    def _where(self, index: int) -> str:
        return f"{self.path}: {one_line(self.names[index])}"


@dataclass(frozen=True, eq=False, kw_only=True)
class PixelImages(ContainerImages):
    """Images that are stored as pixels."""

    pixels: Callable[[int], np.ndarray]  # of image number `index`, uint8 [3, H, W]

    def size(self, index: int) -> int:
        """Bytes of the pixels."""
        return self.pixels(index).nbytes

    def header(self, index: int) -> Header:
        """Size of image number `index`."""
        height, width = self.pixels(index).shape[1:]
        return Header(width, height, "RGB")

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W]."""
        return self.pixels(index)

    def close(self) -> None:
        """Nothing to do: `pixels` holds what is open."""


class Store(Protocol):
    """Where encoded images are kept."""

    def fetch(self, index: int, where: str) -> bytes:
        """The file of image number `index`; `where` names it in messages."""

    def size(self, index: int) -> int:
        """Bytes of that file, without reading it."""

    def close(self) -> None:
        """Let go of what is open."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EncodedImages(ContainerImages):
    """Images of a `Store`, decoded when they are read."""

    store: Store

    def size(self, index: int) -> int:
        """Bytes of image number `index` as stored."""
        return self.store.size(index)

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`."""
        return read_header(io.BytesIO(self.encoded(index)), self._where(index))

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W]."""
        return self.read_as(index, 3)

    def read_as(self, index: int, channels: int) -> np.ndarray:
        """Image number `index` as uint8 [channels, H, W]."""
        return decode(self.encoded(index), self._where(index), channels)

    def close(self) -> None:
        """Let go of what is open."""
        self.store.close()

    def encoded(self, index: int) -> bytes:
        """The file of image number `index`."""
        return self.store.fetch(index, self._where(index))


@runtime_checkable
class HasHeader(Protocol):
    """Images that are stored, not only held."""

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`."""


@runtime_checkable
class ReadsChannels(Protocol):
    """Images that are stored with other channels than RGB, too."""

    def read_as(self, index: int, channels: int) -> np.ndarray:
        """Image number `index` as uint8 [channels, H, W]: 1 (grey), 3 or 4 (RGBA)."""


def read_as(files: ImageSet, index: int, channels: int) -> np.ndarray:
    """Image number `index` of any set as uint8 [channels, H, W]; `decode` has the rules."""
    if channels != 3 and isinstance(files, ReadsChannels):
        return files.read_as(index, channels)
    return in_channels(files.read(index), channels)


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


def stamps_of(paths: Iterable[Path]) -> dict[str, Stamp]:
    """The stamp of each file, by name."""
    return {path.name: stamp_of(path.stat()) for path in paths}


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
