"""`stylegan-sample export` and `scores`: arrays of images, and what D makes of them."""

from pathlib import Path

import click

from stylegan.sample import options
from stylegan.sample.recipe import GeneratorSource, Noise
from stylegan_eval.engine.command import ErrorLineCommand

# Largest value of images that are meant to be in [-1, 1]: generated ones go a little beyond.
_OVERSHOOT = 2.0


def _check_groups(count: int, batch: int, group: int) -> None:
    """Refuse minibatches whose groups would be of unlike sizes; advise what D can divide."""
    from stylegan_eval.errors import UserError

    batch = min(batch, count)
    size = min(batch, group)
    if batch % size == 0 and count % size == 0:
        return
    if count % group == 0:
        advice = f"use --batch {group}"
    elif count < group:
        advice = "leave --batch out"
    else:
        whole = count - count % group
        advice = f"give {whole} or {whole + group} images, with --batch {group}"
    raise UserError(
        f"{count} images in minibatches of {batch} do not divide into groups of {size}: {advice}"
    )


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
    help="Instead: .npy or .npz file, float [N, layers, w_dim], as `image --ws` takes it.",
)
@options.noise
@options.psi
@options.cutoff
@options.seed_of_noise
@options.out_npy
def export_command(
    source: GeneratorSource,
    latents_path: Path | None,
    ws_path: Path | None,
    noise: Noise,
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

    from stylegan.png import read_npy, write_npy
    from stylegan.sample.painter import open_painter
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.errors import UserError

    if (latents_path is None) == (ws_path is None):
        raise UserError("expected either --latents FILE or --ws FILE: name one of them")
    if ws_path is not None:
        options.refuse_beside("--ws", "number")
    options.check_noise(noise, "seed")
    options.check_cutoff(psi)
    check_writable(out)
    painter = open_painter(source)
    network = painter.network
    if latents_path is not None:
        ws = painter.ws(read_npy(latents_path, (None, network.z_dim), "latents"))
    else:
        assert ws_path is not None
        ws = painter.read_ws([ws_path])
    ws = painter.truncated(ws, psi, cutoff)
    images = painter.native(ws, painter.noise(noise, seed))
    write_npy(out, np.concatenate([each.cpu().numpy() for each in images]))
    click.echo(out)


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

    from stylegan.networks.layers import mean_pool
    from stylegan.networks.synthesis import split_lod
    from stylegan.opening import open_networks
    from stylegan.png import read_npy, write_npy
    from stylegan.runtime import Runtime
    from stylegan.snapshot import load_discriminator
    from stylegan_eval.engine.command import note
    from stylegan_eval.engine.device import strict_float32
    from stylegan_eval.engine.files import check_writable
    from stylegan_eval.errors import UserError

    check_writable(out)
    runtime = Runtime.choose(device)
    _, snapshot = open_networks(ckpt)
    D = load_discriminator(snapshot, runtime.device)
    if D.label_size:
        raise UserError(f"{ckpt} is conditional: it scores an image for a label, not by itself")
    lod = snapshot.lod if lod is None else lod
    size = D.resolution >> split_lod(lod, D.resolution)[0]
    channels = snapshot.config.network.num_channels
    images = read_npy(images_path, (None, channels, None, None), "images")
    if images.shape[2:] not in ((size, size), (D.resolution, D.resolution)):
        got = "x".join(map(str, images.shape[2:]))
        raise UserError(
            f"{images_path} holds {got} images: at lod {lod:g} this network takes {size}x{size} "
            f"or {D.resolution}x{D.resolution}"
        )
    batch = batch or len(images)
    _check_groups(len(images), batch, D.mbstd_group_size)
    least, most = float(images.min()), float(images.max())
    if least < -_OVERSHOOT or most > _OVERSHOOT or least >= 0:
        note(
            f"{images_path} has values from {least:.3g} to {most:.3g}: D was trained on images in"
            " [-1, 1]"
        )
    results = []
    for start in range(0, len(images), batch):
        part = torch.from_numpy(images[start : start + batch]).to(runtime.device)
        with torch.inference_mode(), strict_float32(runtime.device.type):
            part = mean_pool(part, part.shape[-1] // size)
            results.append(D(part, lod=lod).cpu().numpy())
    write_npy(out, np.concatenate(results))
    click.echo(out)
