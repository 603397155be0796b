"""Data sets that are neither image files nor a zip of them: which kind a path holds."""

import struct
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from stylegan_eval import plugins

DATA_FILE = "data.mdb"
TAR_SUFFIX, TFRECORD_SUFFIX = ".tar", ".tfrecords"
TORCHVISION = "torchvision:"
LENGTH = struct.Struct("<QL")  # of a record, and its checksum
MAX_SIDE = 4096
MAX_RECORD = 3 * MAX_SIDE**2 + 2**12  # bytes
_START_BYTES = 512
_TAR_MAGIC, _TAR_MAGIC_PLACE = b"ustar", 257
_LMDB_MAGIC, _LMDB_MAGIC_PLACES = b"\xde\xc0\xef\xbe", (16, 24)  # of the two versions
_CRC_MASK = 0xA282EAD8


def container_at(path: Path) -> str | None:
    """Kind of a data set, None where it is none of these; the file or folder must be there."""
    if path.is_dir():
        return next((kind for kind, row in CONTAINERS.items() if any(path.glob(row.files))), None)
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    of_content = (kind for kind, row in CONTAINERS.items() if row.begins(start))
    of_name = (kind for kind, row in CONTAINERS.items() if path.match(row.files))
    return next(of_content, None) or next(of_name, None)


def _is_lmdb(start: bytes) -> bool:
    return any(start[place : place + 4] == _LMDB_MAGIC for place in _LMDB_MAGIC_PLACES)


def _is_tar(start: bytes) -> bool:
    return start[_TAR_MAGIC_PLACE:].startswith(_TAR_MAGIC)


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
    """How a kind of data set is recognised."""

    files: str  # Pattern of its files' names, in a folder or alone
    begins: Callable[[bytes], bool]  # Whether these are the first bytes of such a file
    place: str = ""
    """``module:name`` of a function, path -> `settings.common.ImageSet`; empty where the kind must
    be prepared."""


def _check(_name: str, row: Container, _rows: Mapping[str, Container]) -> None:
    if not row.place:
        raise ValueError("expected the place of a function that opens it")


CONTAINERS = plugins.Table(
    {
        "LMDB": Container(DATA_FILE, _is_lmdb),
        "TFRecords": Container(f"*{TFRECORD_SUFFIX}", _is_tfrecord),
        "tar": Container(f"*{TAR_SUFFIX}", _is_tar),
    },
    plugins.IMAGES,
    Container,
    _check,
)


def opened_by_package(path: Path) -> Any:
    """The `ImageSet` of a data set that an installed package reads; None for any other."""
    if len(CONTAINERS) == len(CONTAINERS.own) or not (path.is_dir() or path.is_file()):
        return None
    kind = container_at(path)
    place = CONTAINERS[kind].place if kind else ""
    return plugins.resolve(place)(path) if place else None
