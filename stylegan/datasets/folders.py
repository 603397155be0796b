"""Folders that are either whole or absent."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from stylegan_eval.errors import UserError


class FolderTakenError(UserError):
    """Something of that name is there already."""


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; rename it to `path` when the block succeeds.

    On any failure the new folder is removed. Of several that build the same `path` at a time,
    the first to finish wins.

    Parameters
    ----------
    path : Path
        The final name: absent, or an empty folder.

    Raises
    ------
    FolderTakenError
        `path` is a file, or a folder with something in it.
    UserError
        The folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        check_free(path)
        temporary.mkdir(parents=True)
        yield temporary
        check_free(path)
        temporary.rename(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FolderTakenError(f"{path} is there already") from error
        if error.filename is not None and not _concerns(
            Path(os.fsdecode(error.filename)), temporary
        ):
            raise
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(path: Path) -> None:
    """Check that a folder may be made at `path`.

    Raises
    ------
    FolderTakenError
        It is a file, or a folder with something in it.
    """
    empty_folder = path.is_dir() and next(path.iterdir(), None) is None
    if path.exists() and not empty_folder:
        raise FolderTakenError(f"{path} is there already: remove it or choose another name")


def _concerns(failed: Path, temporary: Path) -> bool:
    """Tell whether `failed` is the folder being written, inside it, or above it."""
    return temporary in (failed, *failed.parents) or failed in temporary.parents
