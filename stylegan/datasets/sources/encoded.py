"""A set of encoded images that are fetched by number, from wherever they are kept."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from stylegan_eval.decoding import Header, decode, read_header


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
