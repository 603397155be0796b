"""The commands figure, mixing and interpolate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan.sample import options
from stylegan.sample.layers import Layers
from stylegan.sample.recipe import NOISE, GeneratorSource, Noise
from stylegan.sample.settings import (
    LAYOUTS,
    Film,
    Headings,
    Mixing,
    NoiseComponents,
    NoiseDetail,
    Truncation,
    Uncurated,
)
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.options import PSI, SeedRange

if TYPE_CHECKING:
    from stylegan.sample.canvas import Pixels
    from stylegan.sample.painter import Painter

EXTENSIONS = (".mp4", ".gif", ".apng", ".png")
FIGURES: dict[str, type[Any]] = {
    "2": Uncurated,
    "3": Mixing,
    "4": NoiseDetail,
    "5": NoiseComponents,
    "8": Truncation,
}


@click.group("figure", context_settings={"show_default": True})
def figure_command() -> None:
    """Draw a figure of the paper from any generator.

    Seeds and latents are the official ones, so that an official network gives the official
    picture; layers and parts of images are scaled to other resolutions (docs/figures.md).

    \b
    stylegan-sample figure 3 --ckpt demo mixing.png
    """


def paint(
    source: GeneratorSource,
    out: Path,
    images: int,
    draw: "Callable[[Painter], Pixels]",
    *,
    scale: int,
    headings: Headings = ([], []),
) -> None:
    """Draw a picture of so many images, with progress, and write it as PNG."""
    from stylegan.png import save_png
    from stylegan.sample.canvas import framed
    from stylegan.sample.painter import open_painter
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.engine.progress import progress_bar

    check_writable(out)
    with progress_bar(desc="draw", total=images, unit="img") as bar:
        picture = draw(open_painter(source, bar.update))
    save_png(out, framed(picture, *headings, scale), options.command_line())
    click.echo(out)


def _add_figure(number: str, kind: type[Any]) -> None:
    """Add the command of a figure; its options are the settings of its kind."""

    @figure_command.command(number, cls=ErrorLineCommand, help=kind.__doc__)
    @options.source
    @options.scale
    @options.out_png
    def command(source: GeneratorSource, out: Path, scale: int, **values: Any) -> None:
        from stylegan.sample.figures import DRAW

        labels = values.pop("labels", False)
        settings = kind(**values)
        paint(
            source,
            out,
            settings.images,
            lambda painter: DRAW[kind](painter, settings),
            scale=scale,
            headings=settings.headings if labels else ([], []),
        )

    if hasattr(kind, "headings"):
        options.labels(command)
    options.add_settings(command, kind)


for _number, _kind in FIGURES.items():
    _add_figure(_number, _kind)


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
@click.argument("out", type=click.Path(path_type=Path), callback=check_extension)
def interpolate_command(
    source: GeneratorSource,
    strands: Sequence[list[int]],
    saved: tuple[Path, ...],
    classes: tuple[int | str, ...] | None,
    out: Path,
    **values: Any,
) -> None:
    """Write a film from seed to seed, or from w to w, to OUT: .mp4, .gif, .apng or .png (animated).

    MP4 needs the extra `video`. Alpha of RGBA networks is kept in .apng and .png, and put over
    white in the others. With --classes the film goes from class to class.

    \b
    stylegan-sample interpolate --ckpt runs/pets --classes cat,dog,fox --loop pets.gif
    """
    from stylegan.sample.film import check_video, film, frame_count, write_video
    from stylegan.sample.painter import class_numbers, open_painter
    from stylegan_eval.engine.progress import follow
    from stylegan_eval.errors import UserError

    settings = Film(**values)
    if saved:
        options.refuse_beside_ws("strands", "number", "seeding", "classes")
        if settings.space == "z":
            raise click.UsageError("--ws goes through W: leave out --space z")
    options.check_classes(classes, source)
    strands = strands if classes else key_frames(strands, 0)
    check_video(out, settings.fps)
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
    seen = follow(film(painter, keys, settings, numbers), "film", total, unit="frame")
    command = options.command_line()
    write_video(out, seen, fps=settings.fps, loop=settings.loop, command=command)
    click.echo(out)


options.add_settings(interpolate_command, Film)


@click.command("mixing", cls=ErrorLineCommand)
@options.source
@click.option(
    "--sources", type=SeedRange(), default="0,1,2,3,4", help="Columns, whose styles are taken."
)
@click.option("--destinations", type=SeedRange(), default="5,6,7", help="Rows, which take them.")
@click.option(
    "--layers",
    type=options.CommaList(options.LAYERS),
    help="Layers taken: coarse, middle, fine, all, none or 4-7; one, or one for each row."
    "  [default: coarse; 0-3 with --layout rosinality]",
)
@click.option(
    "--layout",
    type=click.Choice(tuple(LAYOUTS)),
    default="paper",
    help="As in Figure 3, or as sample_mixing of rosinality's generate.py.",
)
@click.option(
    "--psi",
    type=PSI,
    help="Truncation; 1 is none.  [default: 1; 0.7 with --layout rosinality]",
)
@click.option(
    "--cutoff",
    type=click.IntRange(min=0),
    help="Number of first layers that are truncated.  [default: all]",
)
@click.option(
    "--noise",
    type=click.Choice(NOISE),
    help="Noise inputs.  [default: fixed; random with --layout rosinality]",
)
@options.noise_seed
@options.seeding
@options.scale
@options.labels
@options.out_png
def mixing_command(
    source: GeneratorSource,
    sources: list[int],
    destinations: list[int],
    layers: tuple[Layers, ...] | None,
    layout: str,
    psi: float | None,
    cutoff: int | None,
    noise: Noise | None,
    noise_seed: int,
    seeding: options.Seeding,
    scale: int,
    labels: bool,
    out: Path,
) -> None:
    """Write a table of style mixing to the PNG file OUT.

    Sources stand along the top, destinations down the left side; each cell is its destination with
    the styles of its source in some layers.
    """
    from dataclasses import replace

    from stylegan.sample.figures import draw_table

    rule = LAYOUTS[layout]
    settings = replace(
        rule,
        sources=sources,
        destinations=destinations,
        layers=layers or rule.layers,
        psi=rule.psi if psi is None else psi,
        cutoff=cutoff,
        noise=noise or rule.noise,
        noise_seed=noise_seed,
    )

    def draw(painter: "Painter") -> "Pixels":
        return draw_table(painter, settings, seeding)

    headings = settings.headings if labels else ([], [])
    paint(source, out, settings.images, draw, scale=scale, headings=headings)
