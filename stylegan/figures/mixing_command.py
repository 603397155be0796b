"""`stylegan-sample mixing`: a table of style mixing."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylegan.draw import options
from stylegan.figures import words
from stylegan.figures.figure_command import paint
from stylegan.figures.layers import Layers
from stylegan.figures.settings import LAYOUTS
from stylegan_eval.command import ErrorLineCommand
from stylegan_eval.option_types import PSI

if TYPE_CHECKING:
    from stylegan.draw.painter import Painter
    from stylegan.figures.canvas import Pixels


@click.command("mixing", cls=ErrorLineCommand)
@options.source
@words.seeds_option("--sources", tuple(range(5)), "Columns, whose styles are taken.")
@words.seeds_option("--destinations", tuple(range(5, 8)), "Rows, which take them.")
@click.option(
    "--layers",
    type=words.CommaList(words.LayerRange()),
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
    help="Layers that truncation touches.  [default: all]",
)
@click.option(
    "--noise",
    type=click.Choice(options.NOISE),
    help="Noise inputs.  [default: fixed; random with --layout rosinality]",
)
@words.noise_seed
@words.seeding
@options.out_png
def mixing_command(
    source: options.Source,
    sources: list[int],
    destinations: list[int],
    layers: tuple[Layers, ...] | None,
    layout: str,
    psi: float | None,
    cutoff: int | None,
    noise: str | None,
    noise_seed: int,
    seeding: str,
    out: Path,
) -> None:
    """Write a table of style mixing to the PNG file OUT.

    Sources stand along the top, destinations down the left side; each cell is its destination with
    the styles of its source in some layers.
    """
    from dataclasses import replace

    from stylegan.figures.latents import latents_of
    from stylegan.figures.mixing import draw_mixing

    rule = LAYOUTS[layout]
    settings = replace(
        rule,
        ranges=layers or rule.ranges,
        psi=rule.psi if psi is None else psi,
        cutoff=cutoff,
        noise=noise or rule.noise,
        noise_seed=noise_seed,
    )

    def draw(painter: "Painter") -> "Pixels":
        z_dim = painter.network.z_dim
        src, dst = (latents_of(seeds, z_dim, seeding) for seeds in (sources, destinations))
        return draw_mixing(painter, src, dst, settings)

    S, D = len(sources), len(destinations)
    paint(source, out, S + D + S * D, draw)
