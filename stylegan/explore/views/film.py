"""The view of a film through kept images: their order, its speed, a preview, and its file."""

import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from stylegan.explore.films import (
    FPS,
    KINDS,
    MOST,
    PREVIEW,
    SECONDS,
    KeptFilm,
    film_of,
    preview_address,
    preview_count,
    write_film,
)
from stylegan.explore.jobs import CancelledError, Job
from stylegan.explore.page import Page, Shortcut
from stylegan.explore.studio import address
from stylegan.explore.tiles import CRISP
from stylegan.explore.widgets import (
    Changed,
    Choice,
    CommandLine,
    DownloadLink,
    Progress,
    Signal,
    Slider,
    error_label,
    flat_button,
    region,
    section,
    warn,
)
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

NAME = "film"
_NO_W = (
    "This network has no mapping network, hence no W that a film could go through:"
    " stylegan-sample interpolate --space z goes through Z."
)
_ABOUT = (
    "A film goes through the images that are kept in the view Image, in this order, along lines of"
    " W. Drag them, or use the buttons below each."
)
_NONE = "No images are kept: keep some in the view Image (key k), and come back."


class FilmView:
    """Key frames and speed, which are the state; the preview, and the file below."""

    shortcuts: Sequence[Shortcut] = ()

    def __init__(self, page: Page) -> None:
        self._page = page
        self._start = self._film = KeptFilm()
        self._goes = page.studio.subject.painter.maps
        if not self._goes:
            ui.label(_NO_W).classes("remark")
            return
        ui.label(_ABOUT).classes("remark")
        self._keys = KeyFrames(self._ordered, partial(page.open, "image"))
        self._none = ui.label(_NONE).props("role=status").classes("remark")
        with ui.element("div").classes("actions from-kept"):
            flat_button("Add kept images", "playlist_add", self._add)
            flat_button("Reset", "restart_alt", lambda: self.show(""))
        self._error = error_label()
        with ui.element("div").classes("made") as self._made:
            with ui.element("div").classes("panes"):
                self._preview = Preview(page.studio.subject.painter.network.resolution)
                with region("controls", "Speed and kind"):
                    self._speed = Speed(self._turned)
            self._file = FilmFile(page)
        self.shortcuts = (Shortcut(key="p", text="play, pause", act=self._preview.turn),)
        ui.timer(0, lambda: page.kept.listen(self._came), once=True)

    async def show(self, words: str) -> None:
        """Go to a film; to that of all kept images, where there is none."""
        if not self._goes:
            self._page.record(NAME, "")
            return
        film = self._start = KeptFilm(recipes=tuple(await self._kept()))
        if words:
            try:
                film = await film_of(words, self._page.studio)
            except UserError as error:
                warn(f"The film of this link is none that this network can draw: {error}")
        self._speed.show(film)
        self._show(film)

    async def _kept(self) -> list[Recipe]:
        read = [await self._page.studio.readable(words) for words in self._page.kept.words]
        return [recipe for recipe in read if recipe is not None]

    async def _came(self) -> None:
        if self._film == self._start and not self._page.words(NAME):
            await self.show("")

    def _show(self, film: KeptFilm) -> None:
        self._film = film
        self._page.record(NAME, "" if film == self._start else shlex.join(film.words()))
        self._keys.show(film.recipes)
        self._none.set_visibility(not film.recipes)
        self._made.set_visibility(len(film.recipes) > 1)
        try:
            film.check(self._page.studio)
        except UserError as error:
            self._error.set_text(str(error) if film.recipes else "")
            self._preview.empty()
            self._file.clear()
        else:
            self._error.set_text("")
            self._preview.show(film)
            self._file.show(film)

    def _turned(self) -> None:
        self._show(self._speed.of(self._film))

    def _ordered(self, keys: Sequence[str]) -> None:
        by_key = {str(recipe): recipe for recipe in self._film.recipes}
        recipes = tuple(by_key[key] for key in keys if key in by_key)
        self._show(replace(self._film, recipes=recipes))

    async def _add(self) -> None:
        recipes = tuple(dict.fromkeys([*self._film.recipes, *await self._kept()]))
        if len(recipes) > MOST:
            warn(f"A film has {MOST} images at most: the others are left out.")
        self._show(replace(self._film, recipes=recipes[:MOST]))


