"""Safe reader of NumPy files: no array larger than its bytes, and no pickles."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.engine.zip_guard import check_entry, open_zip
from stylegan_eval.errors import UserError

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


def read_npz(path: Path, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read arrays of an ``.npz`` by their names: all, or those of `names` that are there."""
    total, arrays = path.stat().st_size, {}
    with parsing(path, "not an .npz of arrays"), open_zip(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if names is not None and name not in names:
                continue
            check_entry(info, total, f"{path}: {info.filename}")
            with parsing(f"{path}: {info.filename}", "no array"), archive.open(info) as file:
                arrays[name] = _read(file, info.file_size)
    return arrays


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
