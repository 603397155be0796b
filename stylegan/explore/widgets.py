"""Parts of the page that its library lacks: a slider with text, a choice, a seed, a history."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from html import escape
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.value_element import ValueElement

LAST_SEED = 2**32 - 1  # what a number field holds exactly; a command takes more
_RANDOM = 10**6  # a seed that can be read aloud

Changed = Callable[[], Awaitable[None] | None]  # the library awaits what a listener returns


class Slider(ValueElement[list[float]], component="slider.js"):
    """One thumb or two, with names for screen readers.

    The whole numbers from 0 to `high` are shown as `texts`, if given. `changed` is called when a
    thumb has moved, twenty times a second at most.
    """

    LOOPBACK = False  # the browser holds the value while it is dragged

    def __init__(
        self,
        label: str,
        names: Sequence[str],
        values: Sequence[float],
        *,
        low: float,
        high: float,
        step: float,
        texts: Sequence[str] | None = None,
        changed: Changed,
    ) -> None:
        super().__init__(value=[*values], on_value_change=lambda _: changed(), throttle=0.05)
        digits = len(f"{step:g}".partition(".")[2])
        self._digits = digits
        given = {"label": label, "names": [*names], "min": low, "max": high, "step": step}
        for key, value in (given | {"digits": digits, "texts": texts and [*texts]}).items():
            self.props[key] = value

    def numbers(self) -> list[float]:
        """Values of the thumbs, without the noise of binary fractions."""
        return [round(float(value), self._digits) for value in self.value]


class Choice(ValueElement[str], component="choice.js"):
    """One of a few, the first one at first: texts by value."""

    def __init__(self, label: str, options: Mapping[str, str], changed: Changed) -> None:
        super().__init__(value=next(iter(options)), on_value_change=lambda _: changed())
        self.props["label"], self.props["options"] = label, dict(options)


class Seed:
    """A number field, with buttons for the one before, the next and any."""

    def __init__(self, label: str, changed: Changed) -> None:
        self._seed = 0
        self._changed = changed
        with ui.element("div").classes("seed"):
            self._field = ui.number(
                label,
                value=0,
                min=0,
                max=LAST_SEED,
                step=1,
                precision=0,
                on_change=self._typed,
                validation={f"a whole number from 0 to {LAST_SEED}": self._is_seed},
            ).props("outlined dense hide-bottom-space inputmode=numeric")
            what = label[0].lower() + label[1:]
            self._button("chevron_left", f"Previous {what}", lambda: self._seed - 1)
            self._button("chevron_right", f"Next {what}", lambda: self._seed + 1)
            self._button("casino", f"Random {what}", lambda: secrets.randbelow(_RANDOM))

    def get(self) -> int:
        """The seed: what the field holds, or held before it held something else."""
        return self._seed

    def set(self, seed: int) -> None:
        """Show a seed."""
        self._field.set_value(min(max(seed, 0), LAST_SEED))

    def _button(self, icon: str, label: str, seed: Callable[[], int]) -> None:
        button = ui.button(icon=icon, on_click=lambda: self.set(seed()))
        button.props("flat round dense").props["aria-label"] = label
        button.props["title"] = label

    @staticmethod
    def _is_seed(value: float | None) -> bool:
        return value is not None and 0 <= value <= LAST_SEED and value == int(value)

    def _typed(self) -> Awaitable[None] | None:
        value = self._field.value
        if value is None or not self._is_seed(value) or value == self._seed:
            return None
        self._seed = int(value)
        return self._changed()


class History(ui.element, component="history.js"):
    """Undo and redo; the recipe in the address, and kept ones in the browser's storage.

    `network` names the storage. `choose` is called with the words of a recipe to go back to,
    `restore` with the kept ones of an earlier visit. The property `first` is the recipe of an
    address without one.
    """

    def __init__(
        self,
        network: str,
        choose: Callable[[str], Awaitable[None]],
        restore: Callable[[list[Any]], None],
    ) -> None:
        super().__init__()
        self.props["network"] = network
        self.on("recipe", lambda event: choose(str(event.args)))
        self.on("kept", lambda event: restore(list(event.args)))

    def record(self, recipe: str) -> None:
        """Put a recipe into the address, once no other one follows at once."""
        self.run_method("record", recipe)

    def keep(self, recipes: Sequence[str]) -> None:
        """Store the kept recipes."""
        self.run_method("keep", [*recipes])


def unbroken(command: str) -> str:
    """A command as HTML whose lines break between its words."""
    return " ".join(f"<span>{escape(word)}</span>" for word in command.split(" "))
