"""Who works on what in a folder that several runners share.

A claim is a file that its holder made under a name that did not exist (a hard link, which one
process alone can make) and keeps locked and fresh. One whose holder has died is succeeded by the
next generation, ``NAME.1`` after ``NAME.0``: again one process alone can make that name, so a dead
runner's work goes to exactly one other.

Whether a holder lives is told by the kernel's lock where it is the same kernel's; from another
machine, whose locks a shared file system may not pass on, by the age of the file, measured by the
clock of the file system.
"""

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stylegan_eval.errors import UserError

FRESH_EVERY = 30.0
DEAD_AFTER = 600.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim that this process holds.

    Attributes
    ----------
    path : Path
        Its file.
    generation : int
        How many holders before this one died.
    """

    path: Path
    generation: int

    def is_lost(self) -> bool:
        """Whether another process took over, thinking this one dead (it may have been paused)."""
        newest = _newest(self.path.parent, self.path.name.rpartition(".")[0])
        return newest is None or newest[0] != self.generation


@contextlib.contextmanager
def claimed(folder: Path, name: str) -> Iterator[Claim | None]:
    """Claim `name`, or yield None where a living process has it.

    The claim is given up at the end of the block; what it was for must be done or written down by
    then, and must be looked at anew after claiming: another process may just have done it.

    Raises
    ------
    UserError
        The folder cannot be written, or its file system knows no hard links.
    """
    claim, file = _take(folder, name)
    if claim is None:
        yield None
        return
    stop = threading.Event()
    keeper = threading.Thread(target=_keep_fresh, args=(claim.path, stop), daemon=True)
    keeper.start()
    try:
        yield claim
    finally:
        stop.set()
        keeper.join()
        if not claim.is_lost():
            for generation in range(claim.generation + 1):  # the newest last: no gap for others
                _path(folder, name, generation).unlink(missing_ok=True)
        os.close(file)


def is_claimed(folder: Path, name: str) -> bool:
    """Whether a living process holds the claim."""
    newest = _newest(folder, name)
    return newest is not None and _is_alive(newest[1])


def _take(folder: Path, name: str) -> tuple[Claim | None, int]:
    newest = _newest(folder, name)
    if newest is not None and _is_alive(newest[1]):
        return None, -1
    generation = 0 if newest is None else newest[0] + 1
    path = _path(folder, name, generation)
    own = folder / f".{name}.{_kernel()}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(own, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        fcntl.flock(file, fcntl.LOCK_EX)  # before it has a name that others look at
        os.write(file, _kernel().encode())
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        path.hardlink_to(own)
    except FileExistsError:  # another process was faster
        os.close(file)
        return None, -1
    except OSError as error:
        os.close(file)
        raise UserError(
            f"cannot claim work in {folder}: {error.strerror or error}: its file system must know"
            " hard links"
        ) from error
    finally:
        own.unlink(missing_ok=True)
    return Claim(path=path, generation=generation), file


def _keep_fresh(path: Path, stop: threading.Event) -> None:
    while not stop.wait(FRESH_EVERY):
        with contextlib.suppress(OSError):
            os.utime(path)


def _is_alive(path: Path) -> bool:
    """Whether the holder of a claim lives."""
    try:
        with path.open("rb") as file:
            if file.read().decode() != _kernel():
                return _age(path) < DEAD_AFTER
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:  # given up just now: what it was for is done, or will be looked at
        return True
    return False


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock that its times come from."""
    probe = path.with_name(f".clock.{_kernel()}.{os.getpid()}.tmp")
    probe.touch()
    try:
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _newest(folder: Path, name: str) -> tuple[int, Path] | None:
    pattern = re.compile(rf"{re.escape(name)}\.(\d+)")
    if not folder.is_dir():
        return None
    found = [
        (int(match[1]), path)
        for path in folder.iterdir()
        if (match := pattern.fullmatch(path.name)) is not None
    ]
    return max(found, default=None)


def _path(folder: Path, name: str, generation: int) -> Path:
    return folder / f"{name}.{generation}"


def _kernel() -> str:
    """What tells this machine, since it started, from all others."""
    return _BOOT.read_text().strip() if _BOOT.exists() else os.uname().nodename
