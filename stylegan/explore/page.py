"""The page of one tab of the browser: views, of which one is open, tabs, history, address.

A view is a row of the table in `views`, and is built with its page.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from nicegui import ui

from stylegan.explore.networks import Networks
from stylegan.explore.widgets import warn

Listener = Callable[[str], Awaitable[None] | None]


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """A key of a view."""

    key: str  # As KeyboardEvent.key has it
    text: str  # What it does, for the help
    act: Callable[[], Awaitable[None] | None] | None = None
    """None where a part of the view listens itself, and the help alone is to tell."""


class Shown(Protocol):
    """A view on a page."""

    @property
    def shortcuts(self) -> Sequence[Shortcut]:
        """Its keys, beside those of the page."""

    async def show(self, words: str) -> None:
        """Go to a state, "" being the start, and `record` what was gone to."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A row: what is drawn on the panel of a tab."""

    name: str  # In the address (?view=NAME), and of its style sheet in the folder `views`
    title: str  # On its tab
    parameter: str  # Of the address, which holds its state
    build: Callable[["Page"], Shown]  # Fills its panel, when it is opened for the first time
    offered: Callable[[Networks], bool] | None = None  # Whether there is what it shows


class Tabs(ui.element, component="tabs.js"):
    """Tabs of the views; `choose` is called with the name of the one that is chosen."""

    def __init__(self, choose: Listener) -> None:
        super().__init__()
        self.on("choose", lambda event: choose(str(event.args)))

    def fill(self, views: Sequence[View], panels: Sequence[ui.element]) -> None:
        """Lead to the panels of views."""
        self.props["tabs"] = [
            {"name": view.name, "title": view.title, "panel": panel.html_id}
            for view, panel in zip(views, panels, strict=True)
        ]

    def choose(self, name: str) -> None:
        """Show that a view is open."""
        self.props["current"] = name


class History(ui.element, component="history.js"):
    """Undo and redo, and the address, whose query `go` is called with when it has changed."""

    def __init__(self, go: Listener) -> None:
        super().__init__()
        self.on("place", lambda event: go(str(event.args)))

    def record(self, query: str, *, apart: bool) -> None:
        """Put a query into the address, once no other one follows at once; `apart`: now."""
        self.run_method("record", query, apart)

    def step(self, by: int) -> None:
        """Undo (-1) or redo (1)."""
        self.run_method("go", by)


class Shortcuts(ui.element, component="shortcuts.js"):
    """Keys that act anywhere but in fields, and the help that lists them."""

    def __init__(self) -> None:
        super().__init__()
        self._acts: dict[str, Callable[[], Awaitable[None] | None]] = {}
        self.on("key", lambda event: self._pressed(event.args))

    def fill(self, groups: Sequence[tuple[str, Sequence[Shortcut]]]) -> None:
        """Listen to these, listed under titles."""
        rows = [row for _, shortcuts in groups for row in shortcuts]
        self._acts = {row.key: row.act for row in rows if row.act is not None}
        self.props["groups"] = [
            {
                "title": title,
                "rows": [
                    {"key": row.key, "text": row.text, "own": row.act is None} for row in shortcuts
                ],
            }
            for title, shortcuts in groups
        ]

    def _pressed(self, key: Any) -> Awaitable[None] | None:
        act = self._acts.get(str(key))
        return None if act is None else act()


