"""Sources of `prepare`: whatever training reads at a path, or a published set by its layout.

Of FFHQ's folder the images of 1024x1024 are taken, or else the thumbnails.
"""

import dataclasses
from pathlib import Path

import numpy as np

from stylegan.datasets.sources.celeba import attribute_list, open_celeba
from stylegan.datasets.sources.torchvision_sets import open_torchvision
from stylegan_eval.engine.untrusted import one_line
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import TORCHVISION
from stylegan_eval.images.files import (
    ImageFiles,
    open_files,
    open_images,
    with_usable_labels,
)
from stylegan_eval.images.labels import alike_names
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
        return with_usable_labels(source)
    if not isinstance(source, ImageFiles):
        source.close()
        raise UserError(f"{place}: is {source.kind}, which has no sub-folders to make classes of")
    return _with_folder_classes(source)


def is_read_alike(source: Source) -> bool:
    """Whether training finds the same images and labels at the same path."""
    return not source.kind.startswith(("FFHQ", "CelebA", "torchvision"))


def ffhq_images(path: Path) -> Path | None:
    """The folder of FFHQ whose images are read; None where `path` is no FFHQ."""
    return next((path / name for name in _FFHQ_FOLDERS if (path / name).is_dir()), None)


def _opened(path: Path) -> Source:
    if path.is_dir() and attribute_list(path) is not None:
        return open_celeba(path)
    if (folder := ffhq_images(path)) is not None:
        return dataclasses.replace(open_files(folder), kind="FFHQ")
    return open_images(path, labelled=False)


def _with_folder_classes(files: ImageFiles) -> ImageFiles:
    """The same images, each with its first sub-folder as its class, in the order of their names."""
    numbers: dict[str, int] = {}  # of each folder, as they come
    found = np.empty(len(files), np.int64)
    for at, name in enumerate(files.names):
        folder, slash, _ = name.partition("/")
        if not slash:
            raise UserError(
                f"{files.path}: {one_line(name)} is in no sub-folder, so it has no class"
            )
        found[at] = numbers.setdefault(folder, len(numbers))
    classes = tuple(sorted(numbers))
    if alike := alike_names(classes):
        raise UserError(
            f"{files.path}: the folders {alike[0]!a} and {alike[1]!a} have one name in two forms of"
            " Unicode: move their images into one of them"
        )
    places = np.empty(len(classes), np.int64)
    for place, folder in enumerate(classes):
        places[numbers[folder]] = place
    return dataclasses.replace(
        files, labels=places[found], labels_fault=None, attributes=(), classes=classes
    )
