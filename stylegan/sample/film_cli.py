"""The command interpolate: films from seed to seed, class to class, w to w, recipe to recipe."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan.sample import options
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan.sample.settings import Film
from stylegan_eval.engine.command import ErrorLineCommand, refuse_typed
from stylegan_eval.engine.options import Parsed, SeedRange, options_of
from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    from stylegan.sample.canvas import Pixels

EXTENSIONS = (".mp4", ".gif", ".apng", ".png")
# What each recipe says for itself.
_OF_RECIPES = ("strands", "saved", "classes", "number", "seeding", "psi", "cutoff", "noise")


# A recipe, and the file of a w with its row, which may take the place of its seed.
RecipeOption = tuple[Recipe, tuple[Path, int] | None]


def parse_option(text: str) -> RecipeOption:
    """Read '--seed 5 --psi 0.7' or '--ws FILE --row 2'; ValueError where it is neither."""
    file = click.Option(["--ws", "file"], type=click.Path(path_type=Path))
    row = click.Option(["--row"], type=click.IntRange(min=0), default=0)
    try:
        words = shlex.split(text)
        context = options.read_words("recipe", words, [*options_of(Recipe), file, row])
        values = context.params
        origin, row_number = values.pop("file"), values.pop("row")
        with context.scope():
            recipe = options.recipe_of(values, saved=bool(origin))
    except (UserError, ValueError, click.UsageError) as error:
        raise ValueError(f"{text!r:.100}: {error}") from error
    return recipe, (origin, row_number) if origin else None


def check_extension(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    """Check that a film's kind is known: the callback of an argument."""
    if value.suffix.lower() not in EXTENSIONS:
        message = f"{value} is no film that can be written: expected {', '.join(EXTENSIONS)}"
        raise click.BadParameter(message, ctx, param)
    return value


