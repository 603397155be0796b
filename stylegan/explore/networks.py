"""The networks of a server: the first, which all views show, and one to compare it with."""

from collections.abc import Sequence
from functools import partial

import torch

from stylegan.explore.comparison import SECOND, Pair
from stylegan.explore.run import run_of
from stylegan.explore.studio import Shelf, Studio, file_name
from stylegan.explore.turns import Rank
from stylegan.explore.wording import check_shared
from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator, draw_recipe
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan_eval.errors import UserError

Opened = tuple[OpenedGenerator, GeneratorSource]


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
        kept = self._kept.get(recipe)
        return kept if kept else await self._studio.compute(partial(self._draw, recipe), rank)

    def _draw(self, recipe: Recipe) -> bytes:
        kept = self._kept.get(recipe)  # somebody else may have asked for it before
        if kept is None:
            kept = png_of(draw_recipe(recipe, self.subject), self.command(recipe))
            self._kept.put(recipe, kept)
        return kept


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

    @property
    def device(self) -> torch.device:
        """Where all are."""
        return self.studio.subject.painter.device

    def close(self) -> None:
        """Finish the current image, and drop the others."""
        self.studio.close()
