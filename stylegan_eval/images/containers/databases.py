"""LMDB files: rosinality's sets of JPEGs at several resolutions, and LSUN.

A database is mapped into memory by a library in C that trusts what it maps. So the file is walked
and verified first, by the verifier that the library brings for files of unknown origin, and only
then opened: read-only, without a lock file.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import DATA_FILE
from stylegan_eval.images.files import MAX_FILE_BYTES, prepare_command
from stylegan_eval.images.listing import Names
from stylegan_eval.images.source import (
    MAX_IMAGES,
    EncodedImages,
    check_count,
    check_ordinary,
    needed,
    stamps_of,
)

if TYPE_CHECKING:
    import lmdb

_LENGTH_KEY = b"length"
_SIZES = tuple(2**k for k in range(13, 1, -1))  # 8192 to 4, the largest first


@dataclass(frozen=True, eq=False)
class _Values:
    """The values of some keys."""

    keys: Names  # in Latin-1
    database: "lmdb.Environment"
    reading: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, index: int, where: str) -> bytes:
        with self._value(index, where) as value:
            if len(value) > MAX_FILE_BYTES:
                raise UserError(f"{where}: files of at most 1 GiB are read")
            return bytes(value)

    def size(self, index: int) -> int:
        with self._value(index, _name(self.keys[index])) as value:
            return len(value)

    @contextlib.contextmanager
    def _value(self, index: int, where: str) -> Iterator[memoryview]:
        # One at a time: without a lock file there is no table of readers to share.
        with (
            parsing(where, "cannot be read"),
            self.reading,
            self.database.begin(buffers=True) as reading,
        ):
            value: Any = reading.get(self.keys[index].encode("latin-1"))
            if value is None:
                raise UserError(f"{where}: missing from the database")
            yield value

    def close(self) -> None:
        self.database.close()


def open_database(path: Path) -> EncodedImages:
    """Open an LMDB: a folder with ``data.mdb``, or that file.

    It is rosinality's if it has the key ``length``: keys are ``SIZE-NUMBER`` and the largest size
    is taken. Otherwise it is LSUN's: every value is an image, in the order of the keys.
    """
    data = path / DATA_FILE if path.is_dir() else path
    database = _opened(data)
    try:
        with parsing(data, "cannot be read"), database.begin() as reading:
            length = reading.get(_LENGTH_KEY)
            entries = int(reading.stat()["entries"])
            check_count(entries, data)
            if length is not None:
                kind, keys = "rosinality's LMDB", _numbered(reading, length, entries, data)
            else:
                kind = "LSUN's LMDB"
                found = reading.cursor().iternext(values=False)
                keys = Names(bytes(key).decode("latin-1") for key in found)
        return EncodedImages(
            kind=kind,
            path=path,
            names=keys if all(map(_is_name, keys)) else Names(map(_name, keys)),
            stamps=stamps_of([data]),
            store=_Values(keys, database),
        )
    except BaseException:
        database.close()
        raise


def _opened(data: Path) -> "lmdb.Environment":
    library = needed("lmdb", "lmdb", "an LMDB")
    check_ordinary(data)
    verifier = needed("lmdb.verify", "lmdb 3 or newer", "an LMDB")
    with parsing(data, "not an LMDB that can be read here"):
        faults = verifier.verify(str(data), subdir=False)
    if faults:
        raise UserError(f"{data}: damaged LMDB ({faults[0]})")
    with parsing(data, "cannot be opened"):
        try:
            database: lmdb.Environment = library.open(
                str(data), subdir=False, readonly=True, lock=False, create=False, readahead=False
            )
        except library.Error as error:
            if "already open" in str(error):
                raise UserError(
                    f"{data}: an LMDB cannot be on both sides: make a zip for one of them with:"
                    f" {prepare_command(data)}"
                ) from error
            raise
    return database


def _numbered(reading: Any, length: bytes, entries: int, data: Path) -> Names:
    """Keys of all images of the largest size there is."""
    text = bytes(length[:20]).decode("ascii", "replace")
    if not text.isdecimal() or not 1 <= int(text) <= min(entries, MAX_IMAGES):
        raise UserError(f"{data}: length is {text!r}, of {entries} entries: damaged")
    size = next((size for size in _SIZES if reading.get(b"%d-00000" % size) is not None), None)
    if size is None:
        raise UserError(f"{data}: has no key like 256-00000; expected SIZE-NUMBER")
    keys = Names(f"{size}-{index:05d}" for index in range(int(text)))
    for key in keys:
        if reading.get(key.encode()) is None:
            raise UserError(f"{data}: {key} is missing, of {len(keys)} images")
    return keys


def _is_name(key: str) -> bool:
    return key.isascii() and key.isprintable()


def _name(key: str) -> str:
    return key if _is_name(key) else key.encode("latin-1").hex()