def key_frames(strands: Sequence[list[int]], classes: int) -> Sequence[list[int]]:
    """Seeds of each strand's key frames, as many in all: two or more, or one for each class."""
    counts = {len(seeds) for seeds in strands}
    if classes and counts <= {1, classes}:
        return [seeds * (classes // len(seeds)) for seeds in strands or ([0],)]
    if classes or len(counts) > 1 or (strands and min(counts) < 2):
        numbers = ", ".join(str(len(seeds)) for seeds in strands)
        expected = "two or more, and as many each time"
        if classes:
            expected = f"one, or one for each of {classes} classes"
        raise click.BadParameter(f"{numbers} seeds: expected {expected}", param_hint="--seeds")
    return strands or (list(range(6)),)


def _refuse_two_sources(
    recipes: Sequence[RecipeOption], saved: Sequence[Path], settings: Film
) -> None:
    """Refuse options that say twice what the key frames are, and those without effect."""
    if recipes:
        options.refuse_beside("--recipe", *_OF_RECIPES, "noise_seed")
    elif saved:
        options.refuse_beside("--ws", "strands", "number", "seeding", "classes")
    if (recipes or saved) and settings.space == "z":
        option = "--recipe" if recipes else "--ws"
        raise click.UsageError(f"{option} goes through W: leave out --space z")
    if not any(recipe.moves for recipe, _ in recipes):
        refuse_typed(("directions",), "is for moves of --recipe: leave it out without --move")
    options.check_noise(settings.noise)
    options.check_cutoff(settings.psi)


@click.command("interpolate", cls=ErrorLineCommand)
@options.source
@click.option(
    "--seeds",
    "strands",
    type=SeedRange(),
    multiple=True,
    help="Key frames, two or more; with --classes one or as many. Given several times, films run"
    " side by side.  [default: 0-5; 0 with --classes]",
)
@options.ws("Instead of --seeds: key frames from FILE")
@options.classes
@click.option(
    "--recipe",
    "recipes",
    type=Parsed("recipe", parse_option),
    multiple=True,
    metavar="'OPTIONS'",
    help="Instead of --seeds: a key frame, by options of `image`: --seed or --ws (and --row),"
    " --psi, --cutoff, --class, --mix, --move, --noise. Two or more, with the same noise.",
)
@options.directions_option
@click.argument("out", type=click.Path(path_type=Path), callback=check_extension)
def interpolate_command(
    source: GeneratorSource,
    recipes: tuple[RecipeOption, ...],
    directions: Path | None,
    out: Path,
    **values: Any,
) -> None:
    """Write a film from seed to seed, or from w to w, to OUT: .mp4, .gif, .apng or .png (animated).

    MP4 needs the extra `video`. Alpha of RGBA networks is kept in .apng and .png, and put over
    white in the others. With --classes the film goes from class to class.

    \b
    stylegan-sample interpolate --ckpt runs/pets --classes cat,dog,fox --loop pets.gif
    stylegan-sample interpolate --ckpt demo --recipe '--seed 5 --psi 0.7' \\
        --recipe '--seed 9 --mix 8:4-7 --move smiling=2' film.mp4

    Between recipes it goes along lines of W, from what each draws from: truncated, mixed and moved.
    """
    from stylegan.sample.film import check_video, write_video
    from stylegan_eval.engine.progress import follow

    strands, saved, classes = (values.pop(name) for name in ("strands", "saved", "classes"))
    settings = Film(**values)
    _refuse_two_sources(recipes, saved, settings)
    options.check_classes(classes, source)
    strands = strands if classes else key_frames(strands, 0)
    check_video(out, settings.fps)
    if recipes:
        total, frames = of_recipes(recipes, source, directions, settings)
    else:
        total, frames = of_strands(strands, saved, classes, source, settings)
    seen = follow(frames, "film", total, unit="frame")
    command = options.command_line()
    write_video(out, seen, fps=settings.fps, loop=settings.loop, command=command)
    click.echo(out)


options.add_settings(interpolate_command, Film)


def of_strands(
    strands: Sequence[list[int]],
    saved: Sequence[Path],
    classes: Sequence[int | str] | None,
    source: GeneratorSource,
    settings: Film,
) -> "tuple[int, Iterator[Pixels]]":
    """How many frames there are between seeds, classes or saved ws, and these frames."""
    from stylegan.sample.film import film, frame_count
    from stylegan.sample.painter import class_numbers, open_painter

    painter, numbers = open_painter(source), None
    if classes:
        numbers = class_numbers(classes, painter, source.ckpt)
        if len(numbers) < 2:
            raise click.BadParameter("expected two classes or more", param_hint="--classes")
        strands = key_frames(strands, len(numbers))
    keys = [painter.read_ws(saved)] if saved else strands
    if len(keys[0]) < 2:
        raise UserError(f"{saved[0]} holds one w: name two or more key frames, --ws FILE for each")
    total = frame_count(len(keys[0]), settings.frames, loop=settings.loop)
    return total, film(painter, keys, settings, numbers)


def of_recipes(
    recipes: Sequence[RecipeOption],
    source: GeneratorSource,
    directions: Path | None,
    settings: Film,
) -> "tuple[int, Iterator[Pixels]]":
    """How many frames there are between recipes, and these frames."""
    from stylegan.sample.drawing import noise_of, open_source, saved_ws
    from stylegan.sample.film import check_recipes, frames_along, path_through, positions

    check_recipes([recipe for recipe, _ in recipes])
    moves = any(recipe.moves for recipe, _ in recipes)
    subject = open_source(replace(source, directions=directions), moves=moves)
    subject.painter.batch = source.batch
    if source.lod is not None:
        subject.painter.lod = source.lod
    keys = [(recipe, saved_ws(subject, *origin) if origin else None) for recipe, origin in recipes]
    places = positions(len(keys), settings.frames, loop=settings.loop)
    noise = noise_of(keys[0][0], subject)
    path = path_through(keys, subject)
    return len(places), frames_along([path], places, subject.painter, noise, settings.scale)
