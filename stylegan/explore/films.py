"""A film from image to image: its words, its preview, and the file of `stylegan-sample`."""

import shlex
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import click

from stylegan.explore.jobs import Job, Rank
from stylegan.explore.studio import Studio
from stylegan.explore.uploads import typed_words
from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator, noise_of
from stylegan.sample.film import (
    LinePath,
    Position,
    check_recipes,
    frame_count,
    frames_along,
    path_through,
    positions,
    write_video,
)
from stylegan.sample.options import read_words
from stylegan.sample.recipe import GeneratorSource, Recipe, number_word
from stylegan.sample.settings import Film
from stylegan_eval.engine.options import Number
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import size_text

KINDS = ("mp4", "gif", "apng")
MOST = 24  # key frames
SECONDS, FPS = (0.2, 10.0), (5, 60)  # the least and the most
PREVIEW = 8  # frames of a preview from one key frame to the next
_HELD = 256 << 20  # bytes of all frames, which a GIF and an APNG hold until all are there
_BATCH = 1 << 20  # pixels that are drawn in one turn: others wait for its end


@dataclass(frozen=True, kw_only=True)
class KeptFilm:
    """Recipes in their order, and how the film goes from one to the next."""

    recipes: tuple[Recipe, ...] = ()
    seconds: float = 2.0  # From one to the next
    fps: int = int(Film.fps)
    loop: bool = False
    kind: str = KINDS[0]

    def words(self) -> list[str]:
        """Words that `film_of` reads."""
        words = [word for recipe in self.recipes for word in ("--recipe", str(recipe))]
        words += ["--seconds", number_word(self.seconds), "--fps", str(self.fps)]
        return [*words, *(["--loop"] if self.loop else []), "--kind", self.kind]

    @property
    def frames(self) -> int:
        """Frames from one key frame to the next."""
        return max(1, round(self.seconds * self.fps))

    @property
    def total(self) -> int:
        """Frames of all."""
        return frame_count(len(self.recipes), self.frames, loop=self.loop) if self.recipes else 0

    @property
    def file_name(self) -> str:
        """Name of its file."""
        return f"film.{self.kind}"

    @property
    def path(self) -> "KeptFilm":
        """The film without length and format: all that the frames of its preview depend on."""
        return KeptFilm(recipes=self.recipes, loop=self.loop)

    def command(self, studio: Studio) -> str:
        """Command that writes the same file."""
        words = studio.source.start("interpolate", moves=any(each.moves for each in self.recipes))
        for recipe in self.recipes:
            words += ["--recipe", shlex.join(typed_words(recipe))]
        words += ["--frames", str(self.frames), "--fps", str(self.fps)]
        words += ["--loop"] if self.loop else []
        batch = batch_of(studio.subject)
        words += [] if batch == GeneratorSource.batch else ["--batch", str(batch)]
        return shlex.join([*words, self.file_name])

    def check(self, studio: Studio) -> None:
        """Refuse what is no film, or a film that memory is too small for."""
        if len(self.recipes) < 2:
            raise UserError("a film needs two images or more: keep another one in the view Image")
        check_recipes(self.recipes)
        network = studio.subject.painter.network
        size = self.total * network.resolution**2 * network.config.num_channels
        if self.kind != KINDS[0] and size > _HELD:
            raise UserError(
                f"{self.total} frames of this {self.kind.upper()} take {size_text(size)} of memory,"
                f" and {size_text(_HELD)} is allowed: choose MP4, or fewer frames"
            )


async def film_of(words: str, studio: Studio) -> KeptFilm:
    """The film of an address; UserError where it cannot be drawn."""
    params = [
        click.Option(["--recipe"], multiple=True),
        click.Option(["--seconds"], type=Number(*SECONDS), default=KeptFilm.seconds),
        click.Option(["--fps"], type=click.IntRange(*FPS), default=KeptFilm.fps),
        click.Option(["--loop"], is_flag=True),
        click.Option(["--kind"], type=click.Choice(KINDS), default=KINDS[0]),
    ]
    given = read_words("film", words, params).params
    recipes = given.pop("recipe")
    if len(recipes) > MOST:
        raise UserError(f"{len(recipes)} images: a film has {MOST} at most")
    read = [await studio.recipe_of(each) for each in recipes]
    return KeptFilm(recipes=tuple(dict.fromkeys(read)), **given)


def batch_of(subject: OpenedGenerator) -> int:
    """Frames that are drawn in one turn."""
    return max(1, min(GeneratorSource.batch, _BATCH // subject.painter.network.resolution**2))


def _path(recipes: Sequence[Recipe], studio: Studio) -> LinePath:
    return path_through([(each, studio.start_of(each)) for each in recipes], studio.subject)


def preview_count(film: KeptFilm) -> int:
    """Frames of a preview."""
    return frame_count(len(film.recipes), PREVIEW, loop=film.loop)


def preview_address(film: KeptFilm) -> str:
    """Address of a frame of a preview, but for its number."""
    return "frame?" + urlencode({"film": shlex.join(film.path.words())}) + "&number="


async def preview_frame(film: KeptFilm, number: int, studio: Studio) -> bytes:
    """A frame of a preview as PNG, drawn by itself; UserError where there is none."""
    check_recipes(film.recipes)
    places = positions(len(film.recipes), PREVIEW, loop=film.loop)
    if not 0 <= number < len(places):
        raise UserError(f"frame {number}: the preview has frames 0 to {len(places) - 1}")

    def draw() -> bytes:
        # The two key frames are mapped for each frame, which takes less than a tenth of its time.
        start, end, t = places[number]
        path = _path([film.recipes[start], film.recipes[end]], studio)
        place = [Position(start=0, end=1, t=t)]
        noise = noise_of(film.recipes[0], studio.subject)
        painter = studio.subject.painter
        return png_of(next(frames_along([path], place, painter, noise, 1)), "")

    return await studio.compute(draw, Rank.SHEET)


async def write_film(film: KeptFilm, studio: Studio, job: Job) -> str:
    """Key of a film's file; CancelledError, or UserError where it cannot be written."""
    film.check(studio)
    painter = copy(studio.subject.painter)
    painter.batch = batch_of(studio.subject)
    subject = replace(studio.subject, painter=painter)
    path = await studio.compute(partial(_path, film.recipes, studio))
    places = positions(len(film.recipes), film.frames, loop=film.loop)
    frames = frames_along([path], places, painter, noise_of(film.recipes[0], subject), 1)
    command = film.command(studio)

    def write(file: Path) -> None:
        seen = job.watched(studio.in_turn(frames))
        write_video(file, seen, fps=float(film.fps), loop=film.loop, command=command)

    return await studio.filmer.write(film.kind, write, job)
