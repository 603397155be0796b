"""The view of one image: its command, kept images, controls, and images drawn ahead of a slider."""

from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from nicegui import ui

from stylegan.explore.controls import Controls, all_controls
from stylegan.explore.page import Page, Shortcut
from stylegan.explore.studio import Easel, Studio, address, file_name
from stylegan.explore.widgets import (
    CommandLine,
    DownloadLink,
    error_label,
    flat_button,
    region,
    warn,
)
from stylegan.sample.recipe import Recipe
from stylegan_eval.errors import UserError

STEPS = 2  # that are drawn ahead
_DIGITS = 6  # finer than any slider


def following(before: Recipe, now: Recipe) -> Iterator[Recipe]:
    """Recipes that come next if the one number that changed goes on by as much.

    A number is the seed, psi, or the amount of a move. Nothing where something else changed, or
    where several did.
    """
    old, new = _numbers(before), _numbers(now)
    changed = [name for name in old | new if old.get(name, 0) != new.get(name, 0)]
    others = (replace(each, seed=0, psi=1.0, moves=()) for each in (before, now))
    if len(changed) != 1 or next(others) != next(others):
        return
    (name,) = changed
    step = new.get(name, 0) - old.get(name, 0)
    moves = {move.name: move for move in (*before.moves, *now.moves)}
    for count in range(1, STEPS + 1):
        value = round(new.get(name, 0) + count * step, _DIGITS)
        try:
            if name in ("seed", "psi"):
                yield replace(now, **{name: value})
            else:
                moved = replace(moves[name[1:]], amount=value)
                # In the order of the controls: in another the recipe is another.
                row = now.moves if name in new else before.moves
                placed = [moved if move.name == moved.name else move for move in row]
                yield replace(now, moves=tuple(move for move in placed if move.amount))
        except UserError:  # beyond what there is
            return


def _numbers(recipe: Recipe) -> dict[str, Any]:
    amounts = {f"={move.name}": move.amount for move in recipe.moves}
    return {"seed": recipe.seed, "psi": recipe.psi, **amounts}


class Ahead:
    """Images drawn ahead for one tab; a new direction drops those left of the last."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._last: Recipe | None = None
        self._pending: list[Future[bytes]] = []

    def go_on(self, recipe: Recipe) -> None:
        """Draw what follows, after this recipe was shown, unless images take long."""
        for future in self._pending:
            future.cancel()
        before, self._last = self._last, recipe
        self._pending = [] if before is None else self._studio.ahead(following(before, recipe))


NAME = "image"
MOST_KEPT = 12  # pictures in the strip
CRISP = 256  # pixels up to which an image is enlarged by whole pixels


class ImageView:
    """An image beside the controls of its recipe, which is the state of the view."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with ui.element("div").classes("panes"):
            self._stage = Stage(page, self.show)
            with region("controls", "Recipe"):
                self._controls = Controls(partial(all_controls, page.studio), self._changed)
        self._start = self._stage.start = self._controls.recipe()
        seed = self._controls.seed
        self.shortcuts = (
            Shortcut(key="r", text="random seed", act=seed.draw),
            Shortcut(key="ArrowLeft", text="previous seed", act=lambda: seed.step(-1)),
            Shortcut(key="ArrowRight", text="next seed", act=lambda: seed.step(1)),
            Shortcut(key="k", text="keep the image", act=self._stage.keep_shown),
        )

    async def show(self, words: str) -> None:
        """Go to a recipe; to the start, where there is none."""
        recipe: Recipe | None = self._start
        if words:
            try:
                recipe = await self._page.studio.recipe_of(words)
            except UserError as error:
                recipe = None
                warn(f"The recipe of this link is none that this network can draw: {error}")
        await self._controls.show(self._controls.recipe() if recipe is None else recipe)
        if recipe is not None and self._controls.recipe() != recipe:
            warn("The recipe of this link is beyond what the controls reach.")

    async def _changed(self) -> None:
        recipe = self._controls.recipe()
        self._page.record(NAME, str(recipe))
        await self._stage.want(recipe)


