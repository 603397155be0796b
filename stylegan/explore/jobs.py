"""Jobs of all tabs, off the event loop: short ones by turns, projections and films with an end."""

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from pathlib import Path
from queue import PriorityQueue
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stylegan.sample import projection
from stylegan.sample.painter import Painter
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.errors import UserError, is_out_of_memory

T = TypeVar("T")
MOST = 4  # films that are held


class Rank(IntEnum):
    """How urgent a job is."""

    STOP = 0
    SHOWN = 1  # A page waits for it now
    SHEET = 2  # one of many
    AHEAD = 3  # not requested yet


class Turns:
    """A thread that does jobs by rank; those of one rank in the order in which they came."""

    def __init__(self) -> None:
        self._jobs: PriorityQueue[tuple[Rank, int, Future[Any], Callable[[], Any]]]
        self._jobs = PriorityQueue()
        self._count = count()
        self._thread = threading.Thread(target=self._work, name="draw", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], T], rank: Rank) -> "Future[T]":
        """Do a job when its turn comes, unless the future is cancelled before."""
        future: Future[T] = Future()
        self._jobs.put((rank, next(self._count), future, job))
        return future

    async def run(self, job: Callable[[], T], rank: Rank) -> T:
        """Wait for a job."""
        return await asyncio.wrap_future(self.submit(job, rank))

    def close(self) -> None:
        """Finish the current job, and drop the others."""
        self.submit(lambda: None, Rank.STOP)
        self._thread.join()
        while not self._jobs.empty():
            self._jobs.get()[2].cancel()

    def _work(self) -> None:
        while True:
            rank, _, future, job = self._jobs.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001 - the future raises it where it is awaited
                future.set_exception(error)
            if rank is Rank.STOP:
                return


def or_too_large(job: Callable[[], T]) -> T:
    """Do a job; UserError where memory is too small for it."""
    try:
        return job()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError("out of memory: end other programs, and change something") from error


class CancelledError(Exception):
    """The job was cancelled."""


@dataclass(kw_only=True)
class Job:
    """Progress of a running job, written by its thread."""

    total: int  # Steps or frames
    done: int = 0
    distance: float | None = None  # Of a projection: perceptual, of the best w so far
    _end: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End the job at its next step or frame."""
        self._end.set()

    def watch(self, steps: int, distance: float) -> None:
        """Take note of steps of a projection."""
        self._go_on()
        self.done += steps
        self.distance = distance

    def watched(self, frames: Iterable[T]) -> Iterator[T]:
        """The frames of a film, counted."""
        for frame in frames:
            self._go_on()
            yield frame
            self.done += 1

    def _go_on(self) -> None:
        if self._end.is_set():
            raise CancelledError


class Worker:
    """A thread for one job at a time; `refusal` answers whoever asks for another meanwhile."""

    def __init__(self, name: str, refusal: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._refusal = refusal
        self._job: Job | None = None

    async def run(self, work: Callable[[], T], job: Job) -> T:
        """The result of `work`; CancelledError if cancelled, UserError if memory is too small."""
        if self._job is not None:
            raise UserError(self._refusal)
        self._job = job
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, or_too_large, work)
        finally:
            self._job = None

    def close(self) -> None:
        """Cancel the running job and end the thread."""
        if self._job is not None:
            self._job.cancel()
        self._thread.shutdown(cancel_futures=True)


class Projector(Worker):
    """Projects photographs into the W of a network."""

    def __init__(self, painter: Painter) -> None:
        super().__init__(
            "project", "another photograph is being projected: wait for it, or cancel it"
        )
        self._painter = painter

    async def project(
        self, pixels: projection.Pixels, settings: ProjectionSettings, job: Job
    ) -> NDArray[np.float32]:
        """The w [1, L, D] that is found for an image [C, S, S]."""

        def work() -> NDArray[np.float32]:
            origin = projection.centre(self._painter)
            aim = projection.aim_at(pixels, self._painter, settings)
            _, best = projection.project(aim, origin, settings, job.watch)
            ws: NDArray[np.float32] = best.ws.cpu().numpy()
            return ws

        return await self.run(work, job)


class Filmer(Worker):
    """Writes films; the last few of all tabs are held on disk, by random keys."""

    def __init__(self) -> None:
        super().__init__("film", "another film is being written: wait for it, or cancel it")
        self._folder: TemporaryDirectory[str] | None = None  # There from the first film on
        self._files: OrderedDict[str, Path] = OrderedDict()

    async def write(self, ending: str, write: Callable[[Path], None], job: Job) -> str:
        """Key of the film that `write` makes."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="films-", ignore_cleanup_errors=True)
        key = secrets.token_hex(8)
        path = Path(self._folder.name) / f"{key}.{ending}"
        await self.run(lambda: write(path), job)
        self._files[key] = path
        while len(self._files) > MOST:
            self._files.popitem(last=False)[1].unlink(missing_ok=True)
        return key

    def file(self, key: str) -> Path:
        """A film that was written."""
        if key not in self._files:
            raise UserError("this film is not held here any more: write it again")
        return self._files[key]

    def close(self) -> None:
        """Cancel the running job, and remove all films."""
        super().close()
        if self._folder is not None:
            self._folder.cleanup()
