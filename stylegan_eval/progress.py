"""Progress of long work on stderr: rate and time left, or nothing under ``--quiet``.

On a terminal it is drawn often. In a log, where nothing draws over what was there before, it is
drawn every ten seconds, and work of less than ten seconds leaves nothing.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from stylegan_eval.command import is_quiet

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
    """Make a bar that its `update` moves.

    Parameters
    ----------
    iterable : iterable, optional
        What to go through, see `follow`.
    desc : str, optional
        What is done.
    total : float, optional
        Steps in all.
    initial : float
        Steps that were done before.
    unit : str
        Of a step; "B" is shown in multiples of 1024.
    shown : bool
        False hides it.
    bar_format : str, optional
        See tqdm.
    """
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
