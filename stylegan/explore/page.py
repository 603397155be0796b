"""The page: an image, its command, and the controls."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from nicegui import ui

from stylegan.explore.controls import Controls
from stylegan.explore.studio import Easel, Studio, address, file_name
from stylegan.explore.widgets import unbroken
from stylegan.sample.recipe import Recipe

MOST_KEPT = 12  # pictures in the strip
CRISP = 256  # pixels up to which an image is enlarged by whole pixels


def build(studio: Studio) -> None:
    """Fill the page of one tab, which knows nothing of the others."""
    subject = studio.subject
    ui.colors(primary="#2f5d8a")
    ui.add_css(files("stylegan.explore").joinpath("page.css").read_text(encoding="utf-8"))
    with ui.element("div").classes("title"):
        ui.html("stylegan-explore", tag="h1")
        ui.label(f"{subject.ckpt}: {subject.description}")

    async def changed() -> None:
        await stage.want(controls.recipe())

    with ui.element("div").classes("panes"):
        stage = Stage(studio, choose=lambda recipe: controls.show(recipe))
        with ui.element("section").classes("controls").props('aria-label="Recipe"'):
            controls = Controls(subject, changed)
    stage.start = controls.recipe()
    # The page does not wait for its first image, which may take seconds.
    ui.timer(0, changed, once=True)


class Stage:
    """The image, its command, and a strip of kept ones; `choose` sets the controls to a recipe."""

    start: Recipe  # What "Reset" goes back to

    def __init__(self, studio: Studio, choose: Callable[[Recipe], Awaitable[None]]) -> None:
        self.start = Recipe()
        self._studio = studio
        self._choose = choose
        self._recipe = self.start
        self._kept: dict[Recipe, ui.element] = {}
        self._easel = Easel(studio.png, self._show, lambda reason: self._error.set_text(reason))
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
                ui.button("Keep", icon="push_pin", on_click=self._keep).props(
                    "flat no-caps no-wrap"
                )
                reset = ui.button("Reset", icon="restart_alt")
                reset.on_click(lambda: choose(self.start)).props("flat no-caps no-wrap")
            with ui.element("div").classes("made-by"):
                self._command = ui.html(tag="code")
                copy = ui.button(icon="content_copy", on_click=self._copy).props("flat round dense")
                copy.props["aria-label"] = copy.props["title"] = "Copy the command"
            self._strip = ui.element("ul").classes("strip").props('aria-label="Kept images"')

    async def want(self, recipe: Recipe) -> None:
        """Show a recipe's image as soon as it is drawn."""
        self._frame.classes(add="busy")
        if await self._easel.want(recipe):
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
        self._error.set_text("")

    def _copy(self) -> None:
        ui.clipboard.write(self._studio.command(self._recipe))
        ui.notify("Copied", timeout=1000)

    def _keep(self) -> None:
        recipe = self._recipe
        if recipe in self._kept:
            return
        with self._strip, ui.element("li") as item, ui.element("button") as button:
            button.props("type=button").on("click", lambda: self._choose(recipe))
            button.props["aria-label"] = "Back to " + " ".join(recipe.words())
            ui.element("img").props("alt=''").props["src"] = address(recipe)
        self._kept[recipe] = item
        if len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept))).delete()
