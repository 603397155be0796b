"""Formats of data sets: detect which one a path holds, and open it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from stylegan.datasets.sources.celeba import attribute_list, open_celeba
from stylegan.datasets.sources.databases import open_database
from stylegan.datasets.sources.files import Files, has_images, open_files, with_folder_classes
from stylegan.datasets.sources.packaged import open_packaged
from stylegan.datasets.sources.source import Source, check_ordinary
from stylegan.datasets.sources.tars import open_tars
from stylegan.datasets.sources.tfrecords import open_tfrecords
from stylegan.datasets.sources.torchvision_sets import open_torchvision
from stylegan_eval.engine.command import note
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import TORCHVISION, container_at

# What opens a container of a kind that `images.containers` tells; None is a folder or a zip.
FORMATS: Mapping[str | None, Callable[[Path], Source]] = MappingProxyType(
    {
        "LMDB": open_database,
        "TFRecords": open_tfrecords,
        "tar": open_tars,
        None: open_files,
    }
)


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
    if not isinstance(source, Files):
        source.close()
        raise UserError(f"{place}: is {source.kind}, which has no sub-folders to make classes of")
    return with_folder_classes(source)


def _opened(path: Path) -> Source:
    if path.is_dir():
        return _opened_folder(path)
    if not path.exists():
        raise UserError(f"{path} does not exist; expected a data set")
    check_ordinary(path)
    return FORMATS.get(container_at(path), open_packaged)(path)


def _opened_folder(path: Path) -> Source:
    kind = container_at(path)
    if kind in ("LMDB", "TFRecords"):
        return _alone(FORMATS[kind](path), path)
    if attribute_list(path) is not None:
        return open_celeba(path)
    if kind not in FORMATS:
        return open_packaged(path)
    return FORMATS[None if _holds_images(path) else kind](path)


def _holds_images(path: Path) -> bool:
    below = (each for each in path.rglob("*") if each.is_dir())
    return any(has_images(folder) for folder in (path, *below))


def _alone(source: Source, path: Path) -> Source:
    if _holds_images(path):
        note(f"{path}: image files beside {source.kind} are left out: prepare them by themselves")
    return source
