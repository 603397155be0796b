"""Tiles of recipes, drawn one after another, and the controls of what they have in common."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from stylegan.explore.jobs import Rank
from stylegan.explore.studio import Studio, address
from stylegan.explore.widgets import Changed, ClassSelect, Slider
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.recipe import Recipe

PSI = 0.7
CRISP = 128  # pixels up to which a tile is enlarged, by whole pixels


class Look:
    """Psi and class of many samples, of networks that have them."""

    def __init__(self, name: str, subject: OpenedGenerator, changed: Changed) -> None:
        self._psi: Slider | None = None
        if subject.painter.maps:
            self._psi = Slider(
                "ψ (psi)", [name], [PSI], low=0, high=1.5, step=0.05, changed=changed
            )
        self._class = ClassSelect(subject.painter, changed) if subject.classes else None

    def get(self, seed: int = 0) -> Recipe:
        """Recipe of a sample."""
        return Recipe(
            seed=seed,
            psi=self._psi.numbers()[0] if self._psi else 1.0,
            number=self._class.get() if self._class else None,
        )

    def set(self, recipe: Recipe) -> None:
        """Show those of a recipe."""
        if self._psi:
            self._psi.set_value([recipe.psi])
        if self._class:
            self._class.set(recipe.number)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """An image among others."""

    key: str  # Unlike that of any other
    recipe: Recipe
    text: str = ""  # Beside the image


class Tiles(ui.element, component="sheet.js"):
    """Tiles of recipes; each shows its image once that is drawn, one after another.

    `open_one` is called with the recipe of the tile that is opened, in words, `selected` with the
    keys of those that are selected; without it none can be.
    """

    def __init__(
        self,
        studio: Studio,
        label: str,
        open_one: Callable[[str], Awaitable[None]],
        selected: Callable[[Sequence[str]], None] | None = None,
    ) -> None:
        super().__init__()
        self._studio = studio
        self._open_one = open_one
        self._shown: Sequence[Tile] = ()
        size = studio.subject.painter.network.resolution
        self.props["label"], self.props["size"], self.props["tiles"] = label, size, []
        self.props["plain"] = selected is None
        if size <= CRISP:
            self.classes("crisp").style(f"--tile: {max(1, CRISP // size) * size}px")
        self.on("open", lambda event: self._open(str(event.args)))
        if selected is not None:
            self.on("chosen", lambda event: selected([str(key) for key in event.args]))

    async def show(self, shown: Sequence[Tile], *, columns: int = 0) -> None:
        """Draw these, unless others are asked for before all are there.

        `columns`: Those of a matrix with an empty first corner; 0 are as many as fit.
        """
        self._shown = shown
        self.props["columns"] = columns
        before = {tile["key"]: tile for tile in self.props["tiles"]}
        self.props["tiles"] = [before.get(tile.key, {}) | _waiting(tile) for tile in shown]
        for place, tile in enumerate(shown):
            await self._studio.png(tile.recipe, Rank.SHEET)
            if self._shown is not shown or self.is_deleted:
                return
            tiles = [*self.props["tiles"]]
            tiles[place] = _drawn(tile)
            self.props["tiles"] = tiles

    async def _open(self, key: str) -> None:
        for tile in self._shown:
            if tile.key == key:
                await self._open_one(str(tile.recipe))


def _waiting(tile: Tile) -> dict[str, Any]:
    return {"key": tile.key, "text": tile.text, "stale": True}


def _drawn(tile: Tile) -> dict[str, Any]:
    alt = f"Sample of {tile.recipe}"
    return _waiting(tile) | {"src": address(tile.recipe), "alt": alt, "stale": False}
