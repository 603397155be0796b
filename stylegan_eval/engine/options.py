"""Options made from settings classes, and option types with checked values."""

import dataclasses
import math
import os
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import LARGEST_PSI, SEEDS

FILE = click.Path(path_type=Path)
MAX_SEEDS = 100_000
_DIGITS = 19  # of the largest seed
SEED = click.IntRange(0, SEEDS - 1)
_SEEDS = re.compile(r"([0-9]+)(?:-([0-9]+))?")


def options_of(settings: type, *, remembered: bool = False) -> list[click.Parameter]:
    """Return one option per documented field of a settings class, and of the classes in it.

    Where settings are `remembered`, an option that is not given is None and changes nothing.
    """
    hints = typing.get_type_hints(settings)
    options: list[click.Parameter] = []
    for field in dataclasses.fields(settings):
        if dataclasses.is_dataclass(hints[field.name]):
            options += options_of(hints[field.name], remembered=remembered)
        elif "help" in field.metadata:
            options.append(_option(field, hints[field.name], remembered=remembered))
    return options


def _option(field: "dataclasses.Field[Any]", hint: Any, *, remembered: bool) -> click.Option:
    about = dict(field.metadata)
    unions = (types.UnionType, typing.Union)
    kinds = typing.get_args(hint) if typing.get_origin(hint) in unions else (hint,)
    kind, *_ = (each for each in kinds if each is not types.NoneType)
    default, text, shown = field.default, about.pop("help"), about.pop("shown", field.default)
    names = list(about.pop("names", names_of(field.name)))
    flag, type_ = kind is bool, _type_of(kind, about)
    if remembered:
        default = None
        if flag:
            names = [f"{names[0]}/--no-{names[0].removeprefix('--')}"]
        if shown not in (None, ""):
            text += f"  [default: {f'{shown:g}' if isinstance(shown, float) else shown}]"
    return click.Option(
        [*names, field.name],
        **{"default": default, "show_default": not flag, "is_flag": flag, "help": text}
        | {"type": type_, **about},
    )


def _type_of(kind: Any, about: dict[str, Any]) -> Any:
    """Type of an option's values; takes the range out of what is known about it."""
    least, above, most = (about.pop(key, None) for key in ("least", "above", "most"))
    if "type" in about:
        return about.pop("type")
    if kind is Path:
        return FILE
    if choices := typing.get_args(kind):
        return click.Choice(choices)
    if least is None and above is None and most is None:
        return kind
    if kind is int:
        return click.IntRange(least, most)
    return Number(least if above is None else above, most, min_open=above is not None)


def names_of(field: str) -> list[str]:
    """Names of the option of a field; torchrun takes ``--num`` for its own ``--numa-binding``."""
    return [f"--{field.replace('_', '-')}", *(["-n"] if field == "num" else [])]


class Number(click.FloatRange):
    """A finite number in a range: click's own type takes NaN for any range."""

    name = "number"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read one."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.fail(f"{value!r:.60} is no finite number", param, ctx)
        return float(super().convert(number, param, ctx))


class Parsed(click.ParamType[Any]):
    """Values that a function reads from text; its ValueError or UserError is the complaint."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read one."""
        if not isinstance(value, str):
            return value
        try:
            return self.parse(value)
        except (ValueError, UserError) as error:
            self.fail(str(error), param, ctx)


class OutFile(click.Path):
    """A file to write whose ending, where it has one, says what it is."""

    def __init__(self, *endings: str) -> None:
        super().__init__(path_type=Path)
        self.endings = endings

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """Refuse an ending that names something else."""
        path = Path(value)
        if path.suffix and path.suffix.lower() not in self.endings:
            expected = " or ".join(self.endings)
            self.fail(f"{path} must end in {expected}: that is the format written", param, ctx)
        return super().convert(value, param, ctx)


PNG, NPY, CSV, SAFETENSORS = map(OutFile, (".png", ".npy", ".csv", ".safetensors"))
PSI = Number(-LARGEST_PSI, LARGEST_PSI)


class SeedRange(click.ParamType[list[int]]):
    """'0-15', '3,7,11' or a mixture."""

    name = "seeds"

    def convert(
        self, value: str | list[int], param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Expand to a list of seeds."""
        if isinstance(value, list):
            return value
        seeds: list[int] = []
        for part in value.split(","):
            match = _SEEDS.fullmatch(part.strip())
            if match is None:
                self.fail(f"{value:.60} is not a list of seeds such as 0-15 or 3,7,11", param, ctx)
            for number in filter(None, match.groups()):
                if len(number) > _DIGITS or int(number) >= SEEDS:  # int refuses thousands of digits
                    self.fail(f"{number:.60} is too large: seeds are 0 to {SEEDS - 1}", param, ctx)
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                self.fail(f"{part.strip()!r} is no range of seeds: the first is larger", param, ctx)
            if len(seeds) + last - first >= MAX_SEEDS:
                self.fail(
                    f"{value:.60} are more than {MAX_SEEDS:,} seeds: give at most so many at a"
                    " time, one range after the other",
                    param,
                    ctx,
                )
            seeds += range(first, last + 1)
        return seeds


class NetworkPath(click.ParamType[Path]):
    """A path, or the name of a network that a package carries; ./NAME is always a path."""

    name = "path"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Make ./NAME absolute, since a `Path` forgets how it was written."""
        del param, ctx
        path = Path(value)
        return path.absolute() if path.name == str(path) != str(value) else path


def power_of_two(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    """Check that a resolution is None or a power of two from 4 on: the callback of an option."""
    if value is not None and (value < 4 or value & (value - 1)):
        message = f"{value} is not a power of two: expected 4, 8, 16, 32, ..."
        raise click.BadParameter(message, ctx, param)
    return value
