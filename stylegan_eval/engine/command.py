"""Shared behaviour of command lines: one-line errors, exit statuses, signals."""

import contextlib
import errno
import io
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click
from click.core import ParameterSource

from stylegan_eval.engine.files import PACKAGE, check_apart
from stylegan_eval.engine.options import OutFile
from stylegan_eval.engine.untrusted import printable
from stylegan_eval.errors import UserError, is_out_of_memory

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
_QUIET = "stylegan_eval.quiet"
_NOTES = "stylegan_eval.notes"
_ARGUMENTS = "stylegan_eval.arguments"
_OUTPUTS = ("out", "distances")  # parameters that name what is written, besides each `OutFile`


def escape_unprintable() -> None:
    """Write what the terminal's character set lacks as an escape, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def error_lines(ctx: click.Context) -> Iterator[None]:
    """Turn a `UserError` or an `OSError` into one line on stderr and exit status 1.

    Ctrl-C gives ``interrupted`` and status 130, SIGTERM ``terminated`` and 143, other signals to
    stop likewise. Usage errors (status 2) are click's own.
    """
    try:
        yield
    except UserError as error:
        _leave(ctx, f"error: {error}", EXIT_ERROR)
    except OSError as error:
        if is_out_of_memory(error):
            _leave(ctx, f"error: out of memory: {_memory_remedy(ctx)}", EXIT_ERROR)
        if error.errno == errno.EPIPE:  # The reader of our output left; click ends quietly.
            raise
        where = f"{error.filename}: " if error.filename is not None else ""
        _leave(ctx, f"error: {where}{error.strerror or error}", EXIT_ERROR)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _leave(ctx, f"error: out of memory: {_memory_remedy(ctx)}", EXIT_ERROR)
    except Terminated as stopped:
        _leave(ctx, "terminated", 128 + stopped.number)
    except KeyboardInterrupt:
        _leave(ctx, "interrupted", EXIT_INTERRUPTED)


def _memory_remedy(ctx: click.Context) -> str:
    """Advice by options that the command has."""
    command = ctx.command
    if isinstance(command, click.Group) and ctx.invoked_subcommand not in (None, "*"):
        command = command.get_command(ctx, str(ctx.invoked_subcommand)) or command
    options = {name for param in command.params for name in param.opts}
    if "--grad-accum" in options:
        return "use --grad-accum, --memory-limit or --precision bf16"
    smaller = [name for name in ("--batch", "--num", "--size") if name in options]
    return f"use a smaller {' or '.join(smaller)}" if smaller else "end other programs"


def _leave(ctx: click.Context, line: str, status: int) -> None:
    say(" ".join(line.splitlines()), err=True)
    ctx.exit(status)


def say(text: object, *, err: bool = False) -> None:
    """Print text that may hold names of strangers: nothing in it commands the terminal."""
    click.echo(printable(str(text)), err=err)


def _set_quiet(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value:
        ctx.meta[_QUIET] = True


def is_quiet() -> bool:
    """Whether a command runs that was given ``--quiet``."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_QUIET, False))


def typed_arguments() -> list[str]:
    """Words after the program's name, as they were typed; none outside of a command."""
    ctx = click.get_current_context(silent=True)
    return [] if ctx is None else list(ctx.meta.get(_ARGUMENTS, []))


def typed_with(option: str, value: str) -> list[str]:
    """`typed_arguments` with an option added or replaced; none outside of a command."""
    words = typed_arguments()
    if not words:
        return []
    for at in reversed(range(len(words))):
        if words[at] == option:
            del words[at : at + 2]
        elif words[at].startswith(f"{option}="):
            del words[at]
    return [*words, option, value]


def typed_names() -> list[str]:
    """Parameters of the running command that are typed, also with their default values."""
    ctx = click.get_current_context()
    names = [param.name or "" for param in ctx.command.params]
    typed = ParameterSource.COMMANDLINE
    return [name for name in names if ctx.get_parameter_source(name) is typed]


def refuse_typed(names: Container[str], reason: str) -> None:
    """Refuse options of the running command, by their parameters, that have no effect in it.

    `reason` follows the option's name.
    """
    typed = typed_names()
    for param in click.get_current_context().command.params:
        if param.name in typed and param.name in names:
            raise click.UsageError(f"{param.opts[0]} {reason}")


def refuse_idle(idle: Mapping[str, str]) -> None:
    """Refuse options of the running command, by their parameters, each with its reason."""
    for name, reason in idle.items():
        refuse_typed((name,), reason)


def tell(line: str) -> None:
    """Say on stderr what is being done, unless the command is to be quiet."""
    if not is_quiet():
        say(line, err=True)


