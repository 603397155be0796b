"""Data sets that an installed package reads."""

from pathlib import Path

import numpy as np

from stylegan.datasets.sources.source import check_count
from stylegan_eval.images.containers import container_at, opened_by_package
from stylegan_eval.images.decoding import Header
from stylegan_eval.settings.common import ImageSet


class Packaged:
    """An image set without labels; see `source.Source`."""

    labels = None
    attributes = classes = ()

    def __init__(self, images: ImageSet, path: Path) -> None:
        check_count(len(images), path)
        self.kind, self.path, self.digest = container_at(path) or "", path, images.digest
        self.names = [f"{number:08d}" for number in range(len(images))]
        self._images = images

    def __len__(self) -> int:
        return len(self.names)

    def size(self, index: int) -> int:
        """Bytes of image number `index`, unpacked."""
        return self.read(index).nbytes

    def header(self, index: int) -> Header:
        """Size of image number `index`."""
        height, width = self.read(index).shape[1:]
        return Header(width, height, "RGB")

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W]."""
        image: np.ndarray = self._images.read(index)
        return image

    def close(self) -> None:
        """Close what the package has open, if anything."""
        getattr(self._images, "close", lambda: None)()


def open_packaged(path: Path) -> Packaged:
    """Open a data set of a kind that an installed package brings."""
    return Packaged(opened_by_package(path), path)
