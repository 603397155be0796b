"""Zips and files of NumPy read safely.

A zip is checked before its directory is read, each entry before its data are; no array is larger
than its bytes, and none holds pickles.
"""

import io
import math
import os
import stat
import struct
import sys
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.untrusted import leaves_folder, parsing
from stylegan_eval.errors import UserError

MAX_DIRECTORY_BYTES = 2**28  # About three million entries; `zipfile` reads them all at once

MAX_EXPANSION = 200  # Deflated images and labels are far below; a bomb is near 1000

_SMALL = 2**20  # entries up to this many bytes may expand by any factor
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
LOCAL = struct.Struct("<4s22xHH")  # header of an entry: lengths of its name and extra
_LOCAL_SIGNATURE = b"PK\x03\x04"
MAPPED = 2**27  # bytes: larger arrays may be left to files
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def open_zip(path: Path) -> ZipFile:
    """Open a zip whose directory can be read; the entries are still to be checked."""
    check_directory(path)
    with parsing(path, "is no zip, or a truncated or damaged one"):
        return ZipFile(path)


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


def entries_of(path: Path) -> Iterator[ZipInfo]:
    """Read the directory of a zip; of a long one never more than a part is in memory."""
    check_directory(path)
    with parsing(path, "is no zip, or a truncated or damaged one"), path.open("rb") as file:
        place, size, offset = _directory(path)
        moved = place - offset  # by the bytes before the zip
        if place < 0:
            raise BadZipFile("Bad offset for central directory")
        file.seek(place)
        rest = b""
        while size or rest:
            read = file.read(min(size, _AT_ONCE))
            rest, size = rest + read, size - len(read) if read else 0
            end = _whole_records(rest)
            if not end and not size:
                raise BadZipFile("Truncated central directory")
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
            raise BadZipFile("Bad magic number for central directory")
        if len(data) - end < _RECORD.size + sum(lengths):
            break
        end += _RECORD.size + sum(lengths)
    return end


def _infos(records: bytes) -> list[ZipInfo]:
    """Records of a directory, as `zipfile` reads them."""
    end = _END.pack(_END_SIGNATURE, 0, 0, 0, 0, len(records), 0, 0)
    with ZipFile(io.BytesIO(records + end)) as file:
        return file.infolist()


def _directory(path: Path) -> tuple[int, int, int]:
    """Where a directory begins, its bytes, and where it says that it begins."""
    tail, start = _tail(path)
    end = tail.rfind(_END_SIGNATURE)
    if end < 0 or len(tail) - end < _END.size:
        raise BadZipFile("File is not a zip file")
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


def check_entry(info: ZipInfo, total: int, where: str) -> None:
    """Check an entry by what the directory says of it; `total` are the bytes of the whole zip."""
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(f"{where}: is a link; expected ordinary files")
    if info.flag_bits & 1:
        raise UserError(f"{where}: encrypted; expected a zip without a password")
    # Other methods are rare, and the standard library cannot bound what they expand to.
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
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


def start_of(info: ZipInfo, read: Callable[[int, int], bytes]) -> int:
    """Place of an entry's bytes in its zip; `read` takes a number of bytes and their place."""
    header = read(LOCAL.size, info.header_offset).ljust(LOCAL.size, b"\0")
    signature, name, extra = LOCAL.unpack(header)
    if signature != _LOCAL_SIGNATURE:
        raise UserError(f"{info.filename} is not where the directory says: damaged")
    return info.header_offset + LOCAL.size + int(name) + int(extra)


def read_at(file: int, path: Path, count: int, place: int) -> bytes:
    """Read as forked processes and threads may, which share the place in an open file."""
    if sys.platform != "win32":
        return os.pread(file, count, place)
    with path.open("rb") as stream:
        stream.seek(place)
        return stream.read(count)


def read_npy(path: Path) -> NDArray[Any]:
    """Read a file of one array."""
    with parsing(path, "not an array in NumPy's format"), path.open("rb") as file:
        return _read(file, path.stat().st_size)


def names_in_npz(path: Path) -> frozenset[str]:
    """Names of the arrays of an ``.npz``, none of which is read."""
    with parsing(path, "not an .npz of arrays"), open_zip(path) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


def read_npz(
    path: Path, names: Collection[str] | None = None, *, mapped: bool = False
) -> dict[str, NDArray[Any]]:
    """Read arrays of an ``.npz`` by their names: all, or those of `names` that are there.

    `mapped`: leave large ones in the file, where they are not packed; no CRC-32 is checked then.
    """
    total, arrays = path.stat().st_size, {}
    with parsing(path, "not an .npz of arrays"), open_zip(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if names is not None and name not in names:
                continue
            check_entry(info, total, f"{path}: {info.filename}")
            with parsing(f"{path}: {info.filename}", "no array"), archive.open(info) as file:
                in_file = mapped and info.file_size >= MAPPED and info.compress_type == ZIP_STORED
                arrays[name] = _mapped(path, info) if in_file else _read(file, info.file_size)
    return arrays


def _mapped(path: Path, info: ZipInfo) -> NDArray[Any]:
    """A stored array whose pages are read as they are touched; writing changes no file."""
    with path.open("rb") as file:
        file.seek(start_of(info, partial(read_at, file.fileno(), path)))
        shape, fortran_order, dtype = read_header(file, info.file_size)
        order: Literal["F", "C"] = "F" if fortran_order else "C"
        return np.asarray(np.memmap(path, dtype, "c", file.tell(), shape, order))


def room(shape: tuple[int, ...], dtype: Any, folder: Path) -> NDArray[Any]:
    """Space for an array; for a large one that of a file in `folder`, which goes with it."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < MAPPED:
        return np.empty(shape, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # a disk that fills up later would end the process
            os.posix_fallocate(file.fileno(), 0, size)
        return np.asarray(np.memmap(file, dtype, "r+", shape=shape))


def _read(file: IO[bytes], size: int) -> NDArray[Any]:
    read_header(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran's order, and type of an array; the file then stands at the array's bytes."""
    header = _HEADERS.get(np.lib.format.read_magic(file))
    if header is None:
        raise UserError("of an unknown version of NumPy's format")
    shape, fortran_order, dtype = header(file)
    if dtype.hasobject or not all(type(n) is int and n >= 0 for n in shape):
        raise UserError(f"holds {dtype} {list(shape)!s:.60}, expected numbers")
    if math.prod(shape) * dtype.itemsize > size or math.prod(shape) > 8 * size:
        raise UserError(f"declares an array {list(shape)!s:.60}, which {size} bytes do not fill")
    return shape, fortran_order, dtype
