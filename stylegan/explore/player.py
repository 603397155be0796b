"""A slider over the checkpoints of a run, with buttons that step, play and look for more."""

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from stylegan.explore.widgets import Signal, Slider, flat_button, icon_button

PERIOD = 0.5  # seconds from one checkpoint to the next, while it plays


class Player:
    """Which of some checkpoints is shown; `changed` is called when that changes.

    `look` looks for other checkpoints, and gives what it found in words.
    """

    def __init__(
        self,
        texts: Sequence[str],
        changed: Callable[[], Awaitable[None]],
        look: Callable[[], Awaitable[str]],
    ) -> None:
        self._changed, self._look = changed, look
        self._signal = Signal(self._moved)
        self._last = len(texts) - 1
        self._slider = Slider(
            "Checkpoint",
            ["Checkpoint"],
            [self._last],
            low=0,
            high=self._last,
            step=1,
            texts=texts,
            changed=self._signal,
        )
        with ui.element("div").classes("player"):
            icon_button("skip_previous", "Earlier checkpoint", lambda: self.step(-1))
            self._button = flat_button("Play", "play_arrow", self._play)
            self._button.classes("play")
            icon_button("skip_next", "Later checkpoint", lambda: self.step(1))
            again = flat_button("Look again", "refresh", self._look_again)
            again.props["title"] = "Look for checkpoints that were written since"
            self._found = ui.label().props("role=status").classes("remark")
        still = "Nothing plays here, for your system asks for less motion: use the arrow keys."
        ui.label(still).classes("remark still")
        self._timer: ui.timer | None = None  # while it plays

    @property
    def place(self) -> int:
        """Number of the checkpoint, 0 being the oldest."""
        return int(self._slider.numbers()[0])

    @property
    def plays(self) -> bool:
        """Whether it goes on by itself."""
        return self._timer is not None

    def fill(self, texts: Sequence[str]) -> None:
        """Take other checkpoints; `show` has to follow."""
        self._last = len(texts) - 1
        self._slider.props["texts"], self._slider.props["max"] = [*texts], self._last
        self._slider.props["start"] = [self._last]

    def show(self, place: int) -> None:
        """Show a checkpoint, without telling of a change."""
        with self._signal.silent():
            self._slider.set_value([place])

    def tell(self, found: str) -> None:
        """Say what was found."""
        self._found.set_text(found)

    def step(self, by: int) -> None:
        """Go on by one, to the first or the last at most."""
        self._slider.set_value([min(max(self.place + by, 0), self._last)])

    def stop(self) -> None:
        """Stay where it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._button.set_text("Play")
        self._button.props["icon"] = "play_arrow"

    def _moved(self) -> Awaitable[None]:
        self.stop()
        return self._changed()

    async def _play(self) -> None:
        if self.plays:
            self.stop()
        else:
            self._timer = ui.timer(PERIOD, self._tick, immediate=False)
            self._button.set_text("Pause")
            self._button.props["icon"] = "pause"
            if self.place == self._last:
                self.show(0)
        await self._changed()

    async def _tick(self) -> None:
        """Go on; the timer waits until the image is there."""
        place = min(self.place + 1, self._last)
        if place == self._last:
            self.stop()
        self.show(place)
        await self._changed()

    async def _look_again(self) -> None:
        self.stop()
        self.tell(await self._look())
