"""The view of one run over time: the same recipe drawn by every checkpoint."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from nicegui import ui

from stylegan.explore.controls import Controls, linked_controls
from stylegan.explore.jobs import Rank
from stylegan.explore.networks import Run, Stamp, changes, kimg_word
from stylegan.explore.page import Page, Shortcut
from stylegan.explore.player import Player
from stylegan.explore.studio import Easel, Studio, file_name, leading, shared_recipe
from stylegan.explore.views.image import Picture
from stylegan.explore.widgets import (
    CommandLine,
    DownloadLink,
    error_label,
    flat_button,
    region,
    warn,
)
from stylegan.sample.recipe import Recipe
from stylegan.training.pictures import evenly
from stylegan_eval.errors import UserError

NAME = "time"
MOST = 48  # images of the strip
_AT = "--at"  # of the state, before the recipe
_PERIOD = 3  # seconds between looks at the folder


@dataclass(frozen=True, kw_only=True)
class Moment:
    """State of the view: a checkpoint, and what it draws."""

    at: Stamp
    recipe: Recipe

    @classmethod
    def parse(cls, words: str, run: Run, studio: Studio) -> "Moment":
        """Read a state; UserError where the checkpoint has gone, or the newest cannot draw it."""
        at, rest = leading(_AT, words)
        stamps = {stamp.key: stamp for stamp in run.stamps()}
        if at not in stamps:
            raise UserError(f"there is no checkpoint {at!r:.40} (any more)")
        return cls(at=stamps[at], recipe=shared_recipe(rest, [studio.subject]))

    def __str__(self) -> str:
        return f"{_AT} {self.at.key} {self.recipe}"


class OverTime:
    """An image, the checkpoint that draws it, and a strip of all, beside the controls."""

    def __init__(self, page: Page) -> None:
        assert page.networks.run is not None
        self._page, self._run = page, page.networks.run
        self._stamps = self._run.stamps()
        with ui.element("div").classes("panes over-time"):
            with ui.element("div").classes("stage"):
                with ui.element("div").classes("frame"):
                    self._picture = Picture(page.studio.subject.painter.network.resolution)
                self._easel = Easel(self._draw, self._show, self._fail, self._picture.expect)
                self._player = Player(self._texts(), self._changed, self._look)
                self._error = error_label()
                self._strip = Strip(self._run, self._choose)
                with ui.element("div").classes("actions"):
                    self._link = DownloadLink("Download PNG")
                    flat_button("Reset", "restart_alt", lambda: self.show(""))
                self._command = CommandLine()
            with region("controls", "Recipe"):
                build = partial(linked_controls, [page.studio.subject])
                self._controls = Controls(build, self._changed)
        self._start = self._controls.recipe()
        ui.timer(_PERIOD, self._follow)
        self.shortcuts: Sequence[Shortcut] = (
            Shortcut(key="r", text="random seed", act=self._controls.seed.draw),
            Shortcut(key="ArrowLeft", text="earlier", act=lambda: self._player.step(-1)),
            Shortcut(key="ArrowRight", text="later", act=lambda: self._player.step(1)),
        )

    async def show(self, words: str) -> None:
        """Go to a state; to the start, where there is none."""
        self._player.stop()
        with suppress(UserError):  # said when they are drawn
            self._fill(self._run.stamps() or self._stamps)
        moment = self._newest()
        if words:
            try:
                found = Moment.parse(words, self._run, self._page.studio)
            except UserError as error:
                warn(f"What this link shows is not here: {error}")
            else:
                moment = found
        self._player.show(self._place_of(moment.at.key))
        await self._controls.show(moment.recipe)
        if self._controls.recipe() != moment.recipe:
            warn("The recipe of this link is beyond what the controls reach.")

    def _fill(self, stamps: list[Stamp]) -> None:
        self._stamps = stamps
        self._player.fill(self._texts())

    def _texts(self) -> list[str]:
        return [kimg_word(stamp.key) for stamp in self._stamps]

    def _place_of(self, key: str) -> int:
        """Place of a checkpoint; of the newest, where it has gone."""
        keys = [stamp.key for stamp in self._stamps]
        return keys.index(key) if key in keys else len(keys) - 1

    def _newest(self) -> Moment:
        """The moment with which the view begins."""
        return Moment(at=self._stamps[-1], recipe=self._start)

    def _moment(self) -> Moment:
        return Moment(at=self._stamps[self._player.place], recipe=self._controls.recipe())

    async def _changed(self) -> None:
        moment = self._moment()
        if not self._player.plays:  # the history has its end alone
            self._page.record(NAME, "" if moment == self._newest() else str(moment))
        self._strip.mark(moment.at.key)
        if await self._easel.want(moment):
            await self._strip.show(self._stamps, self._controls.recipe())

    async def _draw(self, moment: Moment) -> None:
        await self._run.png(moment.at.key, moment.recipe)

    def _show(self, moment: Moment) -> None:
        key, recipe = moment.at.key, moment.recipe
        where = self._run.address(moment.at, recipe)
        self._picture.show(where, f"Image of {recipe} at {kimg_word(key)}")
        self._link.set(where, file_name(recipe, key))
        self._command.set(self._run.command(key, recipe))
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
        self._player.show(self._place_of(key))
        await self._changed()

    async def _look(self) -> str:
        """Take the checkpoints that are there now; what has changed, in words."""
        try:
            stamps = self._run.stamps()
        except UserError as error:
            return str(error)
        if not stamps:
            return f"There are no checkpoints in {self._run.folder} any more."
        found = changes(self._stamps, stamps)
        if found:
            await self._take(stamps)
        return found or "nothing new"

    async def _take(self, stamps: list[Stamp]) -> None:
        """Stay at the checkpoint that is shown, but for the start, which is the newest."""
        moment = self._moment()
        at_start = moment == self._newest()
        self._fill(stamps)
        self._player.show(len(stamps) - 1 if at_start else self._place_of(moment.at.key))
        await self._changed()

    async def _follow(self) -> None:
        """Look by itself, for a training may be running."""
        if self._player.plays or not self._page.shows(NAME):
            return
        with suppress(UserError):
            found = changes(self._stamps, self._run.stamps())
            if found:
                self._player.tell(await self._look())


class Strip:
    """Small images of a run's checkpoints, drawn one after another; `choose` goes to one."""

    def __init__(self, run: Run, choose: Callable[[str], Awaitable[None]]) -> None:
        self._run, self._choose = run, choose
        self._wanted: tuple[Sequence[Stamp], Recipe] | None = None
        self._items: dict[str, Item] = {}
        self._at = ""
        self._note = ui.label().classes("remark")
        self._list = ui.element("ul").classes("pictures moments").props('aria-label="Checkpoints"')

    def mark(self, key: str) -> None:
        """Show which one is chosen."""
        self._at = key
        for each, item in self._items.items():
            item.mark(chosen=each == key)

    async def show(self, stamps: Sequence[Stamp], recipe: Recipe) -> None:
        """Draw a recipe by these checkpoints, unless another is asked for before all are there."""
        wanted = (stamps, recipe)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        chosen = [stamps[place] for place in evenly(len(stamps), MOST)]
        self._note.set_text(
            f"{len(chosen)} of {len(stamps)} checkpoints" if len(chosen) < len(stamps) else ""
        )
        self._fill([stamp.key for stamp in chosen])
        waiting = [each for each in chosen if self._items[each.key].wait(each, recipe)]
        for stamp in waiting:
            try:
                await self._run.png(stamp.key, recipe, Rank.SHEET)
                failure = ""
            except UserError as error:
                failure = str(error)
            if self._wanted is not wanted or self._list.is_deleted:
                return
            where = "" if failure else self._run.address(stamp, recipe)
            self._items[stamp.key].show(where, failure)

    def _fill(self, keys: Sequence[str]) -> None:
        """Have an item for each; those that stay keep the focus."""
        for key in self._items.keys() - {*keys}:
            self._items.pop(key).place.delete()
        for place, key in enumerate(keys):
            if key not in self._items:
                with self._list:
                    item = self._items[key] = Item(key, partial(self._choose, key))
                item.place.move(target_index=place)
        self.mark(self._at)


