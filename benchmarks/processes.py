"""Commands as subprocesses that end with their parent, and lock files for shared work."""

import contextlib
import fcntl
import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import click

from stylegan_eval.engine.command import Terminated, handling, is_quiet
from stylegan_eval.engine.heartbeat import end_with_parent
from stylegan_eval.errors import UserError

FRESH_EVERY = 30.0
DEAD_AFTER = 600.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def call(module: str, arguments: Sequence[str], log: Path) -> str:
    """Run ``python -m module arguments`` with its output shown and logged; why it failed, or "".

    A signal to stop (SIGTERM, Ctrl-C) is passed on, and the command is waited for; then this raises
    `Terminated` or KeyboardInterrupt.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.processes", str(os.getpid()), module, *arguments]
    command += ["--quiet"] if is_quiet() else []
    with (
        log.open("ab") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
        _passing_on(process) as came,
    ):
        lines = _tee(process, file)
        status = process.wait()
    if came:
        raise KeyboardInterrupt if came[0] == signal.SIGINT else Terminated(came[0])
    return "" if status == 0 else _reason(lines, status)


def timed(module: str, arguments: Sequence[str], cache: Path) -> tuple[float, str]:
    """Seconds and output of ``python -m module arguments`` with a cache of its own."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "STYLEGAN_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise click.ClickException(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return seconds, done.stdout


def _tee(process: "subprocess.Popen[bytes]", log: BinaryIO) -> list[str]:
    """Copy output to stderr as it comes, and whole lines to `log`; the last of them."""
    assert process.stdout is not None
    rest, kept = b"", []
    while chunk := os.read(process.stdout.fileno(), 65536):
        sys.stderr.buffer.write(chunk)
        sys.stderr.buffer.flush()
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            seen = line.rstrip(b"\r").rpartition(b"\r")[2]  # what a progress bar drew over is gone
            log.write(seen + b"\n")
            kept.append(seen.decode(errors="replace").strip())
        log.flush()
        del kept[:-50]
    return [*kept, rest.decode(errors="replace").strip()]


def _reason(lines: Sequence[str], status: int) -> str:
    errors = [line for line in lines if line.startswith(("error:", "Error:"))]
    last = (errors or [line for line in lines if line] or [""])[-1]
    last = last.removeprefix("error:").removeprefix("Error:").strip()
    if status < 0:
        name = signal.Signals(-status).name
        return f"ended by {name}" + (f": {last}" if errors else "")
    return last or f"ended with status {status}"


@contextlib.contextmanager
def _passing_on(process: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """Send SIGTERM to the process when a signal to stop comes here; yields what came."""
    came: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)

    with handling(pass_on):
        yield came


def _main() -> None:
    parent, module, *arguments = sys.argv[1:]
    end_with_parent(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim that this process holds."""

    path: Path  # Its file
    generation: int  # How many holders before this one died

    def is_lost(self) -> bool:
        """Whether another process took over, thinking this one dead (it may have been paused)."""
        newest = _newest(self.path.parent, self.path.name.rpartition(".")[0])
        return newest is None or newest[0] != self.generation


@contextlib.contextmanager
def claimed(folder: Path, name: str) -> Iterator[Claim | None]:
    """Claim `name`, or yield None where a living process has it.

    The claim is given up at the end of the block; what it was for must be done or written down by
    then, and must be looked at anew after claiming: another process may just have done it.
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
    """Seconds since a file was touched, by the clock that its times come from.

    By this machine's where nothing can be written beside it.
    """
    probe, now = path.with_name(f".clock.{_kernel()}.{os.getpid()}.tmp"), time.time()
    with contextlib.suppress(OSError):
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
    return now - path.stat().st_mtime


def _newest(folder: Path, name: str) -> tuple[int, Path] | None:
    pattern = re.compile(rf"{re.escape(name)}\.(\d+)")
    if not folder.is_dir():
        return None
    claims = [
        (int(match[1]), path)
        for path in folder.iterdir()
        if (match := pattern.fullmatch(path.name)) is not None
    ]
    return max(claims, default=None)


def _path(folder: Path, name: str, generation: int) -> Path:
    return folder / f"{name}.{generation}"


def _kernel() -> str:
    """Identity of this machine since it started."""
    return _BOOT.read_text().strip() if _BOOT.exists() else os.uname().nodename


if __name__ == "__main__":
    _main()
