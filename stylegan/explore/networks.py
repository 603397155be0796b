"""The networks of a server: the first, which all views show, and one to compare it with."""

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from stylegan.explore.jobs import Rank
from stylegan.explore.run import run_of
from stylegan.explore.studio import Shelf, Studio, check_shared, file_name, leading, shared_recipe
from stylegan.png import png_of
from stylegan.sample.difference import Levels, difference, enlarged, read_png
from stylegan.sample.drawing import OpenedGenerator, draw_recipe
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.errors import UserError

Opened = tuple[OpenedGenerator, GeneratorSource]
SECOND = "second"  # key of the second network
TIMES = (1, 4, 16)  # as large as the difference is shown
_TIMES = "--times"  # of a state, before the recipe


class Second:
    """The second network, which is drawn in the thread of the first."""

    key = SECOND

    def __init__(self, opened: Opened, studio: Studio) -> None:
        self.subject, self._source = opened
        self._studio = studio
        self._kept = Shelf()

    def command(self, recipe: Recipe) -> str:
        """Command line that writes the same file as a download."""
        return self._source.command(recipe, file_name(recipe, self.key))

    async def png(self, recipe: Recipe, rank: Rank = Rank.SHOWN) -> bytes:
        """Image of a recipe as PNG; UserError where the network cannot draw it."""
        check_shared(recipe)
        return await self._studio.shelved(self._kept, recipe, partial(self._draw, recipe), rank)

    def _draw(self, recipe: Recipe) -> bytes:
        return png_of(draw_recipe(recipe, self.subject), self.command(recipe))


class Pair:
    """Two networks to compare."""

    def __init__(self, first: Studio, second: Second) -> None:
        self.both: Sequence[Studio | Second] = (first, second)

    async def difference(self, recipe: Recipe) -> Levels:
        """Difference of the two images of a recipe, [S, S, C]."""
        first, second = [await network.png(recipe) for network in self.both]
        names = [str(network.subject.ckpt) for network in self.both]

        def found() -> Levels:
            return difference(read_png(first, names[0]), read_png(second, names[1]))

        return await asyncio.to_thread(found)

    def size_note(self) -> str:
        """Note on how images of two sizes are compared; "" if they have one size."""
        sizes = [network.subject.painter.network.resolution for network in self.both]
        if sizes[0] == sizes[1]:
            return ""
        return f"compared at {min(sizes)}x{min(sizes)}, the larger image averaged over areas"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A recipe that a pair draws, and how strong the difference is shown."""

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
        return times + str(self.recipe)

    @property
    def address(self) -> str:
        """Address of the picture of the difference."""
        return "difference?" + urlencode({"times": self.times, "recipe": str(self.recipe)})

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


class Networks:
    """One network, or two to compare; and the run that the first is the newest checkpoint of."""

    def __init__(self, opened: Sequence[Opened]) -> None:
        self.studio = Studio(*opened[0])
        self.pair: Pair | None = None
        if len(opened) > 1:
            self.pair = Pair(self.studio, Second(opened[1], self.studio))
        self.run = run_of(self.studio)

    async def png(self, key: str, recipe: Recipe) -> bytes:
        """Image of a recipe by the network of a key."""
        if not key:
            return await self.studio.png(recipe)
        if key == SECOND and self.pair is not None:
            return await self.pair.both[1].png(recipe)
        if key != SECOND and self.run is not None:
            return await self.run.png(key, recipe)
        raise UserError(f"no network {key!r:.60} is served here")
