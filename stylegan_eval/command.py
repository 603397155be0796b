"""What all command lines share: errors as one line, exit statuses, and resolutions."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

import click

from stylegan_eval.errors import UserError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


@contextlib.contextmanager
def error_lines(ctx: click.Context) -> Iterator[None]:
    """Turn a `UserError` or an `OSError` into one line on stderr and exit status 1.

    Ctrl-C gives ``interrupted`` and status 130. Usage errors (status 2) are click's own.
    """
    try:
        yield
    except UserError as error:
        _leave(ctx, f"error: {error}", EXIT_ERROR)
    except OSError as error:
        if error.errno == errno.EPIPE:  # The reader of our output left; click ends quietly.
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        _leave(ctx, f"error: {where}{error.strerror or error}", EXIT_ERROR)
    except KeyboardInterrupt:
        _leave(ctx, "interrupted", EXIT_INTERRUPTED)


def _leave(ctx: click.Context, line: str, status: int) -> None:
    click.echo(" ".join(line.splitlines()), err=True)
    ctx.exit(status)


class ErrorLineCommand(click.Command):
    """A click command whose errors are one line each (see `error_lines`)."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with error_lines(ctx):
            return super().invoke(ctx)


class ErrorLineGroup(click.Group):
    """A click group whose subcommands' errors are one line each (see `error_lines`)."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        with error_lines(ctx):
            return super().invoke(ctx)


def power_of_two(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """Check a resolution: the callback of an option of type int.

    Returns
    -------
    int or None
        `value`, which is None or a power of two from 4 on.

    Raises
    ------
    click.BadParameter
        It is not (exit status 2).
    """
    if value is not None and (value < 4 or value & (value - 1)):
        message = f"{value} is not a power of two: expected 4, 8, 16, 32, ..."
        raise click.BadParameter(message, ctx, param)
    return value
