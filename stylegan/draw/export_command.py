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
    type=click.Path(path_type=Path),
    help=".npy file, float [N, z_dim].",
)
@click.option(
    "--ws",
    "ws_path",
    type=click.Path(path_type=Path),
    help="Instead: .npy file, float [N, layers, w_dim], what `project --save` writes.",
)
@options.noise
@options.psi
@options.cutoff
@options.noise_seed
@options.out_npy
def export_command(
    source: options.Source,
    latents_path: Path | None,
    ws_path: Path | None,
    noise: str,
    psi: float,
    cutoff: int,
    seed: int,
    out: Path,
) -> None:
    """Write the images of given latents, z or w, to the .npy file OUT.

    float32 [N, C, H, W] at the native resolution of the level, about [-1, 1], not clamped.
    `--noise fixed` takes the maps stored in the network.
    """
    import numpy as np
    import torch

    from stylegan.draw.arrays import read_npy, write_npy
    from stylegan.draw.painter import open_painter
    from stylegan_eval.errors import UserError

    if (latents_path is None) == (ws_path is None):
        raise UserError("expected either --latents FILE or --ws FILE: name one of them")
    painter = open_painter(source)
    network = painter.network
    if latents_path is not None:
        ws = painter.ws(read_npy(latents_path, (None, network.z_dim), "latents"))
    else:
        assert ws_path is not None
        rows = read_npy(ws_path, (None, network.num_ws, network.config.w_dim), "ws")
        ws = torch.from_numpy(rows).to(painter.device)
    ws = painter.truncated(ws, psi, cutoff)
    images = painter.native(ws, painter.noise(noise, seed))
    write_npy(out, np.concatenate([each.cpu().numpy() for each in images]))
    click.echo(out)
