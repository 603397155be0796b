"""The view that the page opens with: a sheet of seeds, to open one of or to download."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from stylegan.explore.sheets import Kind, Sheet
from stylegan.explore.studio import Studio
from stylegan.explore.tiles import Tile, Tiles, psi_slider
from stylegan.explore.view import Desk, Shortcut
from stylegan.explore.widgets import (
    LAST_SEED,
    Changed,
    ClassSelect,
    CommandLine,
    DownloadLink,
    Seed,
    Slider,
    warn,
)
from stylegan.explore.wording import readable, text_of
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

NAME = "samples"
COUNT = 24  # tiles


class Samples:
    """Samples of consecutive seeds; the state is the recipe of the first."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        with ui.element("section").classes("toolbar").props('aria-label="Which samples"'):
            self._choice = WhichSamples(desk.studio, self._changed)
            choosing = ui.switch("Select", on_change=self._select)
            choosing.props["title"] = "A click selects, in place of opening"
        self._start = self._choice.recipe()
        self._tiles = Tiles(desk.studio, "Samples", self._open, self._selected)
        self._error = ui.label().props("role=alert").classes("error")
        self._files = SheetFiles(desk.studio)
        self._chosen: Sequence[int] = ()  # Seeds, which may be those of another page
        self.shortcuts = (
            Shortcut(key="ArrowLeft", text="previous page", act=lambda: self._choice.turn(-1)),
            Shortcut(key="ArrowRight", text="next page", act=lambda: self._choice.turn(1)),
            Shortcut(key="r", text="random page", act=self._choice.draw),
            Shortcut(key="Enter", text="on a sample: open it (click)"),
            Shortcut(key="Space", text="on a sample: select it (ctrl + click)"),
            Shortcut(key="Shift + arrow", text="on a sample: select several (shift + click)"),
            Shortcut(key="Ctrl + a", text="on a sample: select all"),
        )

    async def show(self, words: str) -> None:
        """Go to the page of a recipe; to the start, where there is none."""
        recipe = await readable(words, self._desk.studio) if words else self._start
        if recipe is None:
            warn("The samples of this link are none that this network can draw.")
        self._choice.show(recipe or self._start)
        await self._changed()

    async def _changed(self) -> None:
        recipe = self._choice.recipe()
        self._desk.record(NAME, "" if recipe == self._start else text_of(recipe))
        self._error.set_text("")
        seeds = range(recipe.seed, recipe.seed + COUNT)
        self._offer()
        try:
            await self._tiles.show([_tile(replace(recipe, seed=seed)) for seed in seeds])
        except UserError as error:
            self._error.set_text(str(error))

    async def _open(self, recipe: Recipe) -> None:
        await self._desk.open("image", text_of(recipe))

    def _select(self, event: ValueChangeEventArguments[bool | None]) -> None:
        self._tiles.props["choosing"] = event.value

    def _selected(self, keys: Sequence[str]) -> None:
        self._chosen = [int(key) for key in keys]
        self._offer()

    def _offer(self) -> None:
        """Offer files of what is selected, which stays so where psi or class change."""
        recipe = self._choice.recipe()
        whole = range(recipe.seed, recipe.seed + COUNT)
        inside = [seed for seed in self._chosen if seed in whole]
        self._files.show(Sheet(seeds=inside or whole, look=recipe), selected=bool(inside))


def _tile(recipe: Recipe) -> Tile:
    return Tile(key=str(recipe.seed), recipe=recipe, text=str(recipe.seed))


class WhichSamples:
    """First seed, psi and class."""

    def __init__(self, studio: Studio, changed: Changed) -> None:
        painter = studio.subject.painter
        self._silent = False
        self._listener = changed
        self._seed = Seed("First seed", self._changed, step=COUNT, last=LAST_SEED - COUNT + 1)
        self._psi: Slider | None = None
        if painter.maps:
            self._psi = psi_slider("Psi of the samples", self._changed)
        conditional = bool(studio.subject.classes)
        self._class = ClassSelect(painter, self._changed) if conditional else None

    def recipe(self) -> Recipe:
        """Recipe of the first."""
        return Recipe(
            seed=self._seed.get(),
            psi=self._psi.numbers()[0] if self._psi else 1.0,
            number=self._class.get() if self._class else None,
        )

    def show(self, recipe: Recipe) -> None:
        """Show a recipe, without telling of a change."""
        self._silent = True
        self._seed.set(recipe.seed)
        if self._psi:
            self._psi.set_value([recipe.psi])
        if self._class:
            self._class.set(recipe.number)
        self._silent = False

    def turn(self, by: int) -> None:
        """Go on by so many pages."""
        self._seed.step(by)

    def draw(self) -> None:
        """Go to any page."""
        self._seed.draw()

    def _changed(self) -> Awaitable[None] | None:
        return None if self._silent else self._listener()


class SheetFiles:
    """Downloads of what is selected, or of all: one picture, or a zip of PNGs; and the commands."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._parts: list[tuple[Kind, DownloadLink, CommandLine]] = []
        with ui.element("section").classes("files").props('aria-label="Download"'):
            self._what = ui.label().props("aria-live=polite").classes("remark")
            kinds: tuple[tuple[Kind, str], ...] = (("grid", "One PNG"), ("zip", "ZIP of PNGs"))
            for kind, text in kinds:
                with ui.element("div").classes("file"):
                    link = DownloadLink(text)
                    self._parts.append((kind, link, CommandLine(f"command of {text}")))

    def show(self, sheet: Sheet, *, selected: bool = False) -> None:
        """Offer a sheet."""
        count = len(sheet.seeds)
        self._what.set_text(
            f"{count} selected, Escape selects none" if selected else f"All {count}, none selected"
        )
        for kind, link, command in self._parts:
            link.set(sheet.address(kind), sheet.file_name(kind))
            command.set(sheet.command(kind, self._studio))
