"""`stylegan-sample export`: images of given latents, as an array."""

from pathlib import Path

import click

from stylegan.draw import options
from stylegan_eval.command import ErrorLineCommand


@click.command("export", cls=ErrorLineCommand)
@options.source
@click.option(
    "--latents",
    "latents_path",
    required=True,
    type=click.Path(path_type=Path),
    help=".npy file, float [N, z_dim].",
)
@options.noise
@options.psi
@options.cutoff
@options.noise_seed
@options.out
def export_command(
    source: options.Source,
    latents_path: Path,
    noise: str,
    psi: float,
    cutoff: int,
    seed: int,
    out: Path,
) -> None:
    """Write the images of given latents to the .npy file OUT.

    float32 [N, C, H, W] at the native resolution of the level, about [-1, 1], not clamped.
    `--noise fixed` takes the maps stored in the network.
    """
    import numpy as np

    from stylegan.draw.arrays import read_npy, write_npy
    from stylegan.draw.painter import open_painter

    painter = open_painter(source)
    z = read_npy(latents_path, (None, painter.network.z_dim), "latents")
    ws = painter.truncated(painter.ws(z), psi, cutoff)
    images = painter.native(ws, painter.noise(noise, seed))
    write_npy(out, np.concatenate([each.cpu().numpy() for each in images]))
    click.echo(out)
