"""A matrix of style mixing (Figure 3): its tiles, and the file of `stylegan-sample mixing`."""

import asyncio
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import click

from stylegan.explore.sheets import seed_words
from stylegan.explore.studio import Studio
from stylegan.explore.tiles import Tile
from stylegan.explore.turns import or_too_large
from stylegan.explore.widgets import LAST_SEED
from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator, check_fits
from stylegan.sample.figures import latents_of, mixing_cells, mixing_table
from stylegan.sample.layers import Layers, range_word, style_layers
from stylegan.sample.options import LAYERS
from stylegan.sample.painter import Painter, class_number
from stylegan.sample.recipe import CUTOFF, Mix, Recipe
from stylegan.sample.settings import Mixing
from stylegan_eval.engine.options import SeedRange, options_of
from stylegan_eval.errors import UserError

PARTS = ("coarse", "middle", "fine")
MOST_SOURCES, MOST_DESTINATIONS = 8, 10
_LOOK = ("psi", "number")  # fields of a recipe that all have in common


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Destinations, a row each, that take styles of sources, a column each."""

    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    layers: Layers  # Whose styles are taken: one of `PARTS`, or numbers
    look: Recipe  # Psi and class of all; its seed is that of none

    @classmethod
    def parse(cls, words: Sequence[str], subject: OpenedGenerator) -> "Matrix":
        """Read what `words` gives; UserError for what cannot be drawn."""
        params: list[click.Parameter] = [
            click.Option(["--sources"], required=True),
            click.Option(["--destinations"], required=True),
            click.Option(["--layers"], type=LAYERS, default=PARTS[0]),
            *(option for option in options_of(Recipe) if option.name in _LOOK),
        ]
        command = click.Command("mixing", params=params, add_help_option=False)
        try:
            with command.make_context("mixing", list(words)) as context:
                given = context.params
        except click.UsageError as error:
            raise UserError(error.format_message()) from error
        layers = given["layers"]
        matrix = cls(
            sources=read_seeds(given["sources"], MOST_SOURCES),
            destinations=read_seeds(given["destinations"], MOST_DESTINATIONS),
            layers=layers if layers in PARTS else style_layers(layers, subject.num_layers),
            look=Recipe(**{name: given[name] for name in _LOOK}),
        )
        for tile in matrix.tiles(subject.num_layers):
            check_fits(tile.recipe, subject)
        return matrix

    def words(self) -> list[str]:
        """Options of `stylegan-sample mixing`, but for the cutoff that recipes have."""
        words = ["--sources", seed_words(self.sources)]
        words += ["--destinations", seed_words(self.destinations)]
        return [*words, "--layers", self._layers_word, *self.look.words()[2:]]

    @property
    def _layers_word(self) -> str:
        return self.layers if isinstance(self.layers, str) else range_word(self.layers)

    @property
    def address(self) -> str:
        """Address of its file."""
        return "matrix?" + urlencode({"mixing": shlex.join(self.words())})

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"mixing-{self._layers_word}.png"

    def command(self, studio: Studio) -> str:
        """Command that writes the same file."""
        cutoff = ["--cutoff", str(CUTOFF)] if self.look.psi != 1 else []
        start = studio.source.start("mixing")
        return shlex.join([*start, *self.words(), *cutoff, self.file_name])

    def tiles(self, num_layers: int) -> list[Tile]:
        """Its images row by row, the first of which are the sources."""
        layers = style_layers(self.layers, num_layers)
        if not layers:
            raise UserError(f"--layers: expected one or more of layers 0 to {num_layers - 1}")
        sources = [(seed, replace(self.look, seed=seed)) for seed in self.sources]
        tiles = [
            Tile(key=f"column {seed}", recipe=recipe, text=str(seed)) for seed, recipe in sources
        ]
        for row in self.destinations:
            recipe = replace(self.look, seed=row)
            tiles.append(Tile(key=f"row {row}", recipe=recipe, text=str(row)))
            mixes = [Mix(seed=seed, first=layers[0], last=layers[-1]) for seed in self.sources]
            tiles += [
                Tile(key=f"row {row}, column {mix.seed}", recipe=replace(recipe, mix=mix))
                for mix in mixes
            ]
        return tiles


def read_seeds(text: str, most: int) -> tuple[int, ...]:
    """Read seeds such as 0-4 or 9,3,7, each once; UserError where they are none or too many."""
    try:
        seeds = tuple(dict.fromkeys(SeedRange().convert(text, None, None)))
    except click.UsageError as error:
        raise UserError(error.message) from error
    if len(seeds) > most:
        raise UserError(f"{len(seeds)} seeds: expected {most} at most")
    if max(seeds) > LAST_SEED:
        raise UserError(f"{max(seeds)} is too large: seeds are 0 to {LAST_SEED} here")
    return seeds


async def matrix_file(matrix: Matrix, studio: Studio) -> bytes:
    """Bytes of its file; UserError where memory is too small."""
    painter, look = studio.subject.painter, matrix.look
    if look.number is not None:
        number = class_number(look.number, painter, studio.subject.ckpt)
        rows = painter.one_hot([number])
        painter = Painter(painter.network, lod=painter.lod, label_rows=rows, batch=painter.batch)
    settings = Mixing(layers=(matrix.layers,), psi=look.psi, cutoff=CUTOFF)
    sources, destinations = (
        latents_of(seeds, painter.network.z_dim, "grid")
        for seeds in (matrix.sources, matrix.destinations)
    )
    cells = await studio.each(mixing_cells(painter, sources, destinations, settings))
    command = matrix.command(studio)

    def picture() -> bytes:
        return png_of(mixing_table(cells, len(sources), settings), command)

    # As a large grid: off the event loop.
    return await asyncio.to_thread(lambda: or_too_large(picture))
