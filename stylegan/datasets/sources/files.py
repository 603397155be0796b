"""Folders and zips of image files: plain, stylegan2-ada's, FFHQ's, with classes from folders."""

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header
from stylegan_eval.images.files import ImageFiles, open_images
from stylegan_eval.images.image_kinds import left_out_as
from stylegan_eval.images.storage import start_of

_FFHQ_FOLDERS = ("images1024x1024", "thumbnails128x128")  # the first that is there is taken


@dataclass(frozen=True, eq=False)
class Files:
    """The images of a folder or zip, sorted by name. See `Source`."""

    kind: str
    files: ImageFiles
    labels: np.ndarray | None
    attributes: tuple[str, ...]
    classes: tuple[str, ...] = ()
    is_plain: bool = False
    """Whether training would find the same images and labels at the same path."""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def path(self) -> Path:
        """The folder or zip."""
        return self.files.path

    @property
    def names(self) -> tuple[str, ...]:
        """Relative posix paths."""
        return self.files.names

    @property
    def digest(self) -> str:
        """Changes with any file, whatever its time of modification; nothing is read for it."""
        stamps = sorted(self.files.stamps.items())
        return hashlib.sha256(f"{self.files.digest} {stamps!a}".encode()).hexdigest()

    def size(self, index: int) -> int:
        """Bytes of file number `index`."""
        return self.files.size(index)

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`, from the first bytes of its file."""
        return self.files.header(index)

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W]."""
        return self.files.read(index)

    def close(self) -> None:
        """Close the zip."""
        self.files.close()


def open_files(path: Path) -> Files:
    """Open a folder or zip of images, with the labels of its ``dataset.json``.

    Of FFHQ's folder the images of 1024x1024 are taken, or else the thumbnails.
    """
    ffhq = ffhq_folder(path)
    files = open_images(ffhq or path)
    kind = "folder" if path.is_dir() else "zip"
    if ffhq is not None:
        kind = "FFHQ"
    elif files.labels is not None:
        kind = f"stylegan2-ada's {kind}"
    return Files(kind, files, files.labels, files.attributes, is_plain=ffhq is None)


def ffhq_folder(path: Path) -> Path | None:
    """The folder of FFHQ's images inside `path`, if it is FFHQ's."""
    return next((path / name for name in _FFHQ_FOLDERS if (path / name).is_dir()), None)


def has_images(folder: Path) -> bool:
    """Whether there are images in the folder itself."""
    return any(
        not path.name.startswith(".")
        and path.is_file()
        and left_out_as(path.name, functools.partial(start_of, path)) is None
        for path in folder.iterdir()
    )


def with_folder_classes(source: Files) -> Files:
    """The same images, each with its first sub-folder as its class, in the order of their names."""
    folders = [name.split("/", 1)[0] if "/" in name else None for name in source.names]
    if None in folders:
        name = source.names[folders.index(None)]
        raise UserError(f"{source.path}: {name} is in no sub-folder, so it has no class")
    classes = tuple(sorted({folder for folder in folders if folder is not None}))
    numbers = {folder: number for number, folder in enumerate(classes)}
    labels = np.array([numbers[folder] for folder in folders if folder is not None], np.int64)
    return dataclasses.replace(
        source, labels=labels, attributes=(), classes=classes, is_plain=False
    )
