"""Parts of views that the library lacks: a slider with text, a choice, a seed, a command."""

import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from nicegui import ui
from nicegui.elements.mixins.value_element import ValueElement

from stylegan.explore.jobs import Job
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import class_word, layer_word

T = TypeVar("T")
LAST_SEED = 2**32 - 1  # what a number field holds exactly; a command takes more
_RANDOM = 10**6
_ANY_CLASS = -1
_PERIOD = 0.25  # seconds between looks at a job

Changed = Callable[[], Awaitable[None] | None]  # the library awaits what a listener returns


@contextmanager
def section(title: str) -> Iterator[None]:
    """A group of controls; the style knows it by its title."""
    with ui.element("fieldset").classes(title.lower().replace(" ", "-")):
        with ui.element("legend"):
            ui.html(title, tag="span")
        yield


def region(style: str, label: str) -> ui.element:
    """A part of a view, with a name for screen readers."""
    return ui.element("section").classes(style).props(f'aria-label="{label}"')


def error_label() -> ui.label:
    """Where a view says what went wrong."""
    return ui.label().props("role=alert").classes("error")


class Signal:
    """Calls `changed` when a control changes, but not inside of its block `silent`."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._silent = False

    def __call__(self) -> Awaitable[None] | None:
        """Tell of a change."""
        # Asked at once, not when the awaitable has its turn.
        return None if self._silent else self._changed()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Show something in controls, without telling of a change."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False


class Slider(ValueElement[list[float]], component="slider.js"):
    """One thumb or two, with names for screen readers.

    The whole numbers from 0 to `high` are shown as `texts`, if given. `changed` is called when a
    thumb has moved, thirty times a second at most.
    """

    LOOPBACK = None  # the browser holds the value while it is dragged

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
        super().__init__(value=[*values], on_value_change=lambda _: changed(), throttle=0.033)
        digits = len(f"{step:g}".partition(".")[2])
        self._digits = digits
        given = {"label": label, "names": [*names], "min": low, "max": high, "step": step}
        given["start"] = [*values]  # what its own button resets it to
        for key, value in (given | {"digits": digits, "texts": texts and [*texts]}).items():
            self.props[key] = value

    def numbers(self) -> list[float]:
        """Values of the thumbs, without the noise of binary fractions."""
        return [round(float(value), self._digits) for value in self.value]

    def ends(self) -> tuple[int, int]:
        """Values of two thumbs, which are whole numbers."""
        first, last = (int(value) for value in self.numbers())
        return first, last


def layers_slider(
    label: str, names: Sequence[str], values: Sequence[int], count: int, changed: Changed
) -> Slider:
    """A slider with two thumbs, for the first and the last of so many layers."""
    texts = [layer_word(layer, layer) for layer in range(count)]
    return Slider(label, names, values, low=0, high=count - 1, step=1, texts=texts, changed=changed)


class Choice(ValueElement[str], component="choice.js"):
    """One of a few, the first one at first: texts by value."""

    def __init__(self, label: str, options: Mapping[str, str], changed: Changed) -> None:
        super().__init__(value=next(iter(options)), on_value_change=lambda _: changed())
        self.props["label"], self.props["options"] = label, dict(options)


class Seed:
    """A number field, with buttons for the one before, the next and any; `step` is how far off."""

    def __init__(
        self,
        label: str,
        changed: Changed,
        *,
        start: int = 0,
        step: int = 1,
        last: int = LAST_SEED,
    ) -> None:
        self._seed, self._step, self._last = start, step, last
        self._changed = changed
        with ui.element("div").classes("seed"):
            self._field = ui.number(
                label,
                value=start,
                min=0,
                max=last,
                step=step,
                precision=0,
                on_change=self._typed,
                validation={f"a whole number from 0 to {last}": self._is_seed},
            ).props("outlined dense hide-bottom-space inputmode=numeric")
            what = label[0].lower() + label[1:]
            reset_button(what, self._field, start)
            icon_button("chevron_left", f"Previous {what}", lambda: self.step(-1))
            icon_button("chevron_right", f"Next {what}", lambda: self.step(1))
            icon_button("casino", f"Random {what}", self.draw)

    def get(self) -> int:
        """The seed: what the field holds, or held before it held something else."""
        return self._seed

    def set(self, seed: int) -> None:
        """Show a seed."""
        self._field.set_value(min(max(seed, 0), self._last))

    def step(self, by: int) -> None:
        """Go on by so many steps."""
        self.set(self._seed + by * self._step)

    def draw(self) -> None:
        """Go to any."""
        self.set(random_seed())

    def _is_seed(self, value: float | None) -> bool:
        return value is not None and 0 <= value <= self._last and value == int(value)

    def _typed(self) -> Awaitable[None] | None:
        value = self._field.value
        if value is None or not self._is_seed(value) or value == self._seed:
            return None
        self._seed = int(value)
        return self._changed()


class ClassSelect:
    """The class of a conditional network, by name where it has one."""

    def __init__(self, painter: Painter, changed: Changed) -> None:
        size, names = painter.network.config.label_size, painter.label_names
        self._names = names
        options = {k: str(class_word(k, names)) for k in range(size)}
        if painter.label_rows is not None:  # without labels none can be drawn
            options = {_ANY_CLASS: "as in the training data"} | options
        self._first = next(iter(options))
        with ui.element("div").classes("class"):
            self._select = ui.select(
                options, label="Class", value=self._first, on_change=lambda _: changed()
            ).props("outlined dense options-dense")
            reset_button("class", self._select, self._first)

    def get(self) -> int | str | None:
        """The class; None draws it from the latent."""
        number = int(self._select.value)
        return None if number == _ANY_CLASS else class_word(number, self._names)

    def set(self, word: int | str | None) -> None:
        """Show a class."""
        number = list(self._names).index(word) if isinstance(word, str) else word
        self._select.set_value(self._first if number is None else number)


def flat_button(text: str, icon: str, act: Callable[[], Any]) -> ui.button:
    """A button with a text, without a border."""
    button = ui.button(text, icon=icon, on_click=act)
    button.props("flat no-caps no-wrap")
    return button


def icon_button(icon: str, label: str, act: Callable[[], None]) -> None:
    """A round button with a name for screen readers, shown as a tip too."""
    button = ui.button(icon=icon, on_click=act)
    button.props("flat round dense").props["aria-label"] = label
    button.props["title"] = label


def random_seed() -> int:
    """Any seed that can be read aloud."""
    return secrets.randbelow(_RANDOM)


def reset_button(what: str, field: ValueElement[Any], start: object) -> None:
    """A button that puts a field back to its start, there while it holds something else."""
    button = ui.button(icon="restart_alt", on_click=lambda: field.set_value(start))
    button.props("flat round dense").classes("reset-one")
    button.props["aria-label"] = button.props["title"] = f"Reset {what}"
    button.bind_visibility_from(field, "value", backward=lambda value: value != start)


class Live(ui.element, component="live.js"):
    """An element whose attributes and words change often."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.props["kind"] = kind

    def set(self, attributes: Mapping[str, str]) -> None:
        """Give it these attributes in place of the last ones."""
        self.run_method("set", dict(attributes))

    def say(self, words: Sequence[str]) -> None:
        """Show words, between which its lines break."""
        self.run_method("say", [*words])


