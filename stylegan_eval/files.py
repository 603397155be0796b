"""Files that are either whole or absent."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from stylegan_eval.errors import UserError


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    The data reach the disk before the name changes, so a reader sees the old file or the whole
    new one, also after a power cut. On any failure the temporary file is removed and `path` is
    untouched. A link stays one: what it leads to is replaced.

    Parameters
    ----------
    path : Path
        The final name. Its folder is made when absent.

    Raises
    ------
    UserError
        The folder cannot be written, the disk is full, or `path` is no file (but a device, say,
        which must not be replaced).
    """
    path = path.resolve() if path.is_symlink() else path
    check_writable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # An OSError about another file (a missing input, say) is not ours to reword.
        failed = None if error.filename is None else Path(os.fsdecode(error.filename))
        if failed is not None and failed not in (temporary, path, *path.parents):
            raise
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        # Where the folder could not be made, neither is there a file to remove.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Check, before the work, what can be known of writing `path`; nothing is made.

    Raises
    ------
    UserError
        It is a folder or a device, or its folder can be neither made nor written.
    """
    if path.exists() and not path.is_file():
        kind = "is a folder" if path.is_dir() else "is no ordinary file"
        raise UserError(f"cannot write {path}: it {kind}: name a file")
    folder = next(part for part in path.absolute().parents if part.exists())
    if not folder.is_dir():
        raise UserError(f"cannot write {path}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {path}: no permission to write in {folder}")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes that would write `path` in this way out of the block.

    What is locked is its folder: `path` itself is replaced, not changed, when written.

    Raises
    ------
    UserError
        The folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)  # and with it the lock


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Be the only process that has `path`, a file to append to, in this way.

    Raises
    ------
    UserError
        Another process has it, or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"{path.parent} is in use by another process: wait for it, stop it, or choose"
                " another folder"
            ) from error
        yield  # closing the file lets it go, and so does the death of the process


def is_held(path: Path) -> bool:
    """Whether a process has `path` by `held`."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
