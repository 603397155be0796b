"""An ordered map over a pool of threads or processes that does not run far ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ordered(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of `items`, computed by `pool`.

    Unlike `Executor.map`, at most `ahead` results exist at a time, so a slow reader does not
    fill the memory; what has not started is cancelled when the reader stops or an item fails.

    Parameters
    ----------
    ahead : int
        Items submitted and not yet yielded, at least 1.
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
