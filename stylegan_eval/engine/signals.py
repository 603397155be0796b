"""Signals that ask a process to stop, and processes that end with their parent."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from stylegan_eval.errors import UserError

# What asks a process to leave: a person, systemd, a container, a queue (Slurm's --signal, LSF,
# PBS), a terminal that is gone. A process that leaves for one has status 128 + its number.
STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


class Terminated(BaseException):
    """A signal to stop came: leave as after Ctrl-C, and leave nothing half-written behind."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` in the block when a signal to stop comes; a second one kills as usual.

    Not among processes of torchrun: one that waits for the others would not see it. Ctrl-C is
    Python's own.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated(number)

    with handling(leave, [each for each in STOP_SIGNALS if each != signal.SIGINT]):
        yield


@contextlib.contextmanager
def handling(
    handler: Callable[[int, FrameType | None], None], numbers: Sequence[int] = STOP_SIGNALS
) -> Iterator[None]:
    """Call `handler` in the block when a signal comes, in the main thread.

    A signal that is ignored (SIGHUP under nohup, Ctrl-C in a background job) stays so.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number, was in before.items() if was != signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, handler)
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number] or signal.SIG_DFL)


def end_with_parent(parent: int | None = None) -> None:
    """Let Linux send SIGTERM when the parent of this process dies, even if killed.

    It cannot tell then, and its children would work on, or wait for each other, for ever.

    `parent` is its process id, where it is known. Number 1 may be a launcher (in a container) as
    well as who took over the children of one that has died.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        raise UserError("the launcher of this process has ended")
