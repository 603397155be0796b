"""`UserError`: the user can fix this, and the message says how."""

import errno
import re

# What PyTorch and the libraries below it say when memory is full, on a GPU and on a CPU.
_FULL = re.compile(
    "out of memory|not enough memory|(can't|cannot) allocate memory|bad_alloc|ALLOC_FAILED"
    "|could not create a (primitive|memory)|can't start new thread",
    re.IGNORECASE,
)


class UserError(Exception):
    """Something the user handed in cannot be used.

    The message is one line: what was expected, what came, what to do. Command lines print it
    as ``error: ...`` and exit with status 1; no traceback. Whatever reads input may raise it, and
    no docstring repeats that.
    """

    def __init__(self, message: str) -> None:
        # Names from files may hold ends of lines.
        super().__init__(" ".join(message.splitlines()))


class UndefinedMetricError(UserError):
    """A metric that is not defined for these images; `stylegan-eval all` leaves it out."""


class ProcessEndedError(UserError):
    """Another process has ended, or hangs: nothing that needs all of them can go on."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, on a GPU or on a CPU."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and bool(_FULL.search(str(error)))
