"""One thread that does the jobs of all tabs, the most urgent first."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from itertools import count
from queue import PriorityQueue
from threading import Thread
from typing import Any, TypeVar

from stylegan_eval.errors import UserError, is_out_of_memory

T = TypeVar("T")


class Rank(IntEnum):
    """How urgent a job is."""

    STOP = 0
    SHOWN = 1  # somebody looks at the place where it will be
    SHEET = 2  # one of many
    AHEAD = 3  # not requested yet


class Turns:
    """Jobs by rank; those of one rank in the order in which they came."""

    def __init__(self) -> None:
        self._jobs: PriorityQueue[tuple[Rank, int, Future[Any], Callable[[], Any]]]
        self._jobs = PriorityQueue()
        self._count = count()
        self._thread = Thread(target=self._work, name="draw", daemon=True)
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
