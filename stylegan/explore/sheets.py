"""Files of many samples: a grid and a zip, equal to what `stylegan-sample` writes."""

import asyncio
import io
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import urlencode
from zipfile import ZipFile, ZipInfo

import click

from stylegan.explore.jobs import or_too_large
from stylegan.explore.studio import Studio
from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator, check_fits
from stylegan.sample.folder import drawn_seeds, laid_out, seed_files
from stylegan.sample.recipe import Recipe
from stylegan_eval.engine.options import SeedRange
from stylegan_eval.errors import UserError

Kind = Literal["grid", "zip"]
MOST = 100  # images of a file
COLUMNS = 6  # of a grid
_OLDEST = (1980, 1, 1, 0, 0, 0)  # time of all files in a zip, which has to have one


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Samples of several seeds, ascending, that have psi and class of a recipe in common."""

    seeds: Sequence[int]
    look: Recipe  # Its seed is that of none

    @classmethod
    def parse(cls, seeds: str, look: Recipe, subject: OpenedGenerator) -> "Sheet":
        """Read seeds such as 0-3,7; UserError for what cannot be drawn."""
        numbers = sorted(set(parse_seeds(seeds)))
        if len(numbers) > MOST:
            raise UserError(f"{len(numbers)} images: a sheet holds {MOST} at most")
        plain = Recipe(seed=look.seed, psi=look.psi, number=look.number)
        if look != plain:
            raise UserError("a sheet has --psi and --class alone: draw others one by one")
        check_fits(look, subject)
        return cls(seeds=numbers, look=look)

    @property
    def name(self) -> str:
        """Name of its files, without their endings."""
        first, last, count = self.seeds[0], self.seeds[-1], len(self.seeds)
        if last - first == count - 1:
            return f"seeds-{first}-{last}" if count > 1 else f"seed-{first}"
        return f"seeds-{first}-and-{count - 1}-more"

    @property
    def columns(self) -> int:
        """Columns of its grid."""
        return min(len(self.seeds), COLUMNS)

    def address(self, kind: Kind) -> str:
        """Address of a file."""
        look = shlex.join(self.look.words()[2:])
        return f"{kind}?" + urlencode({"seeds": seed_words(self.seeds), "recipe": look})

    def file_name(self, kind: Kind) -> str:
        """Name of a file."""
        return self.name + {"grid": ".png", "zip": ".zip"}[kind]

    def command(self, kind: Kind, studio: Studio) -> str:
        """Command that writes the same grid; or the same files, into a folder."""
        seeds, look = ["--seeds", seed_words(self.seeds)], self.look.effective.words()[2:]
        if kind == "zip":
            return shlex.join([*studio.source.start("images"), *seeds, *look, "--out", self.name])
        columns = ["--columns", str(self.columns)]
        start = studio.source.start("grid")
        return shlex.join([*start, *seeds, *columns, *look, self.file_name(kind)])


def parse_seeds(text: str) -> list[int]:
    """Read seeds such as 0-4 or 9,3,7."""
    try:
        return SeedRange().convert(text, None, None)
    except click.UsageError as error:
        raise UserError(error.message) from error


def seed_words(seeds: Sequence[int]) -> str:
    """Seeds as --seeds takes them, in their order.

    >>> seed_words([0, 1, 2, 7, 9, 10]), seed_words([9, 3, 4])
    ('0-2,7,9-10', '9,3-4')
    """
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in runs)


async def content(kind: Kind, sheet: Sheet, studio: Studio) -> bytes:
    """Bytes of a file; UserError where memory is too small."""
    look = sheet.look
    if kind == "zip":
        each = seed_files(studio.subject, studio.source, look, sheet.seeds, studio.network)
        files = await studio.each(each)
        return await asyncio.to_thread(or_too_large, partial(_zipped, files))
    painter = studio.painter_of(look)
    cells = drawn_seeds(painter, sheet.seeds, psi=look.psi, cutoff=look.cutoff, noise=look.noise)
    drawn, command = await studio.each(cells), sheet.command(kind, studio)

    def picture() -> bytes:
        return png_of(laid_out(drawn, sheet.columns), command)

    # A large one takes a minute, in which the event loop serves others.
    return await asyncio.to_thread(or_too_large, picture)


def _zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:  # stored: PNGs are compressed
        for name, data in files:
            entry = ZipInfo(name, _OLDEST)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()
