"""Two networks that draw the same recipe, and the difference of their images."""

import asyncio
import shlex
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

from stylegan.explore.studio import file_name
from stylegan.explore.turns import Rank
from stylegan.explore.wording import leading, shared_recipe, text_of
from stylegan.png import png_of
from stylegan.sample.difference import Levels, difference, enlarged, read_png
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

SECOND = "second"  # key of the second network
TIMES = (1, 4, 16)  # as large as the difference is shown
_TIMES = "--times"  # of a state, before the recipe


class Draws(Protocol):
    """What draws the images of one network."""

    @property
    def key(self) -> str:
        """What addresses and names of files call the network; "" is the first."""

    @property
    def subject(self) -> OpenedGenerator:
        """The network."""

    def command(self, recipe: Recipe) -> str:
        """Command line that writes the same file as a download."""

    async def png(self, recipe: Recipe, rank: Rank = Rank.SHOWN) -> bytes:
        """Image of a recipe as PNG; UserError where the network cannot draw it."""


class Pair:
    """Two networks to compare."""

    def __init__(self, first: Draws, second: Draws) -> None:
        self.both = (first, second)

    async def difference(self, recipe: Recipe) -> Levels:
        """Difference of the two images of a recipe, [S, S, C]."""
        first, second = [await network.png(recipe) for network in self.both]
        names = [str(network.subject.ckpt) for network in self.both]

        def found() -> Levels:
            return difference(read_png(first, names[0]), read_png(second, names[1]))

        return await asyncio.to_thread(found)

    def size_note(self) -> str:
        """What is done about images of two sizes; "" where they have one."""
        sizes = [network.subject.painter.network.resolution for network in self.both]
        if sizes[0] == sizes[1]:
            return ""
        return f"compared at {min(sizes)}x{min(sizes)}, the larger image averaged over areas"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """State of the view."""

    recipe: Recipe
    times: int = TIMES[0]

    @classmethod
    def parse(cls, words: str, pair: Pair) -> "Comparison":
        """Read a state; UserError where one of the networks cannot draw it."""
        times, rest = leading(_TIMES, words)
        if times and times not in map(str, TIMES):
            raise UserError(f"{_TIMES} must be one of {', '.join(map(str, TIMES))}, not {times!r}")
        recipe = shared_recipe(rest, [network.subject for network in pair.both])
        return cls(recipe=recipe, times=int(times or TIMES[0]))

    def __str__(self) -> str:
        times = f"{_TIMES} {self.times} " if self.times != TIMES[0] else ""
        return times + text_of(self.recipe)

    @property
    def address(self) -> str:
        """Address of the picture of the difference."""
        return "difference?" + urlencode({"times": self.times, "recipe": text_of(self.recipe)})

    @property
    def file_name(self) -> str:
        """Name of the file of the difference."""
        return file_name(self.recipe, "difference")

    @property
    def command(self) -> str:
        """Command that writes the difference of the two downloaded images."""
        times = [_TIMES, str(self.times)] if self.times != 1 else []
        files = [file_name(self.recipe), file_name(self.recipe, SECOND), self.file_name]
        return shlex.join(["stylegan-sample", "difference", *times, *files])

    async def png(self, pair: Pair) -> bytes:
        """Picture of the difference, black where there is none."""
        levels = await pair.difference(self.recipe)
        picture = await asyncio.to_thread(enlarged, levels, self.times)
        return png_of(picture, self.command)
