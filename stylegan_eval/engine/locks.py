"""Locks of open files between processes; a system without `flock` (Windows) has none."""

import errno
import os
from typing import BinaryIO

try:
    import fcntl
except ImportError:
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

_CLONE = 0x40049409  # FICLONE of linux/fs.h


def lock(file: int | BinaryIO, *, shared: bool = False) -> None:
    """Wait for the lock of an open file; closing it lets the lock go."""
    if HAS_LOCKS:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def try_lock(file: int | BinaryIO, *, shared: bool = False) -> None:
    """Take the lock of an open file, or raise BlockingIOError where another process has it."""
    if HAS_LOCKS:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def clone(source: int, target: int) -> None:
    """Let `target` share the blocks of `source`, or raise OSError where that is impossible."""
    if not HAS_LOCKS:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    fcntl.ioctl(target, _CLONE, source)
