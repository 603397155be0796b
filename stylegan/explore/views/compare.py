"""The view of two networks that draw the same recipe, and of the difference of their images."""

from collections.abc import Sequence
from functools import partial

from nicegui import ui

from stylegan.explore.controls import Controls, linked_controls
from stylegan.explore.networks import TIMES, Comparison, Pair, Second
from stylegan.explore.page import Page, Shortcut
from stylegan.explore.studio import Easel, Studio, address, file_name
from stylegan.explore.views.image import Picture
from stylegan.explore.widgets import (
    Changed,
    Choice,
    FileOffer,
    Signal,
    error_label,
    flat_button,
    region,
    warn,
)
from stylegan.sample.difference import in_words
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

NAME = "compare"
_ORDER = ("First", "Second")


class Compare:
    """Two images and their difference above, the controls of both below."""

    def __init__(self, page: Page) -> None:
        assert page.networks.pair is not None
        self._page, self._pair = page, page.networks.pair
        self._easel = Easel(self._draw, self._show, self._fail, self._wait)
        self._signal = Signal(self._changed)
        with ui.element("div").classes("compared") as self._place:
            subjects = [network.subject for network in self._pair.both]
            size = max(subject.painter.network.resolution for subject in subjects)
            self._sides = [
                Side(which, network, size)
                for which, network in zip(_ORDER, self._pair.both, strict=True)
            ]
            self._difference = DifferencePart(self._pair, size, self._signal)
        self._error = error_label()
        with region("controls linked", "Recipe"):
            self._controls = Controls(partial(linked_controls, subjects), self._changed)
        with region("files", "Download"):
            for side in self._sides:
                side.add_file()
            self._difference.add_file()
            reset = flat_button("Reset", "restart_alt", lambda: self.show(""))
            reset.classes("reset-all")
        self._start = self._comparison()
        seed = self._controls.seed
        self.shortcuts: Sequence[Shortcut] = (
            Shortcut(key="r", text="random seed", act=seed.draw),
            Shortcut(key="ArrowLeft", text="previous seed", act=lambda: seed.step(-1)),
            Shortcut(key="ArrowRight", text="next seed", act=lambda: seed.step(1)),
        )

    async def show(self, words: str) -> None:
        """Go to a state; to the start, where there is none."""
        wanted = self._start
        if words:
            try:
                wanted = Comparison.parse(words, self._pair)
            except UserError as error:
                warn(f"The recipe of this link is none that both networks can draw: {error}")
        with self._signal.silent():
            self._difference.times.set_value(str(wanted.times))
        await self._controls.show(wanted.recipe)
        if self._comparison() != wanted:
            warn("The recipe of this link is beyond what the controls reach.")

    def _comparison(self) -> Comparison:
        times = int(self._difference.times.value)
        return Comparison(recipe=self._controls.recipe(), times=times)

    async def _changed(self) -> None:
        comparison = self._comparison()
        self._page.record(NAME, "" if comparison == self._start else str(comparison))
        await self._easel.want(comparison)

    def _wait(self, busy: bool) -> None:  # noqa: FBT001 - `Easel` passes it by position
        self._place.props["aria-busy"] = str(busy).lower()

    async def _draw(self, comparison: Comparison) -> None:
        for side in self._sides:
            await side.draw(comparison.recipe)
        await self._difference.measure(comparison)

    def _show(self, comparison: Comparison) -> None:
        self._error.set_text("")
        for side in self._sides:
            side.show(comparison.recipe)
        self._difference.show(comparison)

    def _fail(self, reason: str) -> None:
        self._error.set_text(reason)


class Side:
    """The image of one network, shown as if of a size, what the network is, and the file."""

    def __init__(self, which: str, network: Studio | Second, size: int) -> None:
        self._which, self._network = which, network
        subject, self._failure = network.subject, ""
        with ui.element("figure"):
            with ui.element("figcaption"):
                ui.html(f"{which}:", tag="span")
                ui.label(str(subject.ckpt)).classes("named")
                ui.label(subject.description)
            with ui.element("div").classes("of"):
                self._picture = Picture(size)
            with ui.element("div").classes("under"):
                self._error = error_label()

    def add_file(self) -> None:
        """Add the link to its file, and the command, where the caller stands."""
        self._file = FileOffer(f"{self._which} PNG", f"{self._which.lower()} image's command")

    async def draw(self, recipe: Recipe) -> None:
        """Draw the image of a recipe, which `show` then shows; or why there is none."""
        self._failure = ""
        try:
            await self._network.png(recipe)
        except UserError as error:
            self._failure = str(error)

    def show(self, recipe: Recipe) -> None:
        """Show what was drawn."""
        self._error.set_text(self._failure)
        if self._failure:
            self._file.clear()
            return
        key = self._network.key
        self._picture.show(address(recipe, key), f"{self._which} network's image of {recipe}")
        command = self._network.command(recipe)
        self._file.set(address(recipe, key), file_name(recipe, key), command)


class DifferencePart:
    """The picture of the difference, how strong it is shown, and its numbers."""

    def __init__(self, pair: Pair, size: int, changed: Changed) -> None:
        self._pair = pair
        self._words, self._exists = "", False
        size_note = pair.size_note()
        note = f"by pixel, black is none; {size_note}" if size_note else "by pixel, black is none"
        with ui.element("figure"):
            with ui.element("figcaption"):
                ui.label("Difference").classes("named")
                ui.label(note)
            with ui.element("div").classes("of"):
                self._picture = Picture(size)
            with ui.element("div").classes("under"):
                self._numbers = ui.label().props("role=status")
                texts = {str(times): f"{times} times" for times in TIMES} | {"1": "as it is"}
                self.times = Choice("Enhanced", texts, changed)

    def add_file(self) -> None:
        """Add the link to its file, and the command, where the caller stands."""
        self._file = FileOffer("Difference PNG", "command of the difference")

    async def measure(self, comparison: Comparison) -> None:
        """Take the difference, which `show` then shows; or why there is none."""
        try:
            levels = await self._pair.difference(comparison.recipe)
        except UserError as error:
            self._words, self._exists = f"No difference: {error}", False
        else:
            self._words, self._exists = in_words(levels), True

    def show(self, comparison: Comparison) -> None:
        """Show what was measured."""
        self._numbers.set_text(self._words)
        self._file.clear()
        if self._exists:
            self._file.set(comparison.address, comparison.file_name, comparison.command)
            alt = f"Difference of the two images, {comparison.times} times as large"
            self._picture.show(comparison.address, alt)
