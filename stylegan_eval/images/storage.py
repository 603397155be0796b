"""Where files of images lie: a folder, a zip, or a list of paths."""

import contextlib
import hashlib
import os
import stat
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from stylegan_eval.engine.files import Stamp, stamp_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.engine.zip_guard import check_entry, check_name, open_zip
from stylegan_eval.errors import UserError
from stylegan_eval.images.image_kinds import START_BYTES, left_out_as
from stylegan_eval.images.labels import DATASET_JSON

CHANGED = "has changed since it was opened: start the command again when nothing writes to it"
STDIN = Path("-")
_LONGEST_LIST = 2**28  # bytes


class Entry(NamedTuple):
    """A file that counts."""

    name: str  # relative posix path
    size: int  # bytes
    stamp: int  # CRC-32 in a zip, modification time in ns in a folder


class _Source:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out: Counter[str] = Counter()  # by their ending
        self.lost_labels = ""  # a file of labels that is not where it should be
        self.stamps: dict[str, Stamp] = {}  # of the files of a folder, when they were listed
        self.digests: Mapping[str, str] = {}  # their SHA-256, once they are known


class Folder(_Source):
    """A folder and its sub-folders."""

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        super().__init__(path)
        self.folder = folder or path  # where the names begin

    def entries(self) -> Iterator[Entry]:
        """Every image; the rest is counted in `left_out`."""
        seen: set[tuple[int, int]] = set()
        for folder, subfolders, names in os.walk(self.path, onerror=_raise, followlinks=True):
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:  # a link that leads back
                subfolders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            for name in names:
                file = Path(folder, name)
                relative = file.relative_to(self.path).as_posix()
                if _is_wanted(relative, self):
                    yield self._entry(relative)

    def _entry(self, name: str) -> Entry:
        file = self.folder / name
        try:
            status = file.stat()
        except OSError as error:
            fix = "mend or remove the link" if file.is_symlink() else "make it readable"
            raise UserError(f"{file}: cannot be read ({error.strerror}): {fix}") from error
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would never end
            raise UserError(f"{file}: is no ordinary file: remove it")
        self.stamps[name] = stamp_of(status)
        return Entry(name, status.st_size, status.st_mtime_ns)

    def open(self, name: str) -> BinaryIO:
        """Open a file to read a part of it."""
        return (self.folder / name).open("rb")

    def read(self, name: str, size: int) -> bytes:
        """Read a file that has not changed since it was listed."""
        with self.open(name) as stream:
            data = stream.read(size)
            same = stamp_of(os.fstat(stream.fileno())) == self.stamps[name]
        if not same and hashlib.sha256(data).hexdigest() != self.digests.get(name):
            raise UserError(f"{self.folder / name}: {CHANGED}")
        return data

    def start(self, name: str) -> bytes:
        """The first bytes of a file that may be of any kind."""
        return start_of(self.folder / name)

    def close(self) -> None:
        """Nothing is open."""


class Listing(Folder):
    """Files named in a text file, a path on each line, from its folder on; or standard input."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Path() if path == STDIN else path.parent)

    def entries(self) -> Iterator[Entry]:
        """Every file of the list, whatever its ending."""
        for number, line in enumerate(_text_of(self.path).split("\n"), start=1):
            if (name := line.removesuffix("\r")).strip():
                if "\0" in name or not (self.folder / name).is_file():
                    raise UserError(
                        f"{self.path}: line {number}: {name!r:.200} is no file; expected the"
                        f" path of an image on each line, from {self.folder.resolve()} on"
                    )
                yield self._entry(name)


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
    """A zip, opened again in each process."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file: zipfile.ZipFile | None = None
        self._owner = 0  # process that opened it: a fork must not share the file position
        self._stamp: Stamp | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_file": None, "_owner": 0}

    def entries(self) -> Iterator[Entry]:
        """Every image; the rest is counted in `left_out`."""
        total = self.path.stat().st_size
        for info in self._opened().infolist():
            where = f"{self.path}: {info.filename}"
            check_name(info.filename, where)  # also of what is passed over
            if info.is_dir() or not _is_wanted(info.filename, self):
                continue
            check_entry(info, total, where)
            yield Entry(info.filename, info.file_size, info.CRC)

    def open(self, name: str) -> BinaryIO:
        """Open an entry to read a part of it."""
        return cast(BinaryIO, self._opened().open(name))

    def read(self, name: str, size: int) -> bytes:
        """Read an entry whose CRC-32 is what the directory says."""
        with self.open(name) as stream:
            # Bounded, so an entry that lies about its size cannot fill the memory.
            return stream.read(size)

    def start(self, name: str) -> bytes:
        """The first bytes of an entry that may be of any kind; none of a link."""
        info = self._opened().getinfo(name)
        if stat.S_ISLNK(info.external_attr >> 16):
            return b""
        with contextlib.suppress(UserError), parsing(name), self.open(name) as stream:
            return stream.read(START_BYTES)
        return b""

    def close(self) -> None:
        """Close the zip; a later read opens it again."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._file = None

    def _opened(self) -> zipfile.ZipFile:
        if self._file is None or self._owner != os.getpid():
            stamp = stamp_of(self.path.stat())
            if self._stamp not in (None, stamp):
                raise UserError(f"{self.path}: {CHANGED}")
            self._stamp = stamp
            self._file = open_zip(self.path)
            self._owner = os.getpid()
        return self._file


def _is_wanted(name: str, source: Folder | Zip) -> bool:
    if name == DATASET_JSON:
        return True
    if any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
        return False
    ending = left_out_as(name, lambda: source.start(name))
    if ending is not None:
        source.left_out[ending] += 1
        if name.rpartition("/")[2].lower() == DATASET_JSON:
            source.lost_labels = name
    return ending is None


def start_of(path: Path) -> bytes:
    """The first bytes of an ordinary file that can be read, else none."""
    try:
        if not path.is_file():  # reading a pipe would never end
            return b""
        with path.open("rb") as stream:
            return stream.read(START_BYTES)
    except OSError:
        return b""


def has_images(folder: Path) -> bool:
    """Whether there are images in the folder itself."""
    return any(
        not path.name.startswith(".")
        and path.is_file()
        and left_out_as(path.name, partial(start_of, path)) is None
        for path in folder.iterdir()
    )


def holds_images(folder: Path) -> bool:
    """Whether there are images in the folder or below."""
    return has_images(folder) or any(map(has_images, filter(Path.is_dir, folder.rglob("*"))))


def _raise(error: OSError) -> None:
    raise error
