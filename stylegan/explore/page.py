"""The page of one tab of the browser: its views, of which one is open, and its address."""

from functools import partial
from importlib.resources import files

from nicegui import ui

from stylegan.explore.frame import History, Shortcuts, Tabs
from stylegan.explore.networks import Networks
from stylegan.explore.place import OPENING, Place
from stylegan.explore.view import Shortcut, Shown, View
from stylegan.explore.views import VIEWS
from stylegan.explore.widgets import Kept, warn

_FOLDER = files("stylegan.explore")
_STYLES = ("page.css", "controls.css", *(f"views/{view.name}.css" for view in VIEWS))


class Page:
    """What a tab of the browser shows; it knows nothing of the others."""

    def __init__(self, networks: Networks, query: str) -> None:
        self.networks = networks
        self.studio = networks.studio
        self._rows = {view.name: view for view in VIEWS if view.offered(networks)}
        self._shown: dict[str, Shown] = {}
        self._words: dict[str, str] = {}
        self._open = ""
        self._turned = False
        ui.colors(primary="#2f5d8a")
        for name in _STYLES:
            ui.add_css(_FOLDER.joinpath(name).read_text(encoding="utf-8"))
        with ui.element("header").classes("title"):
            with ui.element("div").classes("named"):
                ui.html("stylegan-explore", tag="h1")
                subject = self.studio.subject
                ui.label(f"{subject.ckpt}: {subject.description}")
            self._history = History(self._go)
            self._shortcuts = Shortcuts()
        self._tabs = Tabs(self.open)
        self.kept = Kept(self.studio.network)
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
