"""The page: an image, its command, and the controls."""

import shlex
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

from nicegui import ui

from stylegan.explore.controls import Controls
from stylegan.explore.studio import Easel, Studio, address, file_name
from stylegan.explore.widgets import History, unbroken
from stylegan.sample.drawing import OpenedGenerator, check_fits
from stylegan.sample.options import parse_recipe
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

MOST_KEPT = 12  # pictures in the strip
CRISP = 256  # pixels up to which an image is enlarged by whole pixels


def build(studio: Studio, words: str = "") -> None:
    """Fill the page of one tab, which knows nothing of the others.

    `words`: the recipe of its address, if that has one.
    """
    subject = studio.subject
    ui.colors(primary="#2f5d8a")
    ui.add_css(files("stylegan.explore").joinpath("page.css").read_text(encoding="utf-8"))
    with ui.element("div").classes("title"):
        ui.html("stylegan-explore", tag="h1")
        ui.label(f"{subject.ckpt}: {subject.description}")

    async def changed() -> None:
        recipe = controls.recipe()
        stage.history.record(text_of(recipe))
        await stage.want(recipe)

    async def choose(words: str) -> None:
        recipe = readable(words, subject)
        if recipe is None:
            _warn("The recipe of this link is none that this network can draw.")
        await controls.show(controls.recipe() if recipe is None else recipe)
        if recipe is not None and controls.recipe() != recipe:
            _warn("The recipe of this link is beyond what the controls reach.")

    with ui.element("div").classes("panes"):
        stage = Stage(studio, choose)
        with ui.element("section").classes("controls").props('aria-label="Recipe"'):
            controls = Controls(subject, changed)
    stage.start = controls.recipe()
    stage.history.props["first"] = text_of(stage.start)
    # The page does not wait for its first image, which may take seconds.
    ui.timer(0, partial(choose, words) if words else changed, once=True)


def text_of(recipe: Recipe) -> str:
    """A recipe as the address has it."""
    return shlex.join(recipe.words())


def readable(words: str, subject: OpenedGenerator) -> Recipe | None:
    """The recipe of an address or of the browser's storage, if the network can draw it."""
    try:
        recipe = parse_recipe(shlex.split(words))
        check_fits(recipe, subject)
    except (UserError, ValueError):
        return None
    return recipe


def _warn(text: str) -> None:
    ui.notify(text, type="warning", position="top", timeout=10_000, close_button="Close")


class Stage:
    """The image, its command, and a strip of kept ones; `choose` goes to a recipe in words."""

    start: Recipe  # What "Reset" goes back to

    def __init__(self, studio: Studio, choose: Callable[[str], Awaitable[None]]) -> None:
        self.start = Recipe()
        self._studio = studio
        self._choose = choose
        self._recipe = self.start
        self._kept: dict[Recipe, ui.element] = {}
        self._easel = Easel(studio.png, self._show, self._fail)
        with ui.element("div").classes("stage"):
            self._frame = ui.element("div").classes("frame")
            with self._frame:
                self._image = self._picture(studio.subject.painter.network.resolution)
            self._error = ui.label().props("role=alert").classes("error")
            with ui.element("div").classes("actions"):
                self._link = ui.element("a").classes("download")
                with self._link:
                    ui.icon("download").props("aria-hidden=true")
                    ui.html("Download PNG", tag="span")
                keep = ui.button("Keep", icon="push_pin", on_click=self._keep_shown)
                reset = ui.button("Reset", icon="restart_alt")
                reset.on_click(lambda: choose(text_of(self.start)))
                for button in (keep, reset):
                    button.props("flat no-caps no-wrap")
                self.history = History(studio.network, choose, self._restore)
            with ui.element("div").classes("made-by"):
                self._command = ui.html(tag="code")
                copy = ui.button(icon="content_copy", on_click=self._copy).props("flat round dense")
                copy.props["aria-label"] = copy.props["title"] = "Copy the command"
            self._of_image = (keep, copy)
            self._strip = ui.element("ul").classes("strip").props('aria-label="Kept images"')

    async def want(self, recipe: Recipe) -> None:
        """Show a recipe's image as soon as it is drawn."""
        self._frame.classes(add="busy")
        drawn = True
        try:
            drawn = await self._easel.want(recipe)
        finally:
            if drawn:
                self._frame.classes(remove="busy")

    @staticmethod
    def _picture(size: int) -> ui.element:
        image = ui.element("img").classes("picture").props(f"width={size} height={size}")
        if size <= CRISP:
            image.classes("crisp").style(f"--pixels: {size}px")
        return image

    def _show(self, recipe: Recipe) -> None:
        self._recipe = recipe
        where = address(recipe)
        self._image.props["src"] = where
        self._image.props["alt"] = "Image of " + " ".join(recipe.words())
        self._link.props["href"] = where
        self._link.props["download"] = file_name(recipe)
        self._command.set_content(unbroken(self._studio.command(recipe)))
        self._tell("")

    def _fail(self, reason: str) -> None:
        """Say why there is no image; the last one stays, and nothing acts on it."""
        self._link.props.pop("href", None)
        self._tell(reason)

    def _tell(self, error: str) -> None:
        self._error.set_text(error)
        self._link.props["aria-disabled"] = "true" if error else "false"
        for button in self._of_image:
            button.set_enabled(not error)

    def _copy(self) -> None:
        ui.clipboard.write(self._studio.command(self._recipe))
        ui.notify("Copied", timeout=1000)

    def _keep_shown(self) -> None:
        if self._recipe not in self._kept:
            self._keep(self._recipe)
            self._store()

    def _store(self) -> None:
        self.history.keep([text_of(recipe) for recipe in self._kept])

    def _remove(self, recipe: Recipe) -> None:
        self._kept.pop(recipe).delete()
        self._store()

    def _keep(self, recipe: Recipe) -> None:
        name = " ".join(recipe.words())
        with self._strip, ui.element("li") as item:
            with ui.element("button").props("type=button") as button:
                button.on("click", lambda: self._choose(text_of(recipe)))
                button.props["aria-label"] = f"Back to {name}"
                ui.element("img").props("alt=''").props["src"] = address(recipe)
            with ui.element("button").props("type=button").classes("remove") as remove:
                remove.on("click", lambda: self._remove(recipe))
                remove.props["aria-label"] = remove.props["title"] = f"Remove {name}"
                ui.html("&times;", tag="span")
        self._kept[recipe] = item
        if len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept))).delete()

    def _restore(self, kept: Sequence[Any]) -> None:
        """Show the kept images of an earlier visit, which the browser holds."""
        for words in kept[-MOST_KEPT:]:
            recipe = readable(str(words), self._studio.subject)
            if recipe is not None and recipe not in self._kept:
                self._keep(recipe)
