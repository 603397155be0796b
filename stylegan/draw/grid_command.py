"""`stylegan-sample grid`: a sheet of images."""

from pathlib import Path

import click

from stylegan.draw import options
from stylegan_eval.command import ErrorLineCommand
from stylegan_eval.option_types import SeedRange


@click.command("grid", cls=ErrorLineCommand)
@options.source
@click.option("--seeds", type=SeedRange(), default="0-15", help="One image per seed.")
@click.option("--columns", type=click.IntRange(min=1), help="Images in a row.  [default: square]")
@options.psi
@options.cutoff
@options.noise
@options.out_png
def grid_command(
    source: options.Source,
    seeds: list[int],
    columns: int | None,
    psi: float,
    cutoff: int,
    noise: str,
    out: Path,
) -> None:
    """Write a sheet of images to the PNG file OUT.

    The latent of seed s is that of image s of `stylegan-eval --seed 0`.
    """
    import math

    import numpy as np

    from stylegan.draw.painter import open_painter
    from stylegan.grid import image_grid, save_png
    from stylegan_eval.sampling import latents

    painter = open_painter(source)
    z = latents(0, seeds, painter.network.z_dim).numpy()
    ws = painter.truncated(painter.ws(z), psi, cutoff)
    images = np.stack(list(painter.images(ws, painter.noise(noise))))  # [N, R, R, C]
    columns = columns or math.ceil(math.sqrt(len(seeds)))
    save_png(out, image_grid(images.transpose(0, 3, 1, 2), columns))
    click.echo(out)
