"""Values of command-line options that later code can trust: finite numbers and seeds."""

import math
import os
import re
from pathlib import Path
from typing import Any

import click

from stylegan_eval.settings.common import LARGEST_PSI, SEEDS

MAX_SEEDS = 100_000
SEED = click.IntRange(0, SEEDS - 1)
_SEEDS = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?")


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
            first, last = int(match[1]), int(match[2] or match[1])
            if last >= SEEDS:
                self.fail(f"{last} is too large: seeds are 0 to {SEEDS - 1}", param, ctx)
            if last < first:
                self.fail(f"{part.strip()!r} is no range of seeds: the first is larger", param, ctx)
            if len(seeds) + last - first >= MAX_SEEDS:
                self.fail(f"{value:.60} are more than {MAX_SEEDS:,} seeds", param, ctx)
            seeds += range(first, last + 1)
        return seeds
