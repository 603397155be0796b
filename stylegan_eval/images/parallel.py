"""Work ahead of its reader, but not far: a map over a pool, and an iterator in a thread."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import TypeVar, cast

from stylegan_eval.engine.signals import STOP_SIGNALS

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ordered(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of `items`, computed by `pool`.

    Unlike `Executor.map`, at most `ahead` results exist at a time, so a slow reader does not
    fill the memory; what has not started is cancelled when the reader stops or an item fails.

    `ahead`: items submitted and not yet yielded, at least 1.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            if len(pending) >= ahead:
                yield pending.popleft().result()
            pending.append(pool.submit(function, item))
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def prefetched(items: Iterator[Item]) -> Iterator[Item]:
    """Yield `items`, of which a thread makes the next while the reader works on one."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming: Future[Item | object] = thread.submit(next, items, end)
        try:
            while (item := coming.result()) is not end:
                coming = thread.submit(next, items, end)
                yield cast(Item, item)
        finally:
            coming.cancel() or wait([coming])
            if isinstance(items, Generator):
                items.close()


def work_for_parent() -> None:
    """Leave signals to the parent of this worker process, and end when it does.

    A signal may come to all processes at once (systemd, Slurm, a terminal); the parent decides what
    becomes of the work. Whatever ends the parent ends the worker, also where a server forked it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
