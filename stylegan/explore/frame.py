"""Parts of the page around its views: tabs, history, shortcuts."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nicegui import ui

from stylegan.explore.view import Shortcut, View

Listener = Callable[[str], Awaitable[None] | None]


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
