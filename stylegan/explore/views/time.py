"""The view of one run over time: the same recipe drawn by every checkpoint."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nicegui import ui

from stylegan.explore.controls import Controls
from stylegan.explore.linked import linked_controls
from stylegan.explore.player import Player
from stylegan.explore.run import Run, kimg_word
from stylegan.explore.studio import Easel, Studio, address, file_name
from stylegan.explore.turns import Rank
from stylegan.explore.view import Desk, Shortcut
from stylegan.explore.views.image import Picture
from stylegan.explore.widgets import CommandLine, DownloadLink, warn
from stylegan.explore.wording import leading, shared_recipe, text_of
from stylegan.sample.recipe import Recipe
from stylegan.training.sheets import evenly
from stylegan_eval.errors import UserError

NAME = "time"
MOST = 48  # images of the strip
_AT = "--at"  # of the state, before the recipe


@dataclass(frozen=True, kw_only=True)
class Moment:
    """State of the view: a checkpoint, by its key, and what it draws."""

    at: str
    recipe: Recipe

    @classmethod
    def parse(cls, words: str, run: Run, studio: Studio) -> "Moment":
        """Read a state; UserError where the checkpoint has gone, or the newest cannot draw it."""
        at, rest = leading(_AT, words)
        keys = run.keys()
        if at not in keys:
            raise UserError(f"there is no checkpoint {at!r:.40} (any more)")
        return cls(at=at, recipe=shared_recipe(rest, [studio.subject]))

    def __str__(self) -> str:
        return f"{_AT} {self.at} {text_of(self.recipe)}"


class OverTime:
    """An image, the checkpoint that draws it, and a strip of all, beside the controls."""

    def __init__(self, desk: Desk) -> None:
        assert desk.networks.run is not None
        self._desk, self._run = desk, desk.networks.run
        self._keys = self._run.keys()
        self._easel = Easel(self._draw, self._show, self._fail)
        with ui.element("div").classes("panes over-time"):
            with ui.element("div").classes("stage"):
                with ui.element("div").classes("frame") as self._frame:
                    self._picture = Picture(desk.studio.subject.painter.network.resolution)
                self._player = Player(self._texts(), self._changed, self._look)
                self._error = ui.label().props("role=alert").classes("error")
                self._strip = Strip(self._run, self._choose)
                with ui.element("div").classes("actions"):
                    self._link = DownloadLink("Download PNG")
                    reset = ui.button("Reset", icon="restart_alt", on_click=lambda: self.show(""))
                    reset.props("flat no-caps no-wrap")
                self._command = CommandLine()
            with ui.element("section").classes("controls").props('aria-label="Recipe"'):
                build = partial(linked_controls, [desk.studio.subject])
                self._controls = Controls(build, self._changed)
        self._start = self._controls.recipe()
        self.shortcuts: Sequence[Shortcut] = (
            Shortcut(key="r", text="random seed", act=self._controls.seed.draw),
            Shortcut(key="ArrowLeft", text="earlier", act=lambda: self._player.step(-1)),
            Shortcut(key="ArrowRight", text="later", act=lambda: self._player.step(1)),
        )

    async def show(self, words: str) -> None:
        """Go to a state; to the start, where there is none."""
        self._player.stop()
        moment = Moment(at=self._keys[-1], recipe=self._start)
        if words:
            try:
                found = Moment.parse(words, self._run, self._desk.studio)
            except UserError as error:
                warn(f"What this link shows is not here: {error}")
            else:
                moment = found
                if found.at not in self._keys:  # written since the last look
                    self._fill(self._run.keys())
        self._player.show(self._keys.index(moment.at))
        await self._controls.show(moment.recipe)
        if self._controls.recipe() != moment.recipe:
            warn("The recipe of this link is beyond what the controls reach.")

    def _texts(self) -> list[str]:
        return [kimg_word(key) for key in self._keys]

    def _moment(self) -> Moment:
        return Moment(at=self._keys[self._player.place], recipe=self._controls.recipe())

    async def _changed(self) -> None:
        moment = self._moment()
        if not self._player.plays:  # the history has its end alone
            start = Moment(at=self._keys[-1], recipe=self._start)
            self._desk.record(NAME, "" if moment == start else str(moment))
        self._strip.mark(moment.at)
        self._frame.classes(add="busy")
        drawn = True
        try:
            drawn = await self._easel.want(moment)
        finally:
            if drawn:
                self._frame.classes(remove="busy")
        if drawn:
            await self._strip.show(self._keys, self._controls.recipe())

    async def _draw(self, moment: Moment) -> None:
        await self._run.png(moment.at, moment.recipe)

    def _show(self, moment: Moment) -> None:
        where, words = address(moment.recipe, moment.at), " ".join(moment.recipe.words())
        self._picture.show(where, f"Image of {words} at {kimg_word(moment.at)}")
        self._link.set(where, file_name(moment.recipe, moment.at))
        self._command.set(self._run.command(moment.at, moment.recipe))
        self._command.enable(value=True)
        self._error.set_text("")

    def _fail(self, reason: str) -> None:
        """Say why there is no image; the last one stays, and nothing acts on it."""
        self._player.stop()
        self._link.clear()
        self._command.enable(value=False)
        self._error.set_text(reason)

    async def _choose(self, key: str) -> None:
        self._player.stop()
        self._player.show(self._keys.index(key))
        await self._changed()

    async def _look(self) -> str:
        """Look for checkpoints written or deleted since; what has changed, in words."""
        before, at = self._keys, self._keys[self._player.place]
        try:
            now = self._run.keys()
        except UserError as error:
            return str(error)
        if not now:
            return f"There are no checkpoints in {self._run.folder} any more."
        self._fill(now)
        self._player.show(now.index(at) if at in now else len(now) - 1)
        await self._changed()
        counts = {"new": len({*now} - {*before}), "gone": len({*before} - {*now})}
        words = [f"{count} {what}" for what, count in counts.items() if count]
        return ", ".join(words) or "nothing new"

    def _fill(self, keys: list[str]) -> None:
        self._keys = keys
        self._player.fill(self._texts())


class Strip:
    """Small images of a run's checkpoints, drawn one after another; `choose` goes to one."""

    def __init__(self, run: Run, choose: Callable[[str], Awaitable[None]]) -> None:
        self._run, self._choose = run, choose
        self._wanted: tuple[Sequence[str], Recipe] | None = None
        self._buttons: dict[str, ui.element] = {}
        self._images: dict[str, ui.element] = {}
        self._at = ""
        self._note = ui.label().classes("remark")
        self._list = ui.element("ul").classes("pictures moments").props('aria-label="Checkpoints"')

    def mark(self, key: str) -> None:
        """Show which one is chosen."""
        self._at = key
        for each, button in self._buttons.items():
            button.props["aria-current"] = "true" if each == key else "false"

    async def show(self, keys: Sequence[str], recipe: Recipe) -> None:
        """Draw a recipe by these checkpoints, unless another is asked for before all are there."""
        wanted = (keys, recipe)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        chosen = [keys[place] for place in evenly(len(keys), MOST)]
        self._note.set_text(
            f"{len(chosen)} of {len(keys)} checkpoints" if len(chosen) < len(keys) else ""
        )
        self._fill(chosen)
        for key in chosen:
            try:
                await self._run.png(key, recipe, Rank.SHEET)
                failure = ""
            except UserError as error:
                failure = str(error)
            if self._wanted is not wanted or self._list.is_deleted:
                return
            self._drawn(key, recipe, failure)

    def _fill(self, keys: Sequence[str]) -> None:
        if [*self._buttons] != [*keys]:
            self._list.clear()
            self._buttons, self._images = {}, {}
            with self._list:
                for key in keys:
                    self._add(key)
            self.mark(self._at)
        for button in self._buttons.values():
            button.classes(add="waiting")

    def _add(self, key: str) -> None:
        with ui.element("li"), ui.element("button").props("type=button") as button:
            button.on("click", lambda: self._choose(key))
            self._images[key] = ui.element("img").props("alt=''")
            ui.label(kimg_word(key).removeprefix("kimg "))
        button.props["aria-label"] = kimg_word(key)
        self._buttons[key] = button

    def _drawn(self, key: str, recipe: Recipe, failure: str) -> None:
        button, image = self._buttons[key], self._images[key]
        button.classes(remove="waiting")
        button.props["title"] = failure or kimg_word(key)
        if failure:
            image.props.pop("src", None)
        else:
            image.props["src"] = address(recipe, key)
