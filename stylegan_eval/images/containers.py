"""Data sets that are neither image files nor a zip of them: which kind a path holds."""

import struct
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

Kind = Literal["LMDB", "tar", "TFRecords"]
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


def container_at(path: Path) -> Kind | None:
    """Kind of a data set, None where it is none of these; the file or folder must be there."""
    if path.is_dir():
        if (path / DATA_FILE).exists():
            return "LMDB"
        if any(path.glob(f"*{TFRECORD_SUFFIX}")):
            return "TFRecords"
        return "tar" if any(path.glob(f"*{TAR_SUFFIX}")) else None
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    if any(start[place : place + 4] == _LMDB_MAGIC for place in _LMDB_MAGIC_PLACES):
        return "LMDB"
    if start[_TAR_MAGIC_PLACE:].startswith(_TAR_MAGIC) or path.suffix == TAR_SUFFIX:
        return "tar"
    return "TFRecords" if path.suffix == TFRECORD_SUFFIX or _is_tfrecord(start) else None


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
