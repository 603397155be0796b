"""What `prepare` reads at a path: what training would find there, or a published set by its layout.

Of FFHQ's folder the images of 1024x1024 are taken, or else the thumbnails.
"""

import dataclasses
from pathlib import Path

import numpy as np

from stylegan.datasets.sources.celeba import attribute_list, open_celeba
from stylegan.datasets.sources.torchvision_sets import open_torchvision
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import TORCHVISION
from stylegan_eval.images.files import ImageFiles, open_files, open_images
from stylegan_eval.images.source import Source

_FFHQ_FOLDERS = ("images1024x1024", "thumbnails128x128")  # the first that is there is taken


def open_source(
    place: Path | str, *, folder_classes: bool = False, download: bool = False
) -> Source:
    """Open a data set of any kind that is read.

    Parameters
    ----------
    place : Path or str
        A folder, a file, or ``torchvision:NAME:FOLDER``.
    folder_classes : bool
        Make a class of each first sub-folder, instead of other labels; of folders and zips only.
    """
    if str(place).startswith(TORCHVISION):
        source: Source = open_torchvision(str(place), download=download)
    else:
        source = _opened(Path(place))
    if not folder_classes:
        return source
    if not isinstance(source, ImageFiles):
        source.close()
        raise UserError(f"{place}: is {source.kind}, which has no sub-folders to make classes of")
    return _with_folder_classes(source)


def is_read_alike(source: Source) -> bool:
    """Whether training finds the same images and labels at the same path."""
    return not source.kind.startswith(("FFHQ", "CelebA", "torchvision"))


def _opened(path: Path) -> Source:
    if path.is_dir() and attribute_list(path) is not None:
        return open_celeba(path)
    ffhq = (path / name for name in _FFHQ_FOLDERS if (path / name).is_dir())
    if (folder := next(ffhq, None)) is not None:
        return dataclasses.replace(open_files(folder), kind="FFHQ")
    return open_images(path)


def _with_folder_classes(files: ImageFiles) -> ImageFiles:
    """The same images, each with its first sub-folder as its class, in the order of their names."""
    folders = [name.split("/", 1)[0] if "/" in name else None for name in files.names]
    if None in folders:
        name = files.names[folders.index(None)]
        raise UserError(f"{files.path}: {name} is in no sub-folder, so it has no class")
    classes = tuple(sorted({folder for folder in folders if folder is not None}))
    numbers = {folder: number for number, folder in enumerate(classes)}
    labels = np.array([numbers[folder] for folder in folders if folder is not None], np.int64)
    return dataclasses.replace(files, labels=labels, attributes=(), classes=classes)
