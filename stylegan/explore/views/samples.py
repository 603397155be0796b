"""The view that the page opens with: a sheet of seeds, to open one of or to download."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from stylegan.explore.page import Page, Shortcut
from stylegan.explore.sheets import Kind, Sheet
from stylegan.explore.studio import Studio
from stylegan.explore.tiles import Look, Tile, Tiles
from stylegan.explore.widgets import (
    LAST_SEED,
    FileOffer,
    Seed,
    Signal,
    error_label,
    region,
    warn,
)
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

NAME = "samples"
COUNT = 24  # tiles


class Samples:
    """Samples of consecutive seeds; the state is the recipe of the first."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with region("toolbar", "Which samples"):
            self._signal = Signal(self._changed)
            self._seed = Seed("First seed", self._signal, step=COUNT, last=LAST_SEED - COUNT + 1)
            self._look = Look("Psi of the samples", page.studio.subject, self._signal)
            choosing = ui.switch("Select", on_change=self._select)
            choosing.props["title"] = "A click selects, in place of opening"
        self._start = self._first()
        open_image = partial(page.open, "image")
        self._tiles = Tiles(page.studio, "Samples", open_image, self._selected)
        self._error = error_label()
        self._files = SheetFiles(page.studio)
        self._chosen: Sequence[int] = ()  # Seeds, which may be those of another page
        self.shortcuts = (
            Shortcut(key="ArrowLeft", text="previous page", act=lambda: self._seed.step(-1)),
            Shortcut(key="ArrowRight", text="next page", act=lambda: self._seed.step(1)),
            Shortcut(key="r", text="random page", act=self._seed.draw),
            Shortcut(key="Enter", text="on a sample: open it (click)"),
            Shortcut(key="Space", text="on a sample: select it (ctrl + click)"),
            Shortcut(key="Shift + arrow", text="on a sample: select several (shift + click)"),
            Shortcut(key="Ctrl + a", text="on a sample: select all"),
        )

    async def show(self, words: str) -> None:
        """Go to the page of a recipe; to the start, where there is none."""
        recipe = await self._page.studio.readable(words) if words else self._start
        if recipe is None:
            warn("The samples of this link are none that this network can draw.")
        recipe = recipe or self._start
        with self._signal.silent():
            self._seed.set(recipe.seed)
            self._look.set(recipe)
        await self._changed()

    def _first(self) -> Recipe:
        return self._look.get(self._seed.get())

    async def _changed(self) -> None:
        recipe = self._first()
        self._page.record(NAME, "" if recipe == self._start else str(recipe))
        self._error.set_text("")
        seeds = range(recipe.seed, recipe.seed + COUNT)
        self._offer()
        try:
            await self._tiles.show(
                [
                    Tile(key=str(seed), recipe=replace(recipe, seed=seed), text=str(seed))
                    for seed in seeds
                ]
            )
        except UserError as error:
            self._error.set_text(str(error))

    def _select(self, event: ValueChangeEventArguments[bool | None]) -> None:
        self._tiles.props["choosing"] = event.value

    def _selected(self, keys: Sequence[str]) -> None:
        self._chosen = [int(key) for key in keys]
        self._offer()

    def _offer(self) -> None:
        """Offer files of what is selected, which stays so where psi or class change."""
        recipe = self._first()
        whole = range(recipe.seed, recipe.seed + COUNT)
        inside = [seed for seed in self._chosen if seed in whole]
        self._files.show(Sheet(seeds=inside or whole, look=recipe), selected=bool(inside))


class SheetFiles:
    """Downloads of what is selected, or of all: one picture, or a zip of PNGs; and the commands."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        with region("files", "Download"):
            self._what = ui.label().props("aria-live=polite").classes("remark")
            self._files: dict[Kind, FileOffer] = {
                "grid": FileOffer("One PNG", "command of One PNG"),
                "zip": FileOffer("ZIP of PNGs", "command of ZIP of PNGs"),
            }

    def show(self, sheet: Sheet, *, selected: bool = False) -> None:
        """Offer a sheet."""
        count = len(sheet.seeds)
        self._what.set_text(
            f"{count} selected, Escape selects none" if selected else f"All {count}, none selected"
        )
        for kind, file in self._files.items():
            command = sheet.command(kind, self._studio)
            file.set(sheet.address(kind), sheet.file_name(kind), command)
