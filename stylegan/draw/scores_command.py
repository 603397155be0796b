"""`stylegan-sample scores`: what the discriminator says of images."""

from pathlib import Path

import click

from stylegan.draw import options
from stylegan_eval.command import ErrorLineCommand


@click.command("scores", cls=ErrorLineCommand)
@options.ckpt
@click.option(
    "--images",
    "images_path",
    required=True,
    type=click.Path(path_type=Path),
    help=".npy file, float [N, C, H, W] in [-1, 1].",
)
@options.lod
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Images per minibatch, whose standard deviation D sees.  [default: all at once]",
)
@options.device
@options.out_npy
def scores_command(
    ckpt: Path, images_path: Path, lod: float | None, batch: int | None, device: str, out: Path
) -> None:
    """Write the discriminator's scores, float32 [N, 1], to the .npy file OUT.

    Images at full resolution are mean-pooled to the level; images at the level's own resolution
    are taken as they are. Scores depend on the minibatch: D compares groups of 4 in it.
    """
    import numpy as np
    import torch

    from stylegan.checkpoint import load_discriminator
    from stylegan.draw.arrays import read_npy, write_npy
    from stylegan.networks.layers import mean_pool
    from stylegan.networks.synthesis import split_lod
    from stylegan.opening import open_networks
    from stylegan.runtime import Runtime
    from stylegan_eval.errors import UserError
    from stylegan_eval.precision import strict_float32

    runtime = Runtime.choose(device)
    _, tree = open_networks(ckpt)
    D = load_discriminator(tree, runtime.device)
    if D.label_size:
        raise UserError(f"{ckpt} is conditional: it scores an image for a label, not by itself")
    lod = tree["lod"] if lod is None else lod
    assert lod is not None
    size = D.resolution >> split_lod(lod, D.resolution)[0]
    channels = tree["config"]["network"]["num_channels"]
    images = read_npy(images_path, (None, channels, None, None), "images")
    if images.shape[2:] not in ((size, size), (D.resolution, D.resolution)):
        got = "x".join(map(str, images.shape[2:]))
        raise UserError(
            f"{images_path} holds {got} images: at lod {lod:g} this network takes {size}x{size} "
            f"or {D.resolution}x{D.resolution}"
        )
    batch = batch or len(images)
    results = []
    for start in range(0, len(images), batch):
        part = torch.from_numpy(images[start : start + batch]).to(runtime.device)
        if len(part) > D.mbstd_group_size and len(part) % D.mbstd_group_size:
            raise UserError(
                f"a minibatch of {len(part)} images does not divide into groups of "
                f"{D.mbstd_group_size}: choose --batch so that it does"
            )
        with torch.inference_mode(), strict_float32(runtime.device.type):
            part = mean_pool(part, part.shape[-1] // size)
            results.append(D(part, lod=lod).cpu().numpy())
    write_npy(out, np.concatenate(results))
    click.echo(out)
