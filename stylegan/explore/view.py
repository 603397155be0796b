"""A view of the page: a row of the table in `views`, and what it has from its page."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from stylegan.explore.networks import Networks
from stylegan.explore.studio import Studio
from stylegan.explore.widgets import Kept


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


class Desk(Protocol):
    """A page, as its views see it."""

    networks: Networks
    studio: Studio  # Draws the first of them
    kept: Kept  # Images that the browser keeps

    def record(self, view: str, words: str) -> None:
        """Put a view's state into the address, where Back, Undo and links find it."""

    def words(self, view: str) -> str:
        """State of any view; "" where it was never opened."""

    def shows(self, view: str) -> bool:
        """Whether a view is the open one."""

    async def open(self, view: str, words: str | None = None) -> None:
        """Show a view, in a state or as it was left."""


def _always(_networks: Networks) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class View:
    """A row: what is drawn on the panel of a tab."""

    name: str  # In the address (?view=NAME), and of its style sheet in the folder `views`
    title: str  # On its tab
    parameter: str  # Of the address, which holds its state
    build: Callable[[Desk], Shown]  # Fills its panel, when it is opened for the first time
    offered: Callable[[Networks], bool] = _always  # Whether there is what it shows
