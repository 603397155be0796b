"""Safe reader of NumPy files: no array larger than its bytes, and no pickles."""

import math
import os
import struct
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Literal
from zipfile import ZIP_STORED, ZipInfo

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.engine.zip_guard import check_entry, open_zip
from stylegan_eval.errors import UserError

MAPPED = 2**27  # bytes: larger arrays may be left to files
_LOCAL = struct.Struct("<26xHH")  # lengths of what stands in a zip before an entry's bytes
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


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
        file.seek(info.header_offset)
        name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
        file.seek(name + extra, os.SEEK_CUR)
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
