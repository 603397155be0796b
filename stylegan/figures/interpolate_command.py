"""`stylegan-sample interpolate`: a film from seed to seed."""

from collections.abc import Sequence
from pathlib import Path

import click

from stylegan.draw import options
from stylegan.figures import words
from stylegan.figures.settings import Film
from stylegan_eval.command import ErrorLineCommand
from stylegan_eval.option_types import Number, SeedRange

EXTENSIONS = (".mp4", ".gif", ".apng", ".png")


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
@words.seeding
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
@words.noise_seed
@click.option(
    "--scale", type=click.IntRange(1, 64), default=Film.scale, help="Repeat pixels so often."
)
@click.argument("out", type=click.Path(path_type=Path), callback=check_extension)
def interpolate_command(
    source: options.Source,
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
    from stylegan.draw.painter import open_painter
    from stylegan.figures.film import film
    from stylegan.figures.interpolation import frame_count
    from stylegan.figures.video import check_video, write_video
    from stylegan_eval.progress import follow

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
