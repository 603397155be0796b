"""Files and folders that are either whole or absent."""

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from stylegan_eval.errors import UserError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

PACKAGE = "stylegan-bench"


# A name does not identify the writer: process numbers repeat in containers that share a folder.
# A lock on what is written does, and it goes with the process.
_TEMPORARY = re.compile(r"\..*\.stylegan-[0-9a-f]{8}-[0-9a-f]{12}\.tmp")
_DAY = 86_400  # seconds
_LONGEST = 48  # characters of a name that are repeated: a name has at most 255 bytes
_CHUNK = 2**20
_LARGEST = 2**63 - 1
_FICLONE = 0x40049409  # of linux/fs.h
_LOOKS, _PAUSE = 5, 0.05  # at a lock that may be one of `is_held`; seconds


class FolderTakenError(UserError):
    """Something of that name is there already."""


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside `path`; rename it to `path` when the block succeeds.

    The data reach the disk before the name changes, so a reader sees the old file or the whole
    new one, also after a power cut. On any failure the new file is removed and `path` is
    untouched. A link stays one: what it leads to is replaced. What killed processes were writing
    in the same folder is removed.
    """
    path = path.resolve() if path.is_symlink() else path
    check_writable(path)
    with _wording(path), _temporary(path, Path.touch) as temporary:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; rename it to `path` when the block succeeds.

    `path` must be absent or an empty folder, else `FolderTakenError` is raised: of several that
    build it at a time, the first to finish wins. On any failure the new folder is removed.
    """
    check_free(path)
    with _wording(path), _temporary(path, Path.mkdir) as temporary:
        yield temporary
        check_free(path)
        try:
            temporary.rename(path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FolderTakenError(f"{path} is there already") from error
            raise


def check_free(path: Path) -> None:
    """Raise `FolderTakenError` unless `path` is absent or an empty folder."""
    if path.exists() and not path.is_dir() and not path.is_file():
        raise UserError(f"cannot write {path}: it is no ordinary file: choose another name")
    empty_folder = path.is_dir() and next(path.iterdir(), None) is None
    if path.exists() and not empty_folder:
        raise FolderTakenError(f"{path} is there already: remove it or choose another name")


def sweep(folder: Path) -> None:
    """Remove the files and folders that killed processes were writing in `folder`.

    Those of another machine only after a day, since locks may not reach so far.
    """
    if not HAS_LOCKS:
        return
    with contextlib.suppress(OSError):
        named = [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]
        for path in named:
            with contextlib.suppress(OSError), _opened(path) as file:
                age = time.time() - os.fstat(file).st_mtime
                if f".stylegan-{_machine()}-" not in path.name and age < _DAY:
                    continue
                try_lock(file)  # fails while its writer lives
                remove(path)


def copy_file(source: Path, target: Path) -> str:
    """Copy the bytes of `source` into the file `target`, and return their SHA-256.

    Blocks are shared where the file system can do that, the file itself never is: what is written
    to one of the two does not show in the other.
    """
    digest = hashlib.sha256()
    with source.open("rb") as read, target.open("wb") as file:
        try:
            clone(read.fileno(), file.fileno())
            cloned = True
        except OSError:
            cloned = False
        while chunk := _chunk(read, source):
            digest.update(chunk)
            if not cloned:
                file.write(chunk)
    return digest.hexdigest()


def _chunk(file: BinaryIO, path: Path) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:  # without the name, the target would be blamed
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def _temporary(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield what `make` makes beside `path`, locked; it is removed if it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with contextlib.ExitStack() as stack:
        while True:
            token = f"stylegan-{_machine()}-{os.urandom(6).hex()}"
            temporary = path.with_name(f".{path.name[:_LONGEST]}.{token}.tmp")
            make(temporary)
            if not HAS_LOCKS:  # an open file could not be renamed either
                break
            with contextlib.suppress(FileNotFoundError):  # swept before it was locked
                file = stack.enter_context(_opened(temporary))
                with contextlib.suppress(OSError):  # no locks here: nothing is swept either
                    lock(file)
                if os.fstat(file).st_nlink > 0:
                    break
        stack.callback(remove, temporary)
        yield temporary


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    access = os.O_RDONLY if path.is_dir() else os.O_RDWR
    file = os.open(path, access | getattr(os, "O_NOFOLLOW", 0))
    try:
        yield file
    finally:
        os.close(file)  # and with it the lock


@contextlib.contextmanager
def _wording(path: Path) -> Iterator[None]:
    """Tell an error of writing `path` in one line; one of another file is not ours to reword."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            failed = Path(os.fsdecode(error.filename))
            parts = (failed, *failed.parents)
            ours = any(_TEMPORARY.fullmatch(part.name) for part in parts)
            if not ours and failed not in (path, *path.parents):
                raise
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def remove(*paths: Path) -> None:
    """Remove files and folders, those that are there and can be removed."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@functools.cache
def _machine() -> str:
    """Eight digits for the running kernel, the same in all its containers."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        name = platform.node().encode()
    return hashlib.sha256(name).hexdigest()[:8]


def check_writable(path: Path) -> None:
    """Check, before the work, what can be known of writing `path`; nothing is made."""
    if path.exists() and not path.is_file():
        kind = "is a folder" if path.is_dir() else "is no ordinary file"
        raise UserError(f"cannot write {path}: it {kind}: name a file")
    folder = next(part for part in path.absolute().parents if part.exists())
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: no permission to write in {folder}")


def places_of(path: Path) -> tuple[Path, Path]:
    """Where a path is by its name, without `..`, and where its links lead."""
    return Path(os.path.abspath(path)), path.resolve()  # noqa: PTH100 - absolute() keeps ..


def check_apart(out: Path, source: Path) -> None:
    """Refuse to write over the file `source`, or into the folder `source` that images are read of.

    Both under any name that leads there.
    """
    places = list(places_of(out))
    if source.is_dir():
        places += [folder for place in places for folder in place.parents]
    for place in places:
        if source.exists() and place.exists() and place.samefile(source):
            if not source.is_dir():
                raise UserError(f"{out} is what is read: name another file")
            raise UserError(
                f"{out} lies in {source}, and all images there are read: name a place outside of it"
            )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that would write `path` in this way out of the block.

    What is locked is its folder: `path` itself is replaced, not changed, when written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY) if HAS_LOCKS else None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    if folder is None:
        yield
        return
    try:
        lock(folder)
        yield
    finally:
        os.close(folder)  # and with it the lock


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Be the only process that has `path`, a file to append to, in this way.

    If nothing was appended to a new file, it and the folders made for it are removed again.
    """
    made = [folder for folder in path.absolute().parents if not folder.exists()]
    file = _hold(path)
    with file:  # closing the file lets it go, and so does the death of the process
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if _is_at(file, path) and path.stat().st_size == 0:
                    path.unlink()
                    for folder in made:
                        folder.rmdir()


def _hold(path: Path) -> BinaryIO:
    """Open and lock the file that is at `path` when it is locked."""
    missing: FileNotFoundError | None = None
    for look in range(_LOOKS):
        time.sleep(_PAUSE if look else 0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
        except FileNotFoundError as error:  # the folder was removed by whoever had made it
            missing = error
            continue
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        with contextlib.suppress(BlockingIOError):  # `is_held` has it for a moment, perhaps
            try_lock(file)
            if _is_at(file, path):
                return file
        file.close()
        missing = None
    if missing is not None:  # a file system where no files are made
        raise UserError(f"cannot write {path}: {missing.strerror}") from missing
    raise UserError(_in_use(path))


def _is_at(file: BinaryIO, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _in_use(path: Path) -> str:
    return (
        f"{path.parent} is in use by another process: wait for it, stop it, or choose another"
        " folder"
    )


def check_not_held(path: Path) -> None:
    """Refuse what `held` would refuse; nothing is made."""
    if is_held(path):
        raise UserError(_in_use(path))


def is_held(path: Path) -> bool:
    """Whether a process has `path` by `held`."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            try_lock(file, shared=True)
        except BlockingIOError:
            return True
    return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


Stamp = tuple[int, int, int, int]
"""Numbers of the file system that change with a file; no tool sets the time of change back."""


def stamp_of(status: os.stat_result) -> Stamp:
    """Size, times of modification and of change, and inode, each below 2^63."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & _LARGEST


def lock(file: int | BinaryIO) -> None:
    """Wait for the lock of an open file; closing it lets the lock go."""
    if HAS_LOCKS:
        fcntl.flock(file, fcntl.LOCK_EX)


def try_lock(file: int | BinaryIO, *, shared: bool = False) -> None:
    """Take the lock of an open file, or raise BlockingIOError where another process has it."""
    if HAS_LOCKS:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def clone(source: int, target: int) -> None:
    """Let `target` share the blocks of `source`, or raise OSError where that is impossible."""
    if not HAS_LOCKS:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    fcntl.ioctl(target, _FICLONE, source)
