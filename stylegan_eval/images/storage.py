"""Where files of images lie: a folder, a zip, or a list of paths."""

import contextlib
import hashlib
import os
import stat
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np

from stylegan_eval.engine.files import Stamp, check_apart, places_of, stamp_of
from stylegan_eval.engine.safe_files import (
    LOCAL,
    check_entry,
    check_name,
    entries_of,
    read_at,
    start_of,
)
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import CONTAINERS, container_at
from stylegan_eval.images.image_kinds import START_BYTES, is_hidden, left_out_as
from stylegan_eval.images.labels import DATASET_JSON
from stylegan_eval.images.listing import Entry, Numbers

CHANGED = "has changed since it was opened: start the command again when nothing writes to it"
STDIN = Path("-")
_LONGEST_LIST = 2**28  # bytes


class _Source:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: Counter[str] = Counter()  # by their ending
        self.lost_labels = ""  # a file of labels that is not where it should be
        self.digests: Mapping[str, str] = {}  # SHA-256 of the files of a folder, once known


class Folder(_Source):
    """A folder and its sub-folders. The numbers of an entry are its `Stamp`."""

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        super().__init__(path)
        self.folder = folder or path  # where the names begin

    def entries(self) -> Iterator[Entry]:
        """Every image; the rest is counted in `left_out`.

        A linked folder is read once: under its own name, or else under the first link to it.
        """
        seen: set[tuple[int, int]] = set()
        waiting, links = [""], list[str]()
        while waiting or links:
            if not waiting:
                links.sort(reverse=True)
            folder = (waiting or links).pop()
            status = Path(self.path, folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(Path(self.path, folder)) as found:  # without a list of its names
                for entry in found:
                    name = f"{folder}{entry.name}"
                    if _is_folder(entry):
                        (links if entry.is_symlink() else waiting).append(f"{name}/")
                    elif _is_wanted(name, self, partial(first_bytes, self.folder / name)):
                        yield self._entry(name)

    def _entry(self, name: str) -> Entry:
        file = self.folder / name
        try:
            status = file.stat()
        except OSError as error:
            fix = "mend or remove the link" if file.is_symlink() else "make it readable"
            raise UserError(f"{file}: cannot be read ({error.strerror}): {fix}") from error
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would never end
            raise UserError(f"{file}: is no ordinary file: remove it")
        return Entry(name, stamp_of(status))

    def open(self, entry: Entry) -> BinaryIO:
        """Open a file to read a part of it."""
        return (self.folder / entry.name).open("rb")

    def read(self, entry: Entry) -> bytes:
        """Read a file that has not changed since it was listed."""
        with self.open(entry) as stream:
            data = stream.read(entry.numbers[0])
            same = stamp_of(os.fstat(stream.fileno())) == entry.numbers
        if not same and hashlib.sha256(data).hexdigest() != self.digests.get(entry.name):
            raise UserError(f"{self.folder / entry.name}: {CHANGED}")
        return data

    def check(self, _numbers: Numbers) -> None:
        """Files lie apart."""

    def close(self) -> None:
        """Nothing is open."""


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    with contextlib.suppress(OSError):  # a link that leads to itself is no folder
        return entry.is_dir()
    return False


class Listing(Folder):
    """Files named in a text file, a path on each line, from its folder on; or standard input."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Path() if path == STDIN else path.parent)

    def entries(self) -> Iterator[Entry]:
        """Every file of the list, whatever its ending."""
        for number, line in enumerate(_lines(_text_of(self.path)), start=1):
            if (name := line.removesuffix("\r")).strip():
                if "\0" in name or not (self.folder / name).is_file():
                    raise UserError(
                        f"{self.path}: line {number}: {name!r:.200} is no file; expected the"
                        f" path of an image on each line, from {self.folder.resolve()} on"
                    )
                yield self._entry(name)


def _lines(text: str) -> Iterator[str]:
    """Lines of a text, one after the other: a list of them is several times as large."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


@cache
def _standard_input() -> str:
    return sys.stdin.buffer.read(_LONGEST_LIST + 1).decode("utf-8", "surrogateescape")


def _text_of(path: Path) -> str:
    if path != STDIN:
        with path.open("rb") as file:
            text = file.read(_LONGEST_LIST + 1).decode("utf-8", "surrogateescape")
    elif int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "-: several processes cannot share standard input: write the list to a file"
        )
    elif sys.stdin is None or sys.stdin.isatty():
        raise UserError("-: standard input is a terminal; expected a list of images piped in")
    else:
        text = _standard_input()
    if len(text) > _LONGEST_LIST:
        raise UserError(f"{path}: a list of more than {_LONGEST_LIST >> 20} MiB: split it")
    return text