class Kept(ui.element, component="kept.js"):
    """The recipes that the browser keeps for a network; those of another visit come after a while.

    `words`: the recipes as the address has them, in their order.
    """

    def __init__(self, network: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self._listeners: list[Callable[[], Awaitable[None]]] = []
        self.props["network"] = network
        self.on("kept", lambda event: self._came([str(each) for each in event.args]))

    async def listen(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Call this when they have come: now, if they have."""
        self._listeners.append(listener)
        if self.words:
            await listener()

    def keep(self, recipes: Sequence[str]) -> None:
        """Store recipes in place of what is stored."""
        self.words = [*recipes]
        self.run_method("keep", self.words)

    async def _came(self, words: list[str]) -> None:
        self.words = words
        for listener in self._listeners:
            await listener()


OPENING = "samples"  # the view of an address that names none
_LINKED = "image"  # ... unless it has this one's state


@dataclass(frozen=True, kw_only=True)
class Place:
    """A view, and the states of all views that have one."""

    view: str
    words: Mapping[str, str]  # By the view's name

    @classmethod
    def parse(cls, query: str, views: Sequence[View]) -> "Place":
        """Read the query of an address; a view that is none is "" (and what is not known, left)."""
        pairs = dict(parse_qsl(query))
        words = {view.name: pairs[view.parameter] for view in views if view.parameter in pairs}
        named = pairs.get("view", _implied(words))
        return cls(view=named if named in {view.name for view in views} else "", words=words)

    def query(self, views: Sequence[View]) -> str:
        """Query of the address; the view is left out where it is the one without."""
        stated = {
            view.parameter: self.words[view.name] for view in views if self.words.get(view.name)
        }
        named = {} if self.view == _implied(self.words) else {"view": self.view}
        return urlencode(named | stated)


def _implied(words: Mapping[str, str]) -> str:
    return _LINKED if words.get(_LINKED) else OPENING


_FOLDER = files("stylegan.explore")
_STYLES = ("page.css", "controls.css")


class Page:
    """The page of one tab of the browser; it knows nothing of the others."""

    def __init__(self, networks: Networks, views: Sequence[View], query: str) -> None:
        self.networks = networks
        self.studio = networks.studio  # Draws the first of them
        offered = [view for view in views if view.offered is None or view.offered(networks)]
        self._rows = {view.name: view for view in offered}
        self._shown: dict[str, Shown] = {}
        self._words: dict[str, str] = {}
        self._open = ""
        self._turned = False
        ui.colors(primary="#2f5d8a")
        for name in (*_STYLES, *(f"views/{view.name}.css" for view in views)):
            ui.add_css(_FOLDER.joinpath(name).read_text(encoding="utf-8"))
        with ui.element("header").classes("title"):
            with ui.element("div").classes("named"):
                ui.html("stylegan-explore", tag="h1")
                subject = self.studio.subject
                ui.label(f"{subject.ckpt}: {subject.description}")
            self._history = History(self._go)
            self._shortcuts = Shortcuts()
        self._tabs = Tabs(self.open)
        self.kept = Kept(self.studio.network)  # Images that the browser keeps
        with ui.element("main"):
            self._panels = {name: ui.element("div") for name in self._rows}
        for name, panel in self._panels.items():
            panel.classes("panel").props(f"role=tabpanel aria-labelledby=tab-{name}")
            panel.set_visibility(False)
        self._tabs.fill(self._views, [*self._panels.values()])
        # The page does not wait for its first images, which may take seconds.
        ui.timer(0, lambda: self._go(query), once=True)

    @property
    def _views(self) -> list[View]:
        return [*self._rows.values()]

    def record(self, view: str, words: str) -> None:
        """Put a view's state into the address, where Back, Undo and links find it."""
        self._words[view] = words
        query = Place(view=self._open, words=self._words).query(self._views)
        self._history.record(query, apart=self._turned)
        self._turned = False

    def words(self, view: str) -> str:
        """State of any view; "" where it was never opened."""
        return self._words.get(view, "")

    def shows(self, view: str) -> bool:
        """Whether a view is the open one."""
        return view == self._open

    async def open(self, name: str, words: str | None = None) -> None:
        """Show a view, in a state or as it was left."""
        self._turned = name != self._open
        self._open = name
        self._tabs.choose(name)
        for each, panel in self._panels.items():
            panel.set_visibility(each == name)
        if name not in self._shown:
            with self._panels[name]:
                self._shown[name] = self._rows[name].build(self)
        shown = self._shown[name]
        self._shortcuts.fill(
            [("Everywhere", self._everywhere()), (self._rows[name].title, shown.shortcuts)]
        )
        await shown.show(self.words(name) if words is None else words)

    async def _go(self, query: str) -> None:
        """Go where an address leads."""
        place = Place.parse(query, self._views)
        self._words = dict(place.words)
        if not place.view:
            warn(f"The link names no view that is here: there are {', '.join(self._rows)}.")
        await self.open(place.view or OPENING, place.words.get(place.view, ""))

    def _everywhere(self) -> list[Shortcut]:
        views = [
            Shortcut(key=str(k), text=f"view {view.title}", act=partial(self.open, view.name))
            for k, view in enumerate(self._views, 1)
        ]
        return [
            Shortcut(key="?", text="this help", act=lambda: None),
            Shortcut(key="u", text="undo", act=lambda: self._history.step(-1)),
            Shortcut(key="U", text="redo", act=lambda: self._history.step(1)),
            *views,
            Shortcut(key="Escape", text="close what is open on top"),
        ]
