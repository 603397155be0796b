"""Data sets that torchvision reads, by name: ``torchvision:CIFAR10:FOLDER``."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import TORCHVISION
from stylegan_eval.images.decoding import Header
from stylegan_eval.images.labels import fitting_names
from stylegan_eval.images.source import ContainerImages, check_count, needed

# What torchvision raises for files that are missing, damaged or not the published ones.
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    AssertionError,
    ImportError,
)


# The training part of each: options, and the attribute that has the classes; others have no single
# class for an image.
SETS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    **dict.fromkeys(
        ("CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "KMNIST"), ({"train": True}, "targets")
    ),
    "SVHN": ({"split": "train"}, "labels"),
    "STL10": ({"split": "train"}, "labels"),
    **dict.fromkeys(("Flowers102", "Food101", "DTD"), ({"split": "train"}, "_labels")),
    "FGVCAircraft": ({"split": "trainval"}, "_labels"),
    "OxfordIIITPet": ({"split": "trainval"}, "_labels"),
    "EuroSAT": ({}, "targets"),
    "Caltech101": ({}, "y"),
    "Caltech256": ({}, "y"),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class TorchvisionSet(ContainerImages):
    """Images that torchvision gives. Made by `open_torchvision`."""

    _images: Any

    @property
    def folder(self) -> None:
        """Nothing is known of the files."""

    @property
    def digest(self) -> str:
        """Of the place; the files are the published ones."""
        return hashlib.sha256(f"{self.kind}\0{len(self)}\0{self.path}".encode()).hexdigest()

    def close(self) -> None:
        """Nothing to do: torchvision opens each file for itself."""

    def size(self, index: int) -> int:
        """Bytes of the pixels."""
        return int(self.read(index).size)

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`."""
        with self._image(index) as image:  # which some sets leave open
            return Header(image.width, image.height, image.mode)

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W]."""
        with self._image(index) as image:
            pixels = np.asarray(image.convert("RGB"))  # [H, W, 3]
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def _image(self, index: int) -> Any:
        try:
            return self._images[index][0]
        except _UNREADABLE as error:
            raise UserError(
                f"{self.path}: {self.names[index]}: cannot be read ({error})"
            ) from error


def open_torchvision(text: str, *, download: bool = False) -> TorchvisionSet:
    """Open ``torchvision:NAME:FOLDER``: a set of `SETS` in torchvision's folder of it."""
    name, _, folder = text.removeprefix(TORCHVISION).partition(":")
    if name not in SETS or not folder:
        raise UserError(
            f"{text}: expected torchvision:NAME:FOLDER with a NAME of {', '.join(SETS)}"
        )
    images = _opened(name, Path(folder), download=download)
    check_count(len(images), Path(folder))
    labels = np.asarray(getattr(images, SETS[name][1]), dtype=np.int64)
    names = getattr(images, "classes", getattr(images, "categories", ()))
    return TorchvisionSet(
        kind=f"torchvision's {name}",
        path=Path(folder),
        names=tuple(f"image {index}" for index in range(len(images))),
        labels=labels,
        classes=fitting_names(tuple(map(str, names)), labels),
        stamps={},
        _images=images,
    )


def _opened(name: str, folder: Path, *, download: bool) -> Any:
    # Heavy, and without types.
    datasets = needed("torchvision.datasets", "torchvision", name)
    options, _ = SETS[name]
    fetch = {"download": True} if download else {}
    try:
        return getattr(datasets, name)(folder, **options, **fetch)
    except _UNREADABLE as error:
        raise UserError(
            f"{folder}: torchvision cannot read {name} there ({error}); --download lets it fetch"
            " what is missing"
        ) from error
