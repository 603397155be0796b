"""Commands of this toolkit as processes of their own, which end when their caller does.

Run as ``python -m benchmarks.child PARENT MODULE ARGUMENTS``, this file is the beginning of such a
process: Linux will send it SIGTERM when its parent dies, even if killed, so that a training saves
and leaves instead of going on alone.
"""

import contextlib
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from stylegan_eval.command import Terminated, handling, is_quiet
from stylegan_eval.processes import end_with_parent


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended.

    Attributes
    ----------
    status : int
        Its exit status; 0 is success.
    reason : str
        What it said of its failure, in one line; empty where it succeeded.
    seconds : float
        How long it took.
    """

    status: int
    reason: str
    seconds: float


def call(module: str, arguments: Sequence[str], log: Path) -> Ended:
    """Run ``python -m module arguments``; show what it says, and keep the lines in a file.

    A signal to stop (SIGTERM, Ctrl-C) goes on to it; it is waited for.

    Raises
    ------
    Terminated
        SIGTERM came.
    KeyboardInterrupt
        Ctrl-C.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.child", str(os.getpid()), module, *arguments]
    command += ["--quiet"] if is_quiet() else []
    began = time.monotonic()
    with (
        log.open("ab") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
        _passing_on(process) as came,
    ):
        said = _tee(process, file)
        status = process.wait()
    if came:
        raise KeyboardInterrupt if came[0] == signal.SIGINT else Terminated(came[0])
    reason = "" if status == 0 else _reason(said, status)
    return Ended(status=status, reason=reason, seconds=time.monotonic() - began)


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
    said = (errors or [line for line in lines if line] or [""])[-1]
    said = said.removeprefix("error:").removeprefix("Error:").strip()
    if status < 0:
        name = signal.Signals(-status).name
        return f"ended by {name}" + (f": {said}" if errors else "")
    return said or f"ended with status {status}"


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


if __name__ == "__main__":
    _main()