class CommandLine:
    """A command, and a button that copies it."""

    def __init__(self, what: str = "command") -> None:
        self._text = ""
        with ui.element("div").classes("made-by"):
            self._code = Live("code")
            self._copy = ui.button(icon="content_copy", on_click=self._copied)
            self._copy.props("flat round dense")
            self._copy.props["aria-label"] = self._copy.props["title"] = f"Copy the {what}"

    def set(self, text: str) -> None:
        """Show a command."""
        self._text = text
        self._code.say(text.split(" "))

    def enable(self, value: bool) -> None:  # noqa: FBT001 - as the library has it
        """Whether it can be copied."""
        self._copy.set_enabled(value)

    def _copied(self) -> None:
        ui.clipboard.write(self._text)
        ui.notify("Copied", timeout=1000)


class DownloadLink:
    """A link to a file of the server."""

    def __init__(self, text: str) -> None:
        self._link = Live("a").classes("download")
        with self._link:
            ui.icon("download").props("aria-hidden=true")
            ui.html(text, tag="span")

    def set(self, where: str, name: str) -> None:
        """Lead to a file, saved under a name."""
        self._link.set({"href": where, "download": name, "aria-disabled": "false"})

    def clear(self) -> None:
        """Lead nowhere."""
        self._link.set({"aria-disabled": "true"})


class FileOffer:
    """A link to a file of the server, and the command that makes the same file."""

    def __init__(self, text: str, what: str = "command") -> None:
        with ui.element("div").classes("file"):
            self._link = DownloadLink(text)
            self._command = CommandLine(what)

    def set(self, where: str, name: str, command: str) -> None:
        """Offer a file, saved under a name."""
        self._link.set(where, name)
        self._command.set(command)
        self._command.enable(value=True)

    def clear(self) -> None:
        """Offer nothing; the last command stays to be seen."""
        self._link.clear()
        self._command.enable(value=False)


class Progress:
    """How far a job of the tab is, with a button that ends it; hidden while there is none.

    `part`: what a job has many of, such as "Frame".
    """

    def __init__(self, name: str, part: str) -> None:
        self._part = part
        self._job: Job | None = None
        with ui.element("div").classes("progress") as self._place:
            self._bar = ui.element("progress")
            self._bar.props["aria-label"] = name
            self._text = ui.label().classes("remark")
            flat_button("Cancel", "close", self._cancel)
        self._place.set_visibility(False)
        ui.timer(_PERIOD, self._look)
        ui.context.client.on_delete(self._cancel)  # a tab that has gone

    @property
    def busy(self) -> bool:
        """Whether a job is on its way."""
        return self._job is not None

    async def follow(self, job: Job, work: Awaitable[T]) -> T:
        """The result of a job; CancelledError if the button ended it."""
        self._job = job
        try:
            return await work
        finally:
            self._job = None
            self._place.set_visibility(False)

    def _look(self) -> None:
        if (job := self._job) is None:
            return
        self._place.set_visibility(True)
        self._bar.props["value"] = str(job.done / job.total)
        distance = "" if job.distance is None else f", distance {job.distance:.4f}"
        self._text.set_text(f"{self._part} {job.done} of {job.total}{distance}")

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()


def warn(text: str) -> None:
    """Tell of what does not go as wished, for a while."""
    ui.notify(text, type="warning", position="top", timeout=10_000, close_button="Close")