class Zip(_Source):
    """A zip, opened again in each process.

    The numbers of an entry: bytes, CRC-32, where its local header is, bytes as packed, method.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = -1
        self._stamp: Stamp | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_file": -1}

    def entries(self) -> Iterator[Entry]:
        """Every image; the rest is counted in `left_out`."""
        total = self.path.stat().st_size
        for info in entries_of(self.path):
            where = f"{self.path}: {info.filename}"
            check_name(info.filename, where)  # also of what is passed over
            if info.is_dir() or not _is_wanted(info.filename, self, partial(self._start, info)):
                continue
            check_entry(info, total, where)
            numbers = (info.file_size, info.CRC, info.header_offset, info.compress_size)
            yield Entry(info.filename, (*numbers, info.compress_type))

    def check(self, numbers: Numbers) -> None:
        """Refuse entries that lie in one another, as a few bytes would make many images so."""
        starts, sizes = (numbers.columns[k].astype(np.int64) for k in (2, 3))
        order = np.argsort(starts)
        if (np.diff(starts[order]) < LOCAL.size + sizes[order[:-1]]).any():
            raise UserError(f"{self.path}: entries overlap: damaged, or made to harm")

    def open(self, entry: Entry) -> BinaryIO:
        """Open an entry to read a part of it."""
        info = zipfile.ZipInfo(entry.name)
        info.file_size, info.CRC, info.header_offset, info.compress_size = entry.numbers[:4]
        info.compress_type = entry.numbers[4]
        return self._opened(info)

    def _opened(self, info: zipfile.ZipInfo) -> BinaryIO:
        if self._file < 0:
            self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            stamp = stamp_of(os.fstat(self._file))
            if self._stamp not in (None, stamp):
                self.close()
                raise UserError(f"{self.path}: {CHANGED}")
            self._stamp = stamp
        read = partial(read_at, self._file, self.path)
        part = _Part(read, start_of(info, read), info.compress_size)
        return cast(BinaryIO, zipfile.ZipExtFile(cast(IO[bytes], part), "r", info))

    def read(self, entry: Entry) -> bytes:
        """Read an entry whose CRC-32 is what the directory says."""
        with self.open(entry) as stream:
            # Bounded, so an entry that lies about its size cannot fill the memory.
            return stream.read(entry.numbers[0])

    def _start(self, info: zipfile.ZipInfo) -> bytes:
        """The first bytes of an entry that may be of any kind; none of a link."""
        if stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 1:
            return b""
        with contextlib.suppress(UserError), parsing("entry"), self._opened(info) as stream:
            return stream.read(START_BYTES)
        return b""

    def close(self) -> None:
        """Close the zip; a later read opens it again."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


class _Part:
    """A stretch of a file, as far as `zipfile.ZipExtFile` needs a file."""

    def __init__(self, read_at: Callable[[int, int], bytes], start: int, size: int) -> None:
        self._read_at = read_at
        self._place, self._end = start, start + size

    def read(self, count: int) -> bytes:
        """Read at most so many bytes."""
        data = self._read_at(max(min(count, self._end - self._place), 0), self._place)
        self._place += len(data)
        return data

    def seekable(self) -> bool:
        """Whether `seek` works."""
        return True

    def tell(self) -> int:
        """The place in the file."""
        return self._place

    def seek(self, place: int) -> None:
        """Go to a place in the file."""
        self._place = place

    def close(self) -> None:
        """The file stays open."""


def _is_wanted(name: str, source: Folder | Zip, start: Callable[[], bytes]) -> bool:
    if name == DATASET_JSON:
        return True
    if is_hidden(name):
        return False
    ending = left_out_as(name, start)
    if ending is not None:
        source.left_out[ending] += 1
        if name.rpartition("/")[2].lower() == DATASET_JSON:
            source.lost_labels = name
    return ending is None


def first_bytes(path: Path) -> bytes:
    """The first bytes of an ordinary file that can be read, else none."""
    try:
        if not path.is_file():  # reading a pipe would never end
            return b""
        with path.open("rb") as stream:
            return stream.read(START_BYTES)
    except OSError:
        return b""


def check_outside(out: Path, folder: Path) -> None:
    """Refuse an output that would be read among the images of a folder the next time."""
    kind = container_at(folder)
    if kind is not None and CONTAINERS[kind].is_alone:
        return  # image files beside it are left out
    pairs = zip(places_of(out), places_of(folder), strict=True)
    below = [str(place.relative_to(top)) for place, top in pairs if place.is_relative_to(top)]
    if not below or not all(map(is_hidden, below)):
        check_apart(out, folder)


def has_images(folder: Path) -> bool:
    """Whether there are images in the folder itself."""
    return any(
        not path.name.startswith(".")
        and path.is_file()
        and left_out_as(path.name, partial(first_bytes, path)) is None
        for path in folder.iterdir()
    )


def holds_images(folder: Path) -> bool:
    """Whether there are images in the folder or below."""
    return has_images(folder) or any(map(has_images, filter(Path.is_dir, folder.rglob("*"))))
