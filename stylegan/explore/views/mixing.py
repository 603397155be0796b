"""The view of a matrix of style mixing, as in Figure 3: rows take styles of columns."""

import shlex
from collections.abc import Awaitable, Sequence

from nicegui import ui

from stylegan.explore.matrix import (
    MOST_DESTINATIONS,
    MOST_SOURCES,
    PARTS,
    ROWS,
    Matrix,
    read_seeds,
)
from stylegan.explore.sheets import seed_words
from stylegan.explore.studio import Studio
from stylegan.explore.tiles import Tiles, psi_slider
from stylegan.explore.view import Desk, Shortcut
from stylegan.explore.widgets import (
    Changed,
    Choice,
    ClassSelect,
    CommandLine,
    DownloadLink,
    Slider,
    icon_button,
    random_seed,
    reset_button,
    warn,
)
from stylegan.explore.wording import text_of
from stylegan.sample.layers import Layers, style_layers
from stylegan.sample.recipe import Recipe, layer_word
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

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._mixes = desk.studio.subject.painter.maps
        if not self._mixes:
            ui.label(_NO_W).classes("remark")
            return
        with ui.element("section").classes("toolbar").props('aria-label="Which matrix"'):
            self._choice = WhichMatrix(desk.studio, self._changed)
        self._start = self._choice.matrix()
        ui.label(_ABOUT).classes("remark")
        self._tiles = Tiles(desk.studio, "Matrix of style mixing", self._open)
        self._tiles.classes("matrix")
        self._error = ui.label().props("role=alert").classes("error")
        with ui.element("section").classes("files").props('aria-label="Download"'):
            with ui.element("div").classes("file"):
                self._link = DownloadLink("One PNG")
                self._command = CommandLine()
            reset = ui.button("Reset", icon="restart_alt", on_click=lambda: self.show(""))
            reset.props("flat no-caps no-wrap").classes("reset-all")
        self.shortcuts = (
            Shortcut(key="ArrowLeft", text="coarser styles", act=lambda: self._choice.turn(-1)),
            Shortcut(key="ArrowRight", text="finer styles", act=lambda: self._choice.turn(1)),
            Shortcut(key="r", text="random rows and columns", act=self._choice.draw),
            Shortcut(key="Enter", text="on an image: open it (click)"),
            Shortcut(key="Arrow", text="on an image: to the next"),
        )

    async def show(self, words: str) -> None:
        """Go to a matrix; to the start, where there is none."""
        if not self._mixes:
            self._desk.record(NAME, "")
            return
        matrix = self._start
        if words:
            try:
                matrix = Matrix.parse(shlex.split(words), self._desk.studio.subject)
            except (UserError, ValueError) as error:
                warn(f"The matrix of this link is none that this network can draw: {error}")
        self._choice.show(matrix)
        await self._changed()

    async def _changed(self) -> None:
        matrix, studio = self._choice.matrix(), self._desk.studio
        words = "" if matrix == self._start else shlex.join(matrix.words())
        self._desk.record(NAME, words)
        self._error.set_text("")
        self._link.set(matrix.address, matrix.file_name)
        self._command.set(matrix.command(studio))
        tiles = matrix.tiles(studio.subject.num_layers)
        try:
            await self._tiles.show(tiles, columns=len(matrix.sources) + 1)
        except UserError as error:
            self._error.set_text(str(error))

    async def _open(self, recipe: Recipe) -> None:
        await self._desk.open("image", text_of(recipe))


class WhichMatrix:
    """Seeds of columns and rows, layers, psi and class."""

    def __init__(self, studio: Studio, changed: Changed) -> None:
        self._silent = False
        self._listener = changed
        subject = studio.subject
        self._sources = Seeds("Columns (sources)", SOURCES, MOST_SOURCES, self._changed)
        self._destinations = Seeds(
            "Rows (destinations)", DESTINATIONS, MOST_DESTINATIONS, self._changed
        )
        self._psi = psi_slider("Psi of the matrix", self._changed)
        conditional = bool(subject.classes)
        self._class = ClassSelect(subject.painter, self._changed) if conditional else None
        self._layers = WhichLayers(subject.num_layers, self._changed)

    def matrix(self) -> Matrix:
        """The matrix that they set."""
        return Matrix(
            sources=self._sources.get(),
            destinations=self._destinations.get(),
            layers=self._layers.get(),
            look=Recipe(
                psi=self._psi.numbers()[0], number=self._class.get() if self._class else None
            ),
        )

    def show(self, matrix: Matrix) -> None:
        """Show a matrix, without telling of a change."""
        self._silent = True
        self._sources.set(matrix.sources)
        self._destinations.set(matrix.destinations)
        self._layers.set(matrix.layers)
        self._psi.set_value([matrix.look.psi])
        if self._class:
            self._class.set(matrix.look.number)
        self._silent = False

    def turn(self, by: int) -> None:
        """Go on to the next part of the layers."""
        self._layers.turn(by)

    async def draw(self) -> None:
        """Go to any seeds, as many as there are."""
        self._silent = True
        self._sources.draw()
        self._destinations.draw()
        self._silent = False
        result = self._listener()
        if result is not None:
            await result

    def _changed(self) -> Awaitable[None] | None:
        return None if self._silent else self._listener()


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
                middle = parts["middle"]
                self._range = Slider(
                    "Layers",
                    ["First layer taken", "Last layer taken"],
                    [middle[0], middle[-1]],
                    low=0,
                    high=count - 1,
                    step=1,
                    texts=[layer_word(layer, layer) for layer in range(count)],
                    changed=changed,
                )
            shown.bind_visibility_from(self._part, "value", backward=lambda part: part == _OWN)

    def get(self) -> Layers:
        """One of `PARTS`, `ROWS`, or the layers."""
        if self._part.value != _OWN:
            return self._part.value
        first, last = (int(value) for value in self._range.numbers())
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
