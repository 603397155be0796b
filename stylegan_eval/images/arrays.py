"""Images of one array in a file of NumPy's: `.npz` batches as ADM writes them, and `.npy`."""

import hashlib
import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.files import Stamp, stamp_of
from stylegan_eval.engine.safe_files import (
    check_entry,
    open_zip,
    read_at,
    read_header,
    read_npz,
    start_of,
)
from stylegan_eval.engine.stats_file import IMAGES as MEMBER
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header, in_channels, is_channels_first
from stylegan_eval.images.labels import checked_labels
from stylegan_eval.images.storage import CHANGED

LABELS = "arr_1"
_COLOURS = (1, 3, 4)  # channels: grey, RGB, RGBA
_EXPECTED = "expected images, uint8 [N, H, W, 3] or [N, 3, H, W]"
_OF_FLOATS = "; of floats x from 0 to 1 save (x * 255).round().astype('uint8')"
_OF_FEATURES = "; features [N, D] belong in an .npz: np.savez('features.npz', feats=array)"
_AT_ONCE = 2**24  # bytes


class ArrayImages:
    """Images of one array, read one by one from the file. See `source.Source`.

    What is packed is unpacked once, into memory. Reading from several threads is safe.
    """

    kind = "array"
    attributes = classes = ()
    channels = 3
    folder = None  # `digest` is of the pixels
    stamps: Mapping[str, Stamp] = MappingProxyType({})

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path} does not exist; expected {_EXPECTED[9:]}")
        self.path = path
        self._lock = Lock()
        self._packed: zipfile.ZipInfo | None = None  # a deflated member
        self._crc: int | None = None  # of a stored one
        with parsing(path, "not an array of images"):
            self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                self._stamp = stamp_of(os.fstat(self._file))
                self._find(path.stat().st_size)
            except BaseException:
                self.close()
                raise

    def _find(self, total: int) -> None:
        """Where the array begins, and its shape."""
        if self.path.suffix.lower() == ".npy":
            with self.path.open("rb") as file:
                self._take_header(file, total)
                self._start, self._header_bytes = file.tell(), file.tell()
            return
        with open_zip(self.path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if names.count(MEMBER) != 1:
                held = ", ".join(names) or "nothing"
                raise UserError(f"holds {held:.200}; {_EXPECTED}, in one {MEMBER}")
            info = archive.getinfo(f"{MEMBER}.npy")
            check_entry(info, total, f"{self.path}: {MEMBER}")
            with archive.open(info) as member:
                self._take_header(member, info.file_size)
                self._header_bytes = member.tell()
            self._check_labels(archive)
        if info.compress_type != zipfile.ZIP_STORED:
            self._packed = info
            return
        self._start = start_of(info, self._read_at) + self._header_bytes
        self._crc = info.CRC

    def _check_labels(self, archive: zipfile.ZipFile) -> None:
        """Refuse another number of labels than of images, also where labels are not read."""
        name = f"{LABELS}.npy"
        if name not in archive.namelist():
            return
        with archive.open(name) as member:
            shape, _, _ = read_header(member, archive.getinfo(name).file_size)
        if shape[:1] != self._shape[:1]:
            raise UserError(
                f"has {self._shape[0]} images in {MEMBER} and labels {list(shape)!s:.60} in"
                f" {LABELS}: give as many labels, or leave {LABELS} out"
            )

    def _take_header(self, file: IO[bytes], size: int) -> None:
        shape, fortran_order, dtype = read_header(file, size)
        self._channels_first = len(shape) == 4 and is_channels_first(shape)
        is_images = self._channels_first or (len(shape) == 4 and shape[3] in _COLOURS)
        if dtype != np.uint8 or not is_images or 0 in shape:
            of_floats = _OF_FLOATS if np.issubdtype(dtype, np.floating) and is_images else ""
            of_features = _OF_FEATURES if dtype.kind == "f" and len(shape) == 2 else ""
            raise UserError(
                f"holds {dtype} {list(shape)!s:.60}; {_EXPECTED}{of_floats}{of_features}"
            )
        if math.prod(shape) > size - file.tell():
            raise UserError(f"declares an array {list(shape)}, which {size} bytes do not fill")
        if fortran_order and math.prod(shape) > max(shape):
            raise UserError("is in Fortran's order: save it again, np.ascontiguousarray(array)")
        self._shape: tuple[int, ...] = shape

    def __len__(self) -> int:
        return self._shape[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Their numbers."""
        return tuple(map(str, range(len(self))))

    @cached_property
    def labels(self) -> NDArray[Any] | None:
        """Classes, int64 [N], or numbers, float32 [N, A]; of the second array of an ``.npz``."""
        if self.path.suffix.lower() == ".npy":
            return None
        found = read_npz(self.path, [LABELS]).get(LABELS)
        return None if found is None else checked_labels(found, len(self), f"{self.path}: {LABELS}")

    def size(self, _index: int, /) -> int:
        """Bytes of the pixels of an image."""
        return self._image_bytes

    def header(self, _index: int, /) -> Header:
        """Size of every image."""
        first = self._channels_first
        channels, height, width = self._shape[1:] if first else np.roll(self._shape[1:], 1)
        return Header(int(width), int(height), {1: "L", 3: "RGB", 4: "RGBA"}[int(channels)])

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image number `index`, uint8 [3, H, W]."""
        return np.ascontiguousarray(self._images(index, index + 1)[0])

    def read_as(self, index: int, channels: int) -> NDArray[np.uint8]:
        """Image number `index`, uint8 [channels, H, W]."""
        return in_channels(self._stored(index, index + 1)[0], channels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all pixels, equal to that of the same images in memory."""
        shape = (3, *self._images(0, 1).shape[2:])
        digest = hashlib.sha256(f"{shape}".encode())
        crc = 0
        if self._crc is not None:
            crc = zlib.crc32(self._bytes(self._start - self._header_bytes, self._header_bytes))
        step = max(1, _AT_ONCE // self._image_bytes)
        for start in range(0, len(self), step):
            stop = min(start + step, len(self))
            if self._crc is not None:
                place = self._start + start * self._image_bytes
                crc = zlib.crc32(self._bytes(place, (stop - start) * self._image_bytes), crc)
            digest.update(np.ascontiguousarray(self._images(start, stop)).data)
        if self._crc not in (None, crc):
            raise UserError(f"{self.path}: {MEMBER} is damaged (CRC-32): get the file again")
        return digest.hexdigest()

    @property
    def _image_bytes(self) -> int:
        return math.prod(self._shape[1:])

    def _images(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Some images, [n, 3, H, W]."""
        images = self._stored(start, stop)
        if images.shape[1] == 4:
            return np.stack([in_channels(image, 3) for image in images])
        return np.broadcast_to(images, (len(images), 3, *images.shape[2:]))

    def _stored(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Some images, [n, C, H, W]."""
        shape = (stop - start, *self._shape[1:])
        if self._packed is not None:
            images = self._unpacked[start:stop]
        else:
            data = self._bytes(self._start + start * self._image_bytes, math.prod(shape))
            images = np.frombuffer(data, np.uint8).reshape(shape)
        if not self._channels_first:
            images = images.transpose(0, 3, 1, 2)
        return images

    def _bytes(self, place: int, count: int) -> bytes:
        data = self._read_at(count, place)
        if len(data) != count or stamp_of(os.fstat(self._file)) != self._stamp:
            raise UserError(f"{self.path}: {CHANGED}")
        return data

    def _read_at(self, count: int, place: int) -> bytes:
        return read_at(self._file, self.path, count, place)

    @property
    def _unpacked(self) -> NDArray[np.uint8]:
        """All images of a packed member."""
        with self._lock:
            return self._all

    @cached_property
    def _all(self) -> NDArray[np.uint8]:
        assert self._packed is not None
        with parsing(f"{self.path}: {MEMBER}", "cannot be read"):
            images = np.empty(self._shape, np.uint8)
            rest = images.data.cast("B")
            with open_zip(self.path) as archive, archive.open(self._packed) as member:
                member.read(self._header_bytes)
                for place in range(0, len(rest), _AT_ONCE):
                    _fill(member, rest[place : place + _AT_ONCE])
                member.read(1)  # the end, where the CRC-32 is checked
        return images


def _fill(file: IO[bytes], view: memoryview) -> None:
    data = file.read(len(view))
    if len(data) != len(view):
        raise UserError("ends too early")
    view[:] = data