def note(line: str) -> None:
    """Print a note on stderr: once in a command, by the first of its processes, never outside."""
    ctx = click.get_current_context(silent=True)
    if ctx is None or os.environ.get("RANK", "0") != "0":
        return
    printed = ctx.meta.setdefault(_NOTES, set())
    if line not in printed:
        printed.add(line)
        say(f"note: {' '.join(line.splitlines())}", err=True)


def _add_common(command: click.Command) -> None:
    """Give a command ``--quiet``, ``--version`` and ``-h``, unless it has them."""
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    if any("--quiet" in param.opts for param in command.params):
        return
    quiet = click.option(
        "-q",
        "--quiet",
        is_flag=True,
        expose_value=False,
        callback=_set_quiet,
        help="No progress; results, notes and errors only.",
    )
    version = click.version_option(package_name=PACKAGE, message="%(prog)s %(version)s")
    version(quiet(command))


# What other tools of the field call an option.
_ALIASES = {
    "--network": "--ckpt",
    "--trunc": "--psi",
    "--outdir": "--out",
    "--cfg": "--config",
    "--batch-size": "--batch",
}


def _words(command: click.Command, args: list[str]) -> list[str]:
    """Translate aliases; refuse empty words, which as paths would be the current folder."""
    known = {flag for param in command.params for flag in param.opts}
    may_be_empty = {flag for p in command.params if p.default == "" for flag in p.opts}
    words: list[str] = []
    for i, word in enumerate(args):
        name, equals, value = word.partition("=")
        if not word or (name.startswith("--") and equals and not value):
            option = name or (args[i - 1] if i and args[i - 1].startswith("-") else "an argument")
            if option in may_be_empty:
                words.append(word)
                continue
            raise click.UsageError(
                f"{option} is empty: expected a value (is a variable of the shell not set?)"
            )
        taken = _ALIASES.get(name, "") in known and name not in known
        words.append(_ALIASES[name] + equals + value if taken else word)
    return words


class ErrorLineCommand(click.Command):
    """A click command whose errors are one line each (see `error_lines`), with common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _add_common(self)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, with the names that other tools give to options."""
        return super().parse_args(ctx, _words(self, args))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with error_lines(ctx):
            _refuse_writing_over(ctx)
            return super().invoke(ctx)


def _refuse_writing_over(ctx: click.Context) -> None:
    """Refuse an output that is the file of an input, or of another output."""
    outputs, inputs = list[Path](), list[Path]()
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        words = value if isinstance(value, list | tuple) else [value]
        kinds = (str, Path) if isinstance(param, click.Argument) else (Path,)
        writes = isinstance(param.type, OutFile) or param.name in _OUTPUTS
        paths = [Path(word) for word in words if isinstance(word, kinds)]
        (outputs if writes else inputs).extend(paths)
    for number, out in enumerate(outputs):
        if out.resolve() in [other.resolve() for other in outputs[:number]]:
            raise UserError(f"{out} is the name of two outputs: name a file for each")
        for path in filter(_is_file, inputs):
            check_apart(out, path)


def _is_file(path: Path) -> bool:
    with contextlib.suppress(OSError):  # a name that is too long for one
        return path.is_file()
    return False


class ErrorLineGroup(click.Group):
    """A click group of commands with errors of one line (`ErrorLineCommand`) and common options."""

    command_class = ErrorLineCommand
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _add_common(self)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command."""
        _add_common(cmd)
        for param in cmd.params:  # a line of help that the group has already
            if isinstance(param, click.Option) and "--version" in param.opts:
                param.hidden = True
        super().add_command(cmd, name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, with the names that other tools give to options."""
        ctx.meta.setdefault(_ARGUMENTS, list(args))
        return super().parse_args(ctx, _words(self, args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, with the names that other tools give to its options."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, rest if command is None else _words(command, rest)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line and run."""
        escape_unprintable()
        # What Pillow finds odd in a file is told in one line of ours, or is harmless.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            return super().main(*args, **kwargs)
        except SystemExit as ended:
            if (
                "stylegan_eval.engine.processes" in sys.modules
            ):  # else this is no process of several
                from stylegan_eval.engine.processes import end_if_joined

                end_if_joined(ended.code)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        with error_lines(ctx), stopping_on_signals():
            return super().invoke(ctx)


# What asks a process to leave: a person, systemd, a container, a queue (Slurm's --signal, LSF,
# PBS), a terminal that is gone. A process that leaves for one has status 128 + its number.
STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)


class Terminated(BaseException):
    """A signal to stop came: leave as after Ctrl-C, and leave nothing half-written behind."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
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
