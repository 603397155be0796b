"""`stylegan-sample figure`: the figures of the paper."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylegan.draw import options
from stylegan.figures import words
from stylegan.figures.layers import Layers
from stylegan.figures.settings import (
    DESTINATIONS,
    SOURCES,
    Mixing,
    NoiseComponents,
    NoiseDetail,
    Truncation,
    Uncurated,
)
from stylegan_eval.command import ErrorLineCommand
from stylegan_eval.option_types import PSI, SEED

if TYPE_CHECKING:
    from stylegan.draw.painter import Painter
    from stylegan.figures.canvas import Pixels

Box = tuple[int, int, int, int]
_NUMBERS = words.CommaList(PSI)


@click.group("figure", context_settings={"show_default": True})
def figure_command() -> None:
    """Draw a figure of the paper from any generator.

    Seeds and latents are the official ones, so that an official network gives the official
    picture; layers and parts of images are scaled to other resolutions (docs/figures.md).

    \b
    stylegan-sample figure 3 --ckpt demo mixing.png
    """


def paint(
    source: options.Source, out: Path, images: int, draw: "Callable[[Painter], Pixels]"
) -> None:
    """Draw a picture of so many images, with progress, and write it as PNG."""
    from stylegan.draw.painter import open_painter
    from stylegan.grid import save_png
    from stylegan_eval.files import check_writable
    from stylegan_eval.progress import progress_bar

    check_writable(out)
    with progress_bar(desc="draw", total=images, unit="img") as bar:
        picture = draw(open_painter(source, bar.update))
    save_png(out, picture)
    click.echo(out)


@figure_command.command("2", cls=ErrorLineCommand)
@options.source
@click.option("--seed", type=SEED, default=Uncurated.seed, help="Seed of all latents.")
@click.option("--rows", type=click.IntRange(min=1), default=Uncurated.rows, help="Of full size.")
@click.option(
    "--lods",
    type=words.CommaList(click.IntRange(0, 10)),
    default=words.with_commas(Uncurated.lods),
    help="Halvings of the images of each column.",
)
@click.option("--psi", type=PSI, default=Uncurated.psi, help="Truncation; 1 is none.")
@click.option(
    "--cutoff",
    type=click.IntRange(min=0),
    default=Uncurated.cutoff,
    help="Layers that truncation touches.",
)
@words.crop_option("the whole image")
@words.noise_seed
@options.out_png
def figure_2(
    source: options.Source,
    seed: int,
    rows: int,
    lods: tuple[int, ...],
    psi: float,
    cutoff: int,
    crop: Box | None,
    noise_seed: int,
    out: Path,
) -> None:
    """Uncurated images, in columns of shrinking size (also Figures 10 to 12)."""
    from stylegan.figures.uncurated import draw_uncurated

    settings = Uncurated(
        seed=seed, rows=rows, lods=lods, psi=psi, cutoff=cutoff, crop=crop, noise_seed=noise_seed
    )
    paint(source, out, settings.images, lambda painter: draw_uncurated(painter, settings))


@figure_command.command("3", cls=ErrorLineCommand)
@options.source
@words.seeds_option("--sources", SOURCES, "Columns, whose styles are taken.")
@words.seeds_option("--destinations", DESTINATIONS, "Rows, which take them.")
@words.layers_option(Mixing.ranges, "Layers taken in each row, or in all.")
@click.option("--psi", type=PSI, default=Mixing.psi, help="Truncation of all layers; 1 is none.")
@options.out_png
def figure_3(
    source: options.Source,
    sources: list[int],
    destinations: list[int],
    layers: tuple[Layers, ...],
    psi: float,
    out: Path,
) -> None:
    """Style mixing: coarse, middle or fine styles of the sources in the destinations."""
    from stylegan.figures.latents import official_latents
    from stylegan.figures.mixing import draw_mixing

    def draw(painter: "Painter") -> "Pixels":
        src, dst = (official_latents(s, painter.network.z_dim) for s in (sources, destinations))
        return draw_mixing(painter, src, dst, Mixing(ranges=layers, psi=psi))

    S, D = len(sources), len(destinations)
    paint(source, out, S + D + S * D, draw)


@figure_command.command("4", cls=ErrorLineCommand)
@options.source
@words.seeds_option("--seeds", NoiseDetail.seeds, "A row each.")
@click.option(
    "--count",
    type=click.IntRange(min=5),
    default=NoiseDetail.count,
    help="Realisations of noise that the deviation is over.",
)
@click.option("--psi", type=PSI, default=NoiseDetail.psi, help="Truncation of all layers.")
@words.crop_option("650,180,256,256 of 1024x1024, scaled")
@words.noise_seed
@options.out_png
def figure_4(
    source: options.Source,
    seeds: list[int],
    count: int,
    psi: float,
    crop: Box | None,
    noise_seed: int,
    out: Path,
) -> None:
    """Noise detail: an image, a part of it with other noise, the deviation of each pixel."""
    from stylegan.figures.noise_detail import draw_noise_detail

    settings = NoiseDetail(
        seeds=tuple(seeds), count=count, psi=psi, crop=crop, noise_seed=noise_seed
    )
    paint(source, out, settings.images, lambda painter: draw_noise_detail(painter, settings))


@figure_command.command("5", cls=ErrorLineCommand)
@options.source
@words.seeds_option("--seeds", NoiseComponents.seeds, "A column each.")
@words.seeds_option("--mirrored", NoiseComponents.mirrored, "Those of them flipped left to right.")
@words.layers_option(NoiseComponents.ranges, "Layers with noise, in each of 4 halves.")
@click.option("--psi", type=PSI, default=NoiseComponents.psi, help="Truncation of all layers.")
@options.out_png
def figure_5(
    source: options.Source,
    seeds: list[int],
    mirrored: list[int],
    layers: tuple[Layers, ...],
    psi: float,
    out: Path,
) -> None:
    """Noise components: noise in all layers, in none, in fine and in coarse ones."""
    from stylegan.figures.noise_components import draw_noise_components

    settings = NoiseComponents(seeds=tuple(seeds), mirrored=tuple(mirrored), ranges=layers, psi=psi)
    paint(source, out, settings.images, lambda painter: draw_noise_components(painter, settings))


@figure_command.command("8", cls=ErrorLineCommand)
@options.source
@words.seeds_option("--seeds", Truncation.seeds, "A row each.")
@click.option(
    "--psis", type=_NUMBERS, default=words.with_commas(Truncation.psis), help="A column each."
)
@options.out_png
def figure_8(source: options.Source, seeds: list[int], psis: tuple[float, ...], out: Path) -> None:
    """Truncation: from an image through the average of W to its opposite."""
    from stylegan.figures.truncation import draw_truncation

    settings = Truncation(seeds=tuple(seeds), psis=psis)
    paint(source, out, settings.images, lambda painter: draw_truncation(painter, settings))
