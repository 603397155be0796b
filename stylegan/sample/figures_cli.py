"""The commands figure, mixing and interpolate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylegan.sample import options
from stylegan.sample.layers import Layers
from stylegan.sample.recipe import Source
from stylegan.sample.settings import (
    DESTINATIONS,
    LAYOUTS,
    SOURCES,
    Film,
    Mixing,
    NoiseComponents,
    NoiseDetail,
    Truncation,
    Uncurated,
)
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.engine.options import PSI, SEED, Number, SeedRange

if TYPE_CHECKING:
    from stylegan.sample.canvas import Pixels
    from stylegan.sample.painter import Painter


Box = tuple[int, int, int, int]
_NUMBERS = options.CommaList(PSI)
EXTENSIONS = (".mp4", ".gif", ".apng", ".png")


@click.group("figure", context_settings={"show_default": True})
def figure_command() -> None:
    """Draw a figure of the paper from any generator.

    Seeds and latents are the official ones, so that an official network gives the official
    picture; layers and parts of images are scaled to other resolutions (docs/figures.md).

    \b
    stylegan-sample figure 3 --ckpt demo mixing.png
    """


def paint(source: Source, out: Path, images: int, draw: "Callable[[Painter], Pixels]") -> None:
    """Draw a picture of so many images, with progress, and write it as PNG."""
    from stylegan.png import save_png
    from stylegan.sample.painter import open_painter
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.engine.progress import progress_bar

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
    type=options.CommaList(click.IntRange(0, 10)),
    default=options.with_commas(Uncurated.lods),
    help="Halvings of the images of each column.",
)
@click.option("--psi", type=PSI, default=Uncurated.psi, help="Truncation; 1 is none.")
@click.option(
    "--cutoff",
    type=click.IntRange(min=0),
    default=Uncurated.cutoff,
    help="Layers that truncation touches.",
)
@options.crop_option("the whole image")
@options.noise_seed
@options.out_png
def figure_2(
    source: Source,
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
    from stylegan.sample.figures import draw_uncurated

    settings = Uncurated(
        seed=seed, rows=rows, lods=lods, psi=psi, cutoff=cutoff, crop=crop, noise_seed=noise_seed
    )
    paint(source, out, settings.images, lambda painter: draw_uncurated(painter, settings))


@figure_command.command("3", cls=ErrorLineCommand)
@options.source
@options.seeds_option("--sources", SOURCES, "Columns, whose styles are taken.")
@options.seeds_option("--destinations", DESTINATIONS, "Rows, which take them.")
@options.layers_option(Mixing.ranges, "Layers taken in each row, or in all.")
@click.option("--psi", type=PSI, default=Mixing.psi, help="Truncation of all layers; 1 is none.")
@options.out_png
def figure_3(
    source: Source,
    sources: list[int],
    destinations: list[int],
    layers: tuple[Layers, ...],
    psi: float,
    out: Path,
) -> None:
    """Style mixing: coarse, middle or fine styles of the sources in the destinations."""
    from stylegan.sample.figures import draw_mixing, official_latents

    def draw(painter: "Painter") -> "Pixels":
        src, dst = (official_latents(s, painter.network.z_dim) for s in (sources, destinations))
        return draw_mixing(painter, src, dst, Mixing(ranges=layers, psi=psi))

    S, D = len(sources), len(destinations)
    paint(source, out, S + D + S * D, draw)


@figure_command.command("4", cls=ErrorLineCommand)
@options.source
@options.seeds_option("--seeds", NoiseDetail.seeds, "A row each.")
@click.option(
    "--count",
    type=click.IntRange(min=5),
    default=NoiseDetail.count,
    help="Realisations of noise that the deviation is over.",
)
@click.option("--psi", type=PSI, default=NoiseDetail.psi, help="Truncation of all layers.")
@options.crop_option("650,180,256,256 of 1024x1024, scaled")
@options.noise_seed
@options.out_png
def figure_4(
    source: Source,
    seeds: list[int],
    count: int,
    psi: float,
    crop: Box | None,
    noise_seed: int,
    out: Path,
) -> None:
    """Noise detail: an image, a part of it with other noise, the deviation of each pixel."""
    from stylegan.sample.figures import draw_noise_detail

    settings = NoiseDetail(
        seeds=tuple(seeds), count=count, psi=psi, crop=crop, noise_seed=noise_seed
    )
    paint(source, out, settings.images, lambda painter: draw_noise_detail(painter, settings))


@figure_command.command("5", cls=ErrorLineCommand)
@options.source
@options.seeds_option("--seeds", NoiseComponents.seeds, "A column each.")
@options.seeds_option(
    "--mirrored", NoiseComponents.mirrored, "Those of them flipped left to right."
)
@options.layers_option(NoiseComponents.ranges, "Layers with noise, in each of 4 halves.")
@click.option("--psi", type=PSI, default=NoiseComponents.psi, help="Truncation of all layers.")
@options.out_png
def figure_5(
    source: Source,
    seeds: list[int],
    mirrored: list[int],
    layers: tuple[Layers, ...],
    psi: float,
    out: Path,
) -> None:
    """Noise components: noise in all layers, in none, in fine and in coarse ones."""
    from stylegan.sample.figures import draw_noise_components

    settings = NoiseComponents(seeds=tuple(seeds), mirrored=tuple(mirrored), ranges=layers, psi=psi)
    paint(source, out, settings.images, lambda painter: draw_noise_components(painter, settings))


@figure_command.command("8", cls=ErrorLineCommand)
@options.source
@options.seeds_option("--seeds", Truncation.seeds, "A row each.")
@click.option(
    "--psis", type=_NUMBERS, default=options.with_commas(Truncation.psis), help="A column each."
)
@options.out_png
def figure_8(source: Source, seeds: list[int], psis: tuple[float, ...], out: Path) -> None:
    """Truncation: from an image through the average of W to its opposite."""
    from stylegan.sample.figures import draw_truncation

    settings = Truncation(seeds=tuple(seeds), psis=psis)
    paint(source, out, settings.images, lambda painter: draw_truncation(painter, settings))


def check_extension(ctx: click.Context, param: click.Parameter, value: Path) -> Path:
    """Check that a film's kind is known: the callback of an argument.

    Raises
    ------
    click.BadParameter
        It is not (exit status 2).
    """
    if value.suffix.lower() not in EXTENSIONS:
        message = f"{value} is no film that can be written: expected {', '.join(EXTENSIONS)}"
        raise click.BadParameter(message, ctx, param)
    return value


def check_strands(
    ctx: click.Context, param: click.Parameter, strands: Sequence[list[int]]
) -> Sequence[list[int]]:
    """Check that all strands have as many seeds, two or more: the callback of an option.

    Raises
    ------
    click.BadParameter
        They have not (exit status 2).
    """
    counts = {len(seeds) for seeds in strands}
    if len(counts) > 1 or min(counts) < 2:
        found = ", ".join(str(len(seeds)) for seeds in strands)
        message = f"{found} seeds: expected two or more, and as many each time"
        raise click.BadParameter(message, ctx, param)
    return strands


@click.command("interpolate", cls=ErrorLineCommand)
@options.source
@click.option(
    "--seeds",
    "strands",
    type=SeedRange(),
    multiple=True,
    default=("0-5",),
    callback=check_strands,
    help="Key frames, two or more. Given several times, films run side by side.",
)
@options.seeding
@click.option(
    "--space",
    type=click.Choice(("w", "z")),
    default=Film.space,
    help="Lines in W, or great circles in Z.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=Film.frames,
    help="Frames from one seed to the next.",
)
@click.option("--fps", type=Number(0.1, 1000), default=30.0, help="Frames shown in a second.")
@click.option(
    "--loop", is_flag=True, help="Go on from the last seed to the first; GIF and APNG repeat."
)
@options.psi
@options.cutoff
@options.noise
@options.noise_seed
@click.option(
    "--scale",
    type=click.IntRange(1, 64),
    default=Film.scale,
    help="Enlarge by repeating pixels.",
)
@click.argument("out", type=click.Path(path_type=Path), callback=check_extension)
def interpolate_command(
    source: Source,
    strands: Sequence[list[int]],
    seeding: str,
    space: str,
    frames: int,
    fps: float,
    loop: bool,
    psi: float,
    cutoff: int,
    noise: str,
    noise_seed: int,
    scale: int,
    out: Path,
) -> None:
    """Write a film from seed to seed to OUT: .mp4, .gif, .apng or .png (animated).

    MP4 needs the extra `video`.
    """
    from stylegan.sample.film import film, frame_count
    from stylegan.sample.painter import open_painter
    from stylegan.sample.video import check_video, write_video
    from stylegan_eval.engine.progress import follow

    check_video(out, fps)
    settings = Film(
        space=space,
        frames=frames,
        loop=loop,
        seeding=seeding,
        psi=psi,
        cutoff=cutoff,
        noise=noise,
        noise_seed=noise_seed,
        scale=scale,
    )
    total = frame_count(len(strands[0]), frames, loop=loop)
    shown = film(open_painter(source), strands, settings)
    seen = follow(shown, "film", total, unit="frame")
    write_video(out, seen, fps=fps, loop=loop)
    click.echo(out)


@click.command("mixing", cls=ErrorLineCommand)
@options.source
@options.seeds_option("--sources", tuple(range(5)), "Columns, whose styles are taken.")
@options.seeds_option("--destinations", tuple(range(5, 8)), "Rows, which take them.")
@click.option(
    "--layers",
    type=options.CommaList(options.LayerRange()),
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
@options.noise_seed
@options.seeding
@options.out_png
def mixing_command(
    source: Source,
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

    from stylegan.sample.figures import draw_mixing, latents_of

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
