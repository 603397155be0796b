"""The table of what holds images and is neither a folder of files nor a zip of them.

Imports nothing heavy, so that command lines can name the kinds.
"""

import os
import struct
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from stylegan_eval import plugins

DATA_FILE = "data.mdb"
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
TFRECORD_SUFFIX, PARQUET_SUFFIX = ".tfrecords", ".parquet"
TORCHVISION = "torchvision:"
LENGTH = struct.Struct("<QL")  # of a record, and its checksum
MAX_SIDE = 4096
MAX_RECORD = 3 * MAX_SIDE**2 + 2**12  # bytes
_START_BYTES = 512
_TAR_MAGIC, _TAR_MAGIC_PLACE = b"ustar", 257
_LMDB_MAGIC, _LMDB_MAGIC_PLACES = b"\xde\xc0\xef\xbe", (16, 24)  # of the two versions
_PARQUET_MAGIC = b"PAR1"
_CRC_MASK = 0xA282EAD8


def container_at(path: Path) -> str | None:
    """Kind of what holds images at a path that exists, None where it is none of these."""
    rows = CONTAINERS.items()
    if path.is_dir():
        with os.scandir(path) as entries:
            names = [entry.name.lower() for entry in entries]
        in_it = (kind for kind, row in rows if row.is_in_folders and any(map(row.names, names)))
        return next(in_it, None)
    named = next((kind for kind, row in rows if row.names(path.name.lower())), None)
    if not path.is_file():  # reading a pipe would never end
        return None
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    return next((kind for kind, row in rows if row.begins and row.begins(start)), None) or named


def _is_lmdb(start: bytes) -> bool:
    return any(start[place : place + 4] == _LMDB_MAGIC for place in _LMDB_MAGIC_PLACES)


def _is_tar(start: bytes) -> bool:
    return start[_TAR_MAGIC_PLACE:].startswith(_TAR_MAGIC)


def _is_parquet(start: bytes) -> bool:
    return start.startswith(_PARQUET_MAGIC)


def _is_tfrecord(start: bytes) -> bool:
    """Whether a file begins with a record; no where the package for checksums is missing."""
    if len(start) < LENGTH.size or find_spec("google_crc32c") is None:
        return False
    length, crc = LENGTH.unpack_from(start)
    return length <= MAX_RECORD and masked_crc(start[:8]) == crc


def masked_crc(data: bytes) -> int:
    """Checksum of TFRecords."""
    crc = int(import_module("google_crc32c").value(data))
    return ((crc >> 15 | crc << 17) + _CRC_MASK) & 0xFFFFFFFF


class Container(NamedTuple):
    """A row of the table."""

    files: tuple[str, ...]  # How the names of its files end, in small letters
    place: str  # ``module:name`` of what opens a path, ``(path) -> source.Source``
    begins: Callable[[bytes], bool] | None = None  # Whether these are a file's first bytes
    is_in_folders: bool = True  # A folder of such files is one set
    is_alone: bool = False  # Image files beside it are not of the set

    def names(self, name: str) -> bool:
        """Whether a file of this name, in small letters, is of the kind."""
        return name.endswith(self.files)


def _check(_name: str, row: Container, _rows: Mapping[str, Container]) -> None:
    if isinstance(row.files, str) or ":" not in str(row.place):
        raise ValueError("expected several endings of names, and the place of a function")


_HERE = "stylegan_eval.images.containers"
CONTAINERS = plugins.Table(
    {
        "LMDB": Container(
            (DATA_FILE,), f"{_HERE}.databases:open_database", _is_lmdb, is_alone=True
        ),
        "TFRecords": Container(
            (TFRECORD_SUFFIX,), f"{_HERE}.tfrecords:open_tfrecords", _is_tfrecord, is_alone=True
        ),
        "tar": Container(TAR_SUFFIXES, f"{_HERE}.tars:open_tars", _is_tar),
        "parquet": Container((PARQUET_SUFFIX,), f"{_HERE}.parquet:open_parquet", _is_parquet),
        "array": Container(
            (".npz", ".npy"), "stylegan_eval.images.arrays:ArrayImages", is_in_folders=False
        ),
        "list": Container((".txt",), "stylegan_eval.images.files:open_list", is_in_folders=False),
    },
    plugins.IMAGES,
    Container,
    _check,
)
