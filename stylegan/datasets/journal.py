"""What became of each image of a source: kept for its duplicates, and for a resumption."""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from stylegan_eval.engine.untrusted import one_line

_DIGEST_BYTES = 16
_ROW = struct.Struct(f"<B{_DIGEST_BYTES}sL")  # what became of it, digest, CRC-32 of both
NO_DIGEST = bytes(_DIGEST_BYTES)


class Fate(IntEnum):
    """What becomes of an image."""

    UNKNOWN = 0
    TAKEN = 1
    SMALL = 2
    DAMAGED = 3
    REPEATED = 4


def digest_of(pixels: np.ndarray) -> bytes:
    """Digest of an image [C, H, W]; equal for equal pixels."""
    digest = hashlib.blake2b(f"{pixels.shape}".encode(), digest_size=_DIGEST_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


class Duplicates:
    """Which of N images have the pixels of an earlier one.

    A table of their numbers by the beginning of their digests (open addressing), a third empty: 28
    bytes an image rather than the 200 of a dict.

    >>> duplicates = Duplicates(3)
    >>> [duplicates.add(k, digest_of(np.array(x))) for k, x in enumerate(([1], [2], [1]))]
    [0, 1, 0]
    >>> duplicates.count, duplicates.first
    (1, (2, 0))
    """

    def __init__(self, count: int) -> None:
        self.count = 0  # of images with the pixels of an earlier one
        self.first = (0, 0)  # number of the first such image, and of the earlier one
        self._digests = np.zeros((count, 2), np.uint64)
        self._slots = np.full(3 * count // 2 + 2, -1, np.int32)

    def add(self, number: int, digest: bytes) -> int:
        """Number of the first image with this digest."""
        words = np.frombuffer(digest, np.uint64)
        slot = int(words[0]) % len(self._slots)
        while (other := int(self._slots[slot])) >= 0:
            if (self._digests[other] == words).all():
                if other != number:
                    self.first = self.first if self.count else (number, other)
                    self.count += 1
                return other
            slot = (slot + 1) % len(self._slots)
        self._slots[slot], self._digests[number] = number, words
        return number

    def line(self, names: Sequence[str]) -> str:
        """Line on images with the pixels of others."""
        number, place = self.first
        first, second = one_line(names[place]), one_line(names[number])
        return f"exact duplicates: {self.count}, {second} of {first} first"


class Journal:
    """The fates of N images, in order, in a file of rows; what is damaged ends it."""

    def __init__(self, path: Path, fates: np.ndarray) -> None:
        self.fates = fates  # uint8 [N], of `Fate`
        self.known = 0  # of which so many are known
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, taken: int) -> Iterator[tuple[Fate, bytes]]:
        """What an earlier process wrote, up to `taken` images that were taken; forgets the rest."""
        with open(self._file.fileno(), "rb", closefd=False) as rows:
            while self.known < len(self.fates) and taken > 0:
                row = rows.read(_ROW.size)
                if len(row) < _ROW.size or zlib.crc32(row[:-4]) != _ROW.unpack(row)[2]:
                    break
                fate, digest = Fate(row[0]), row[1 : 1 + _DIGEST_BYTES]
                self.fates[self.known] = fate
                self.known += 1
                taken -= fate == Fate.TAKEN
                yield fate, digest
        self._file.truncate(self.known * _ROW.size)
        self._file.seek(0, io.SEEK_END)

    def add(self, fate: Fate, digest: bytes = NO_DIGEST) -> None:
        """Note what became of the next image."""
        row = _ROW.pack(fate, digest, 0)[:-4]
        self._file.write(row + zlib.crc32(row).to_bytes(4, "little"))
        self.fates[self.known] = fate
        self.known += 1
