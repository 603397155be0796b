"""Signs of life between processes: a process that waits finds which one has stopped."""

import atexit
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from stylegan_eval.errors import ProcessEndedError, UserError

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]  # its stubs lack it

PATIENCE = "STYLEGAN_PATIENCE"  # environment variable, in seconds
_PATIENCE = 600.0
_MOST_BETWEEN = 10.0  # seconds between two beats
# A step may take another process so many times as long before it counts as hung.
_SLOWER = 10.0
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_ADVICE = "end it and start the command again, a training with --resume"


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A process's sign of life."""

    host: str
    number: int = 0  # Rises with each
    at: float = 0.0  # Time of day of the sender, in seconds since 1970
    doing: str = "begins"
    steps: int = 0  # Steps of a training, begun so far
    stepping: bool = False  # Whether it is inside a step
    waiting: bool = False  # Whether it waits for others


def patience() -> float:
    """Seconds without a sign of life after which a process counts as hung."""
    given = os.environ.get(PATIENCE, "")
    try:
        seconds = float(given or _PATIENCE)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise UserError(f"{PATIENCE} is {given!r}, expected seconds, such as {_PATIENCE:g}")
    return seconds


class Heartbeat:
    """Tells the others that this process lives and gets on, from a thread of its own.

    To live is not to get on: the thread of a process that hangs in a kernel of its GPU beats on. So
    a training is judged by its steps, which all processes take alike; whatever else a process does
    (prepare images, measure a block, write a checkpoint) may take hours, as long as it lives.
    """

    def __init__(self, store: "Store", rank: int, world: int, patience: float) -> None:
        self.store, self.rank, self.world, self.patience = store, rank, world, patience
        self.interval = min(_MOST_BETWEEN, patience / 20)
        self._state = Beat(host=socket.gethostname())  # written by the main thread alone
        self._sent = 0
        self._longest = 0.0  # seconds, of this process's steps
        self._begun = 0.0  # when its present step began
        self._ended = threading.Event()
        self.beats: dict[int, Beat] = {}  # last ones of the others that `read` has seen

    def start(self) -> None:
        """Send the first beat, and the next ones from a thread."""
        self.send()
        thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        thread.start()
        # In the middle of a message when the interpreter ends, it would abort the process.
        atexit.register(thread.join, timeout=1.0)
        atexit.register(self._ended.set)

    def _run(self) -> None:
        while not self._ended.wait(self.interval):
            with contextlib.suppress(RuntimeError):  # whoever keeps the store may have ended first
                self.send()
                if self._state.waiting:
                    self.read()

    def send(self) -> None:
        """Send a beat."""
        self._sent += 1
        beat = replace(self._state, number=self._sent, at=time.time())
        self.store.set(str(self.rank), json.dumps(asdict(beat)))

    def read(self) -> None:
        """Read the last beats of the others; who keeps the store may hang, and this with it."""
        for rank in range(self.world):
            if rank != self.rank:
                self.beats[rank] = Beat(**json.loads(self.store.get(str(rank))))

    @contextlib.contextmanager
    def doing(self, what: str, *, step: bool = False) -> Iterator[None]:
        """Say what the block does; a `step` is one that all processes take alike."""
        before, begun = self._state, time.monotonic()
        self._state = replace(before, doing=what, steps=before.steps + step, stepping=step)
        self._begun = begun
        try:
            yield
        finally:
            if step:
                self._longest = max(self._longest, time.monotonic() - begun)
            self._state = replace(self._state, doing=before.doing, stepping=before.stepping)

    @contextlib.contextmanager
    def waiting(self) -> Iterator["Watch"]:
        """Wait in the block for the others, with a watch over them."""
        # The others may take as long for a step as this process, and longer.
        present = time.monotonic() - self._begun if self._state.stepping else 0.0
        watch = Watch(self, max(self.patience, _SLOWER * max(self._longest, present)))
        self._state = replace(self._state, waiting=True)
        try:
            yield watch
        finally:
            self._state = replace(self._state, waiting=False)


class Watch:
    """Looks at the others' beats during one wait, and raises where one has stopped.

    Clocks of machines may differ: what counts is how long this process has seen no change.

    `for_step`: seconds within which a step must be taken.
    """

    def __init__(
        self, own: Heartbeat, for_step: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own, self._for_step, self._clock = own, for_step, clock
        self._beats: dict[int, Beat] = {}
        self._heard: dict[int, float] = {}  # when the last beat came
        self._moved: dict[int, float] = {}  # when a beat last said something new

    def look(self) -> None:
        """Look at the last beats; ProcessEndedError where a process has stopped."""
        now = self._clock()
        for rank, beat in list(self._own.beats.items()):
            before = self._beats.get(rank)
            if before is None or beat.number != before.number:
                self._heard[rank] = now
            if before is None or _news(beat) != _news(before):
                self._moved[rank] = now
            self._beats[rank] = beat
        trouble = self._silent(now) or self._stuck(now)
        if trouble:
            raise ProcessEndedError(f"{trouble}: {_ADVICE}")

    def _silent(self, now: float) -> str:
        limit = self._own.patience
        quiet = min(self._beats, key=lambda rank: self._heard[rank])
        if now - self._heard[quiet] <= limit:
            return ""
        beat = self._beats[quiet]
        last = time.strftime("%H:%M:%S", time.localtime(beat.at))
        return (
            f"process {quiet} on {beat.host} ({beat.doing}) was last heard at {last}, more than"
            f" {_long(limit)} ago"
        )

    def _stuck(self, now: float) -> str:
        limit = self._for_step
        still = [rank for rank in self._beats if now - self._moved[rank] > limit]
        for rank in still:
            beat = self._beats[rank]
            if beat.stepping and not beat.waiting:
                return (
                    f"process {rank} on {beat.host} lives, but has been at one step"
                    f" ({beat.doing}) for more than {_long(limit)}"
                )
        if len(still) == self._own.world - 1 and all(self._beats[r].waiting for r in still):
            hosts = ", ".join(sorted({beat.host for beat in self._beats.values()}))
            return (
                f"all processes have waited for each other for more than {_long(limit)}, so the"
                f" network between this machine and {hosts} fails"
            )
        return ""


def _news(beat: Beat) -> tuple[int, bool, bool]:
    return beat.steps, beat.stepping, beat.waiting


def _long(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


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
