"""The view of two networks that draw the same recipe, and of the difference of their images."""

from collections.abc import Awaitable, Sequence
from functools import partial

from nicegui import ui

from stylegan.explore.comparison import TIMES, Comparison, Draws, Pair
from stylegan.explore.controls import Controls, linked_controls
from stylegan.explore.studio import Easel, address, file_name
from stylegan.explore.view import Desk, Shortcut
from stylegan.explore.views.image import Picture
from stylegan.explore.widgets import Changed, Choice, CommandLine, DownloadLink, warn
from stylegan.sample.difference import in_words
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

NAME = "compare"
_ORDER = ("First", "Second")


class Compare:
    """Two images and their difference above, the controls of both below."""

    def __init__(self, desk: Desk) -> None:
        assert desk.networks.pair is not None
        self._desk, self._pair = desk, desk.networks.pair
        self._easel = Easel(self._draw, self._show, self._fail)
        self._silent = False
        with ui.element("div").classes("compared") as self._place:
            subjects = [network.subject for network in self._pair.both]
            size = max(subject.painter.network.resolution for subject in subjects)
            self._sides = [
                Side(which, network, size)
                for which, network in zip(_ORDER, self._pair.both, strict=True)
            ]
            self._difference = DifferencePart(self._pair, size, self._enhanced)
        self._error = ui.label().props("role=alert").classes("error")
        with ui.element("section").classes("controls linked").props('aria-label="Recipe"'):
            self._controls = Controls(partial(linked_controls, subjects), self._changed)
        with ui.element("section").classes("files").props('aria-label="Download"'):
            for side in self._sides:
                side.add_file()
            self._difference.add_file()
            reset = ui.button("Reset", icon="restart_alt", on_click=lambda: self.show(""))
            reset.props("flat no-caps no-wrap").classes("reset-all")
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
        self._silent = True
        self._difference.times.set_value(str(wanted.times))
        self._silent = False
        await self._controls.show(wanted.recipe)
        if self._comparison() != wanted:
            warn("The recipe of this link is beyond what the controls reach.")

    def _comparison(self) -> Comparison:
        times = int(self._difference.times.value)
        return Comparison(recipe=self._controls.recipe(), times=times)

    def _enhanced(self) -> Awaitable[None] | None:
        return None if self._silent else self._changed()

    async def _changed(self) -> None:
        comparison = self._comparison()
        self._desk.record(NAME, "" if comparison == self._start else str(comparison))
        self._place.props["aria-busy"] = "true"
        drawn = True
        try:
            drawn = await self._easel.want(comparison)
        finally:
            if drawn:
                self._place.props["aria-busy"] = "false"

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

    def __init__(self, which: str, network: Draws, size: int) -> None:
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
                self._error = ui.label().props("role=alert").classes("error")

    def add_file(self) -> None:
        """Add the link to its file, and the command, where the caller stands."""
        with ui.element("div").classes("file"):
            self._link = DownloadLink(f"{self._which} PNG")
            self._command = CommandLine(f"{self._which.lower()} image's command")

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
        self._command.enable(not self._failure)
        if self._failure:
            self._link.clear()
            return
        key, words = self._network.key, " ".join(recipe.words())
        self._picture.show(address(recipe, key), f"{self._which} network's image of {words}")
        self._link.set(address(recipe, key), file_name(recipe, key))
        self._command.set(self._network.command(recipe))


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
        with ui.element("div").classes("file"):
            self._link = DownloadLink("Difference PNG")
            self._command = CommandLine("command of the difference")

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
        self._command.enable(self._exists)
        self._link.clear()
        if self._exists:
            self._link.set(comparison.address, comparison.file_name)
            self._command.set(comparison.command)
            alt = f"Difference of the two images, {comparison.times} times as large"
            self._picture.show(comparison.address, alt)