class Item:
    """A small image of the strip, and which checkpoint and recipe it is of."""

    def __init__(self, key: str, choose: Callable[[], Awaitable[None]]) -> None:
        self._kimg = kimg_word(key)
        self._shown: tuple[Stamp, Recipe] | None = None
        self._wanted: tuple[Stamp, Recipe] | None = None
        self.place = ui.element("li")
        with self.place, ui.element("button").props("type=button") as self._button:
            self._button.on("click", choose)
            self._image = ui.element("img").props("alt=''")
            ui.label(self._kimg.removeprefix("kimg "))
        self._button.props["aria-label"] = self._kimg

    def mark(self, *, chosen: bool) -> None:
        """Show whether it is the one that is chosen."""
        self._button.props["aria-current"] = "true" if chosen else "false"

    def wait(self, stamp: Stamp, recipe: Recipe) -> bool:
        """Wait for the image of a recipe; whether there is another one yet."""
        self._wanted = (stamp, recipe)
        waits = self._wanted != self._shown
        self._button.classes(**{"add" if waits else "remove": "waiting"})
        return waits

    def show(self, where: str, failure: str) -> None:
        """Show the image that it waits for; none, and why, where it could not be drawn."""
        self._button.classes(remove="waiting")
        self._button.props["title"] = failure or self._kimg
        self._shown = None if failure else self._wanted
        if failure:
            self._image.props.pop("src", None)
        else:
            self._image.props["src"] = where
