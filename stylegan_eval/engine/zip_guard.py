"""Checks of a zip file before its directory is read, and of each entry before its data are."""

import io
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from stylegan_eval.engine.names import leaves_folder
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

MAX_DIRECTORY_BYTES = 2**28  # About three million entries; `zipfile` reads them all at once

MAX_EXPANSION = 200  # Deflated images and labels are far below; a bomb is near 1000

_SMALL = 2**20  # entries up to this many bytes may expand as they like
_END = struct.Struct("<4s4H2LH")  # the end record
_END_SIGNATURE = b"PK\x05\x06"
_END64 = struct.Struct("<4sQ2H2L4Q")  # that of a large zip
_END64_SIGNATURE = b"PK\x06\x06"
_IN_END64 = 2**32 - 1  # what the end record says where the other one counts
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_MAX_COMMENT = 2**16
_RECORD = struct.Struct("<4s24x3H12x")  # of the directory: lengths of name, extra and comment
_RECORD_SIGNATURE = b"PK\x01\x02"
_AT_ONCE = 2**14  # bytes of a directory


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip whose directory can be read; the entries are still to be checked."""
    check_directory(path)
    with parsing(path, "is no zip, or a truncated or damaged one"):
        return zipfile.ZipFile(path)


def check_locator(path: Path) -> None:
    """Check what `zipfile` passes over: where a large zip says that its last but one record is."""
    tail, start = _tail(path)
    end = tail.rfind(_END_SIGNATURE)
    locator = end - _LOCATOR.size
    if locator >= 0 and tail[locator:].startswith(_LOCATOR_SIGNATURE):
        _, disk, offset, disks = _LOCATOR.unpack_from(tail, locator)
        if (disk, offset, disks) != (0, start + locator - _END64.size, 1):
            raise UserError(f"{path}: its directory is not where it says: damaged")


def check_directory(path: Path) -> None:
    """Check that the directory of the zip `path` is not too large to be read."""
    declared = _directory_bytes(path)
    if declared > MAX_DIRECTORY_BYTES:
        raise UserError(
            f"{path}: a directory of {declared / 2**20:.0f} MiB; expected at most"
            f" {MAX_DIRECTORY_BYTES >> 20} (some three million files): split the zip"
        )


def entries_of(path: Path) -> Iterator[zipfile.ZipInfo]:
    """Read the directory of a zip; of a long one never more than a part is in memory."""
    check_directory(path)
    with parsing(path, "is no zip, or a truncated or damaged one"), path.open("rb") as file:
        place, size, offset = _directory(path)
        moved = place - offset  # by what stands before the zip
        if place < 0:
            raise zipfile.BadZipFile("Bad offset for central directory")
        file.seek(place)
        rest = b""
        while size or rest:
            read = file.read(min(size, _AT_ONCE))
            rest, size = rest + read, size - len(read) if read else 0
            end = _whole_records(rest)
            if not end and not size:
                raise zipfile.BadZipFile("Truncated central directory")
            for info in _infos(rest[:end]):
                info.header_offset += moved
                yield info
            rest = rest[end:]


def _whole_records(data: bytes) -> int:
    """Where the last whole record of a part of a directory ends."""
    end = 0
    while len(data) - end >= _RECORD.size:
        signature, *lengths = _RECORD.unpack_from(data, end)
        if signature != _RECORD_SIGNATURE:
            raise zipfile.BadZipFile("Bad magic number for central directory")
        if len(data) - end < _RECORD.size + sum(lengths):
            break
        end += _RECORD.size + sum(lengths)
    return end


def _infos(records: bytes) -> list[zipfile.ZipInfo]:
    """What `zipfile` reads of records of a directory."""
    end = _END.pack(_END_SIGNATURE, 0, 0, 0, 0, len(records), 0, 0)
    with zipfile.ZipFile(io.BytesIO(records + end)) as file:
        return file.infolist()


def _directory(path: Path) -> tuple[int, int, int]:
    """Where a directory begins, its bytes, and where it says that it begins."""
    tail, start = _tail(path)
    end = tail.rfind(_END_SIGNATURE)
    if end < 0 or len(tail) - end < _END.size:
        raise zipfile.BadZipFile("File is not a zip file")
    *_, size, offset, _ = _END.unpack_from(tail, end)
    large = end - _LOCATOR.size - _END64.size
    if large >= 0 and tail[end - _LOCATOR.size :].startswith(_LOCATOR_SIGNATURE):
        signature, *_, size64, offset64 = _END64.unpack_from(tail, large)
        if signature == _END64_SIGNATURE:
            end, size, offset = large, size64, offset64
    return start + end - size, size, offset


def _directory_bytes(path: Path) -> int:
    """The size that the last end record declares; 0 if there is none."""
    tail, _ = _tail(path)
    end = tail.rfind(_END_SIGNATURE)
    if end < 0 or len(tail) - end < _END.size:
        return 0
    declared = int(_END.unpack_from(tail, end)[5])
    large = tail.rfind(_END64_SIGNATURE, 0, end)
    if declared == _IN_END64 and large >= 0 and len(tail) - large >= _END64.size:
        declared = int(_END64.unpack_from(tail, large)[8])
    return declared


def _tail(path: Path) -> tuple[bytes, int]:
    """The end of a file in which the last records of a zip are, and where it begins."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        start = max(0, size - _END.size - _MAX_COMMENT - _LOCATOR.size - _END64.size)
        file.seek(start)
        return file.read(), start


def check_name(name: str, where: str) -> None:
    """Check the name of an entry or member."""
    if not name:
        raise UserError(f"{where}an entry without a name: damaged")
    if leaves_folder(name):
        raise UserError(f"{where}: a name that leads out of the archive; nothing is read from it")


def check_entry(info: zipfile.ZipInfo, total: int, where: str) -> None:
    """Check an entry by what the directory says of it; `total` are the bytes of the whole zip."""
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(f"{where}: is a link; expected ordinary files")
    if info.flag_bits & 1:
        raise UserError(f"{where}: encrypted; expected a zip without a password")
    # Other methods are rare, and the standard library cannot bound what they expand to.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"{where}: packed by an unusual method; expected stored or deflated")
    if info.compress_size > total - info.header_offset:
        raise UserError(
            f"{where}: {info.compress_size / 2**30:.1f} GiB: bytes declared that the zip has not"
        )
    if info.file_size > _SMALL and info.file_size > MAX_EXPANSION * info.compress_size:
        times = info.file_size // max(1, info.compress_size)
        raise UserError(
            f"{where}: would expand {times} times; expected at most {MAX_EXPANSION}:"
            " if it is no bomb, store it uncompressed"
        )