class Picture(ui.element, component="picture.js"):
    """A square image, enlarged by whole pixels if it is small."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.props(f"width={size} height={size}")
        if size <= CRISP:
            self.classes("crisp").style(f"--pixels: {size}px")

    def show(self, where: str, alt: str) -> None:
        """Show the image at an address, once the one before has loaded; the newest one wins."""
        self.run_method("show", where, alt)

    def expect(self, another: bool) -> None:  # noqa: FBT001 - `Easel` passes it by position
        """Say whether another image is being drawn; a spinner shows it after 0.4 seconds."""
        self.run_method("expect", another)


class Stage:
    """The image, its command, and a strip of kept ones; `choose` goes to a recipe in words."""

    start: Recipe  # What "Reset" goes back to

    def __init__(self, page: Page, choose: Callable[[str], Awaitable[None]]) -> None:
        self.start = Recipe()
        self._store = page.kept
        self._studio = studio = page.studio
        self._choose = choose
        self._recipe = self.start
        self._kept: dict[Recipe, ui.element] = {}
        self._ahead = Ahead(studio)
        with ui.element("div").classes("stage"):
            with ui.element("div").classes("frame"):
                self._picture = Picture(studio.subject.painter.network.resolution)
            self._easel = Easel(studio.png, self._show, self._fail, self._picture.expect)
            self._error = error_label()
            with ui.element("div").classes("actions"):
                self._link = DownloadLink("Download PNG")
                self._keep_button = flat_button("Keep", "push_pin", self.keep_shown)
                flat_button("Reset", "restart_alt", lambda: choose(str(self.start)))
            self._command = CommandLine()
            self._strip = (
                ui.element("ul").classes("pictures strip").props('aria-label="Kept images"')
            )
        ui.timer(0, lambda: page.kept.listen(self._restore), once=True)

    async def want(self, recipe: Recipe) -> None:
        """Show a recipe's image as soon as it is drawn."""
        await self._easel.want(recipe)

    def keep_shown(self) -> None:
        """Put the image into the strip, if there is one."""
        if self._keep_button.enabled and self._recipe not in self._kept:
            self._keep(self._recipe)
            self._store_kept()

    def _show(self, recipe: Recipe) -> None:
        self._recipe = recipe
        where = address(recipe)
        self._picture.show(where, f"Image of {recipe}")
        self._link.set(where, file_name(recipe))
        self._command.set(self._studio.command(recipe))
        self._tell("")
        self._ahead.go_on(recipe)

    def _fail(self, reason: str) -> None:
        """Say why there is no image; the last one stays, and nothing acts on it."""
        self._link.clear()
        self._tell(reason)

    def _tell(self, error: str) -> None:
        self._error.set_text(error)
        self._keep_button.set_enabled(not error)
        self._command.enable(not error)

    def _store_kept(self) -> None:
        self._store.keep([str(recipe) for recipe in self._kept])

    def _remove(self, recipe: Recipe) -> None:
        self._kept.pop(recipe).delete()
        self._store_kept()

    def _keep(self, recipe: Recipe) -> None:
        with self._strip, ui.element("li") as item:
            with ui.element("button").props("type=button") as button:
                button.on("click", lambda: self._choose(str(recipe)))
                button.props["aria-label"] = f"Back to {recipe}"
                ui.element("img").props("alt=''").props["src"] = address(recipe)
            with ui.element("button").props("type=button").classes("remove") as remove:
                remove.on("click", lambda: self._remove(recipe))
                remove.props["aria-label"] = remove.props["title"] = f"Remove {recipe}"
                ui.html("&times;", tag="span")
        self._kept[recipe] = item
        if len(self._kept) > MOST_KEPT:
            self._kept.pop(next(iter(self._kept))).delete()

    async def _restore(self) -> None:
        """Show the kept images of an earlier visit, which the browser holds."""
        for words in self._store.words[-MOST_KEPT:]:
            recipe = await self._studio.readable(words)
            if recipe is not None and recipe not in self._kept:
                self._keep(recipe)
