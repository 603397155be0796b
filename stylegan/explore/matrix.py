"""A matrix of style mixing (Figure 3): its tiles, and the file of `stylegan-sample mixing`."""

import asyncio
import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import click

from stylegan.explore.jobs import or_too_large
from stylegan.explore.sheets import parse_seeds, seed_words
from stylegan.explore.studio import Studio
from stylegan.explore.tiles import Tile
from stylegan.explore.widgets import LAST_SEED
from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator, check_fits
from stylegan.sample.figures import latents_of, mixing_cells, mixing_table
from stylegan.sample.layers import Layers, parse_layers, range_word, style_layers
from stylegan.sample.options import read_words
from stylegan.sample.recipe import CUTOFF, Mix, Recipe
from stylegan.sample.settings import Mixing
from stylegan_eval.engine.options import Parsed, options_of
from stylegan_eval.errors import UserError

PARTS = ("coarse", "middle", "fine")
ROWS = "rows"  # layers that are others in each row: coarse ones above, fine ones below
MOST_SOURCES, MOST_DESTINATIONS = 8, 10
_LOOK = ("psi", "number")  # fields of a recipe that all have in common


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Destinations, a row each, that take styles of sources, a column each."""

    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    layers: Layers  # Whose styles are taken: one of `PARTS`, numbers, or `ROWS`
    look: Recipe  # Psi and class of all; its seed is that of none

    @classmethod
    def parse(cls, words: str | Sequence[str], subject: OpenedGenerator) -> "Matrix":
        """Read what `words` gives; UserError for what cannot be drawn."""
        params = [
            click.Option(["--sources"], required=True),
            click.Option(["--destinations"], required=True),
            click.Option(["--layers"], type=Parsed("layers", read_layers), default=PARTS[0]),
            *(option for option in options_of(Recipe) if option.name in _LOOK),
        ]
        given = read_words("matrix", words, params).params
        layers = given["layers"]
        matrix = cls(
            sources=read_seeds(given["sources"], MOST_SOURCES),
            destinations=read_seeds(given["destinations"], MOST_DESTINATIONS),
            layers=layers if layers in (*PARTS, ROWS) else style_layers(layers, subject.num_layers),
            look=Recipe(**{name: given[name] for name in _LOOK}),
        )
        for tile in matrix.tiles(subject.num_layers):
            check_fits(tile.recipe, subject)
        return matrix

    def words(self) -> list[str]:
        """Words that `parse` reads."""
        return self._options(_word(self.layers))

    def _options(self, layers: str) -> list[str]:
        """Options of `stylegan-sample mixing`, but for the cutoff that recipes have."""
        words = ["--sources", seed_words(self.sources)]
        words += ["--destinations", seed_words(self.destinations)]
        return [*words, "--layers", layers, *self.look.words()[2:]]

    @property
    def of_rows(self) -> tuple[Layers, ...]:
        """Layers of each row."""
        count = len(self.destinations)
        return part_rows(count) if self.layers == ROWS else (self.layers,) * count

    @property
    def address(self) -> str:
        """Address of its file."""
        return "matrix?" + urlencode({"mixing": shlex.join(self.words())})

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"mixing-{_word(self.layers)}.png"

    def command(self, studio: Studio) -> str:
        """Command that writes the same file."""
        cutoff = ["--cutoff", str(CUTOFF)] if self.look.psi != 1 else []
        start = studio.source.start("mixing")
        layers = ",".join(map(_word, self.of_rows if self.layers == ROWS else [self.layers]))
        return shlex.join([*start, *self._options(layers), *cutoff, self.file_name])

    def tiles(self, num_layers: int) -> list[Tile]:
        """Its images row by row, the first of which are the sources."""
        sources = [(seed, replace(self.look, seed=seed)) for seed in self.sources]
        tiles = [
            Tile(key=f"column {seed}", recipe=recipe, text=str(seed)) for seed, recipe in sources
        ]
        for row, part in zip(self.destinations, self.of_rows, strict=True):
            layers = style_layers(part, num_layers)
            if not layers:
                raise UserError(f"--layers: expected one or more of layers 0 to {num_layers - 1}")
            recipe = replace(self.look, seed=row)
            text = f"{row} {part}" if self.layers == ROWS else str(row)
            tiles.append(Tile(key=f"row {row}", recipe=recipe, text=text))
            mixes = [Mix(seed=seed, first=layers[0], last=layers[-1]) for seed in self.sources]
            tiles += [
                Tile(key=f"row {row}, column {mix.seed}", recipe=replace(recipe, mix=mix))
                for mix in mixes
            ]
        return tiles


def part_rows(count: int) -> tuple[str, ...]:
    """Parts that each of so many rows takes, in about the shares of Figure 3, which are 3, 2 and 1.

    >>> part_rows(6)
    ('coarse', 'coarse', 'coarse', 'middle', 'middle', 'fine')
    >>> part_rows(3), part_rows(1)
    (('coarse', 'middle', 'fine'), ('coarse',))
    """
    if count < len(PARTS):
        return PARTS[:count]
    fine, middle = math.ceil(count / 6), round(count / 3)
    coarse, middle_part, fine_part = PARTS
    return (
        *(coarse,) * (count - middle - fine),
        *(middle_part,) * middle,
        *(fine_part,) * fine,
    )


def read_layers(text: str) -> Layers:
    """Read `ROWS`, or layers; ValueError where it is neither."""
    return text if text == ROWS else parse_layers(text)


def _word(layers: Layers) -> str:
    return layers if isinstance(layers, str) else range_word(layers)


def read_seeds(text: str, most: int) -> tuple[int, ...]:
    """Read seeds such as 0-4 or 9,3,7, each once; UserError where they are none or too many."""
    seeds = tuple(dict.fromkeys(parse_seeds(text)))
    if len(seeds) > most:
        raise UserError(f"{len(seeds)} seeds: expected {most} at most")
    if max(seeds) > LAST_SEED:
        raise UserError(f"{max(seeds)} is too large: seeds are 0 to {LAST_SEED} here")
    return seeds


async def matrix_file(matrix: Matrix, studio: Studio) -> bytes:
    """Bytes of its file; UserError where memory is too small."""
    painter, look = studio.painter_of(matrix.look), matrix.look
    settings = Mixing(layers=matrix.of_rows, psi=look.psi, cutoff=CUTOFF)
    sources, destinations = (
        latents_of(seeds, painter.network.z_dim, "grid")
        for seeds in (matrix.sources, matrix.destinations)
    )
    cells = await studio.each(mixing_cells(painter, sources, destinations, settings))
    command = matrix.command(studio)

    def picture() -> bytes:
        return png_of(mixing_table(cells, len(sources), settings), command)

    # As a large grid: off the event loop.
    return await asyncio.to_thread(or_too_large, picture)
