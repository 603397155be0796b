"""The commands figure and mixing."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stylegan.sample import options
from stylegan.sample.recipe import NOISE, GeneratorSource
from stylegan.sample.settings import (
    LAYOUTS,
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
    settings: Any,
    draw: "Callable[[Painter, Any], Pixels]",
    *,
    scale: int,
    labels: bool,
) -> None:
    """Draw a picture by its settings, with progress, and write it as PNG."""
    from stylegan.png import save_png
    from stylegan.sample.canvas import framed
    from stylegan.sample.painter import open_painter
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.engine.progress import progress_bar

    check_writable(out)
    with progress_bar(desc="draw", total=settings.images, unit="img") as bar:
        picture = draw(open_painter(source, bar.update), settings)
    above, left = settings.headings if labels else ([], [])
    save_png(out, framed(picture, above, left, scale), options.command_line())
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
        options.check_cutoff(values.get("psi", 1))
        paint(source, out, kind(**values), DRAW[kind], scale=scale, labels=labels)

    if hasattr(kind, "headings"):
        options.labels(command)
    options.add_settings(command, kind)


for _number, _kind in FIGURES.items():
    _add_figure(_number, _kind)


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
    help="Truncation psi; 1 disables truncation.  [default: 1; 0.7 with --layout rosinality]",
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
    layout: str,
    seeding: options.Seeding,
    scale: int,
    labels: bool,
    out: Path,
    **values: Any,
) -> None:
    """Write a table of style mixing to the PNG file OUT.

    Sources stand along the top, destinations down the left side; each cell is its destination with
    the styles of its source in some layers.
    """
    from stylegan.sample.figures import draw_table

    given = {name: value for name, value in values.items() if value is not None}
    settings, draw = replace(LAYOUTS[layout], **given), partial(draw_table, seeding=seeding)
    options.check_noise(settings.noise)
    options.check_cutoff(settings.psi)
    paint(source, out, settings, draw, scale=scale, labels=labels)
