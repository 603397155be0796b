"""The view of a matrix of style mixing, as in Figure 3: rows take styles of columns."""

import shlex
from collections.abc import Awaitable, Sequence
from functools import partial

from nicegui import ui

from stylegan.explore.matrix import (
    MOST_DESTINATIONS,
    MOST_SOURCES,
    PARTS,
    ROWS,
    Matrix,
    read_seeds,
)
from stylegan.explore.page import Page, Shortcut
from stylegan.explore.sheets import seed_words
from stylegan.explore.tiles import Look, Tiles
from stylegan.explore.widgets import (
    Changed,
    Choice,
    FileOffer,
    Signal,
    error_label,
    flat_button,
    icon_button,
    layers_slider,
    random_seed,
    region,
    reset_button,
    warn,
)
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.layers import Layers, style_layers
from stylegan.sample.recipe import layer_word
from stylegan_eval.errors import UserError

NAME = "mixing"
SOURCES, DESTINATIONS = range(5), range(5, 8)  # the defaults of `stylegan-sample mixing`
_OWN = "own"
_NO_W = (
    "This network has no mapping network, hence no W and no styles to mix. Those of configurations"
    " C to F have."
)
_ABOUT = (
    "Each image is that of its row, on the left, with the styles of its column, on top, in the"
    " layers chosen. A click opens it in the view Image."
)


class MixingView:
    """A matrix, which is the state, its choice above and its file below."""

    shortcuts: Sequence[Shortcut] = ()

    def __init__(self, page: Page) -> None:
        self._page = page
        self._mixes = page.studio.subject.painter.maps
        if not self._mixes:
            ui.label(_NO_W).classes("remark")
            return
        with region("toolbar", "Which matrix"):
            self._choose(page.studio.subject)
        self._start = self._matrix()
        ui.label(_ABOUT).classes("remark")
        open_image = partial(page.open, "image")
        self._tiles = Tiles(page.studio, "Matrix of style mixing", open_image)
        self._tiles.classes("matrix")
        self._error = error_label()
        with region("files", "Download"):
            self._file = FileOffer("One PNG")
            reset = flat_button("Reset", "restart_alt", lambda: self.show(""))
            reset.classes("reset-all")
        self.shortcuts = (
            Shortcut(key="ArrowLeft", text="coarser styles", act=lambda: self._layers.turn(-1)),
            Shortcut(key="ArrowRight", text="finer styles", act=lambda: self._layers.turn(1)),
            Shortcut(key="r", text="random rows and columns", act=self._draw),
            Shortcut(key="Enter", text="on an image: open it (click)"),
            Shortcut(key="Arrow", text="on an image: to the next"),
        )

    def _choose(self, subject: OpenedGenerator) -> None:
        signal = self._signal = Signal(self._changed)
        self._sources = Seeds("Columns (sources)", SOURCES, MOST_SOURCES, signal)
        self._destinations = Seeds("Rows (destinations)", DESTINATIONS, MOST_DESTINATIONS, signal)
        self._look = Look("Psi of the matrix", subject, signal)
        self._layers = WhichLayers(subject.num_layers, signal)

    async def show(self, words: str) -> None:
        """Go to a matrix; to the start, where there is none."""
        if not self._mixes:
            self._page.record(NAME, "")
            return
        matrix = self._start
        if words:
            try:
                matrix = Matrix.parse(words, self._page.studio.subject)
            except UserError as error:
                warn(f"The matrix of this link is none that this network can draw: {error}")
        with self._signal.silent():
            self._sources.set(matrix.sources)
            self._destinations.set(matrix.destinations)
            self._layers.set(matrix.layers)
            self._look.set(matrix.look)
        await self._changed()

    def _matrix(self) -> Matrix:
        return Matrix(
            sources=self._sources.get(),
            destinations=self._destinations.get(),
            layers=self._layers.get(),
            look=self._look.get(),
        )

    async def _draw(self) -> None:
        """Go to any seeds, as many as there are."""
        with self._signal.silent():
            self._sources.draw()
            self._destinations.draw()
        await self._changed()

    async def _changed(self) -> None:
        matrix, studio = self._matrix(), self._page.studio
        words = "" if matrix == self._start else shlex.join(matrix.words())
        self._page.record(NAME, words)
        self._error.set_text("")
        self._file.set(matrix.address, matrix.file_name, matrix.command(studio))
        tiles = matrix.tiles(studio.subject.num_layers)
        try:
            await self._tiles.show(tiles, columns=len(matrix.sources) + 1)
        except UserError as error:
            self._error.set_text(str(error))


class Seeds:
    """A field of some seeds, such as 0-4 or 9,3,7, each once."""

    def __init__(self, label: str, start: Sequence[int], most: int, changed: Changed) -> None:
        self._seeds, self._most, self._changed = tuple(start), most, changed
        what = label[0].lower() + label[1:]
        with ui.element("div").classes("seed"):
            self._field = ui.input(
                label,
                value=seed_words(start),
                on_change=self._typed,
                validation=self._complaint,
            ).props("outlined dense hide-bottom-space debounce=300")
            reset_button(what, self._field, seed_words(start))
            icon_button("casino", f"Random {what}", self.draw)

    def get(self) -> tuple[int, ...]:
        """The seeds: what the field holds, or held before it held something else."""
        return self._seeds

    def set(self, seeds: Sequence[int]) -> None:
        """Show seeds."""
        self._field.set_value(seed_words(seeds))

    def draw(self) -> None:
        """Go to any, as many as there are."""
        self.set([random_seed() for _ in self._seeds])

    def _complaint(self, text: str | None) -> str | None:
        try:
            read_seeds(text or "", self._most)
        except UserError as error:
            return str(error)
        return None

    def _typed(self) -> Awaitable[None] | None:
        text = self._field.value or ""
        if self._complaint(text) is not None:
            return None
        seeds, self._seeds = self._seeds, read_seeds(text, self._most)
        return None if seeds == self._seeds else self._changed()


class WhichLayers:
    """Coarse, middle or fine layers, each in some rows, or a range of them."""

    def __init__(self, count: int, changed: Changed) -> None:
        self._count = count
        parts = {part: style_layers(part, count) for part in PARTS}
        texts = {
            part: f"{part.capitalize()}, {layer_word(layers[0], layers[-1])}"
            for part, layers in parts.items()
            if layers  # of four layers there may be no fine ones
        }
        if len(texts) == len(PARTS):
            texts[ROWS] = "By rows, as in Figure 3"
        self._names = [*texts, _OWN]
        with ui.element("div").classes("styles"):
            self._part = Choice("Styles", texts | {_OWN: "A range of layers"}, changed)
            with ui.element("div").classes("range") as shown:
                names, middle = ["First layer taken", "Last layer taken"], parts["middle"]
                ends = (middle[0], middle[-1])
                self._range = layers_slider("Layers", names, ends, count, changed)
            shown.bind_visibility_from(self._part, "value", backward=lambda part: part == _OWN)

    def get(self) -> Layers:
        """One of `PARTS`, `ROWS`, or the layers."""
        if self._part.value != _OWN:
            return self._part.value
        first, last = self._range.ends()
        return range(first, last + 1)

    def set(self, layers: Layers) -> None:
        """Show layers."""
        if isinstance(layers, str):
            self._part.set_value(layers)
        else:
            self._part.set_value(_OWN)
            self._range.set_value([layers[0], layers[-1]])

    def turn(self, by: int) -> None:
        """Go on to the part after it."""
        place = self._names.index(self._part.value) + by
        self._part.set_value(self._names[place % len(self._names)])
