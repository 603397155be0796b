"""Progress of long work on stderr: rate and time left, or nothing under ``--quiet``.

On a terminal it is drawn often. In a log, where nothing draws over what was there before, it is
drawn every ten seconds, and work of less than ten seconds leaves nothing.
"""

import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from stylegan_eval.engine.command import is_quiet

if TYPE_CHECKING:
    Bar = tqdm[Any]

T = TypeVar("T")

_ON_TERMINAL = 0.1
_IN_LOG = 10.0


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str | None = None,
    total: float | None = None,
    initial: float = 0,
    unit: str = "it",
    shown: bool = True,
    bar_format: str | None = None,
) -> "Bar":
    """Make a bar that its `update` moves; the unit "B" is shown in multiples of 1024."""
    terminal = sys.stderr.isatty()
    return tqdm(
        iterable,
        desc,
        total,
        initial=initial,
        unit=unit,
        unit_scale=unit == "B",
        unit_divisor=1024,
        smoothing=0.1,
        disable=not shown or is_quiet(),
        mininterval=_ON_TERMINAL if terminal else _IN_LOG,
        delay=0 if terminal else _IN_LOG,
        dynamic_ncols=True,
        bar_format=bar_format,
    )


class _Lasting(io.FileIO):
    """A stream that goes nowhere once its reader, a pipe or a terminal, is gone."""

    def write(self, data: Any, /) -> int:
        """Write to stderr while it has a reader."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return memoryview(data).nbytes


@contextmanager
def lasting_stderr() -> Iterator[None]:
    """Let the work in the block outlive the reader of its stderr.

    `tee` dies of the Ctrl-C after which a training saves, and a terminal may be gone.
    """
    before = sys.stderr
    try:
        raw = _Lasting(before.fileno(), "w", closefd=False)
    except (OSError, ValueError):  # it is no file
        yield
        return
    before.flush()
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=True,
        write_through=True,
    )
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = before


def follow(
    iterable: Iterable[T],
    desc: str,
    total: int,
    *,
    initial: int = 0,
    unit: str = "img",
    shown: bool = True,
) -> Iterable[T]:
    """Go through an iterable under a bar; see `progress_bar`."""
    return progress_bar(iterable, desc=desc, total=total, initial=initial, unit=unit, shown=shown)