class Speed:
    """Seconds from image to image, frames a second, what the film is, and whether it comes back."""

    def __init__(self, changed: Changed) -> None:
        self._signal = Signal(changed)
        begin = KeptFilm()
        with section("Film"):
            self._seconds = self._slider("Seconds from image to image", begin.seconds, SECONDS, 0.1)
            self._fps = self._slider("Frames per second", begin.fps, FPS, 1)
            self._kind = Choice("File", {kind: kind.upper() for kind in KINDS}, self._signal)
            self._loop = ui.switch("Back to the first", on_change=lambda _: self._signal())

    def _slider(self, name: str, start: float, ends: tuple[float, float], step: float) -> Slider:
        low, high = ends
        return Slider(name, [name], [start], low=low, high=high, step=step, changed=self._signal)

    def of(self, film: KeptFilm) -> KeptFilm:
        """A film with what they set."""
        return replace(
            film,
            seconds=self._seconds.numbers()[0],
            fps=int(self._fps.numbers()[0]),
            kind=self._kind.value,
            loop=bool(self._loop.value),
        )

    def show(self, film: KeptFilm) -> None:
        """Show those of a film, without telling of a change."""
        with self._signal.silent():
            self._seconds.set_value([film.seconds])
            self._fps.set_value([film.fps])
            self._kind.set_value(film.kind)
            self._loop.set_value(film.loop)


class KeyFrames(ui.element, component="frames.js"):
    """Images in their order; `ordered` is called with the keys of another, which are recipes."""

    def __init__(
        self, ordered: Callable[[Sequence[str]], None], open_one: Callable[[str], Awaitable[None]]
    ) -> None:
        super().__init__()
        self.props["frames"] = []
        self.on("ordered", lambda event: ordered([str(key) for key in event.args]))
        self.on("open", lambda event: open_one(str(event.args)))

    def show(self, recipes: Sequence[Recipe]) -> None:
        """Show images."""
        frames: list[dict[str, Any]] = [
            {"key": str(recipe), "src": address(recipe)} for recipe in recipes
        ]
        self.props["frames"] = frames


class Preview(ui.element, component="preview.js"):
    """A preview of a few frames from image to image, drawn when they are looked at."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.props["size"] = size
        if size <= CRISP:
            self.classes("crisp").style(f"--pixels: {size}px")
        self.empty()

    def show(self, film: KeptFilm) -> None:
        """Get ready to play a film."""
        self.props["where"], self.props["count"] = preview_address(film), preview_count(film)
        self.props["period"] = 1000 * film.seconds / PREVIEW

    def empty(self) -> None:
        """Play nothing."""
        self.props["where"], self.props["count"], self.props["period"] = "", 0, 1000

    def turn(self) -> None:
        """Play, or pause."""
        self.run_method("turn")


class FilmFile:
    """A button that has the file written, its progress, a link to it, and its command."""

    def __init__(self, page: Page) -> None:
        self._studio = page.studio
        self._film = KeptFilm()
        with region("files", "Download"):
            with ui.element("div").classes("file"):
                self._write = ui.button(
                    "Write the film", icon="movie", on_click=self._written, color=None
                )
                self._write.props("flat no-caps no-wrap").classes("filled")
                self._command = CommandLine()
            self._progress = Progress("Frames drawn", "Frame")
            self._link = DownloadLink("Download film")
            self._error = error_label()
        self._link.clear()

    def show(self, film: KeptFilm) -> None:
        """Offer a film; one that is being written is not ended."""
        if film != self._film:
            self._link.clear()
            self._error.set_text("")
        self._film = film
        self._command.set(film.command(self._studio))
        self._offer(value=True)

    def clear(self) -> None:
        """Offer nothing."""
        self._film = KeptFilm()
        self._link.clear()
        self._command.set("")
        self._offer(value=False)

    def _offer(self, *, value: bool) -> None:
        self._command.enable(value)
        self._write.set_enabled(value and not self._progress.busy)

    async def _written(self) -> None:
        film, job = self._film, Job(total=self._film.total)
        self._link.clear()
        self._error.set_text("")
        self._write.set_enabled(False)
        key = error = ""
        try:
            key = await self._progress.follow(job, write_film(film, self._studio, job))
        except CancelledError:
            error = "cancelled"
        except UserError as caught:
            error = str(caught)
        finally:
            self._offer(value=len(self._film.recipes) > 1)
        self._error.set_text(error)
        if key and film == self._film:
            self._link.set("film?" + urlencode({"key": key}), film.file_name)
