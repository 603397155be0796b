"""The command `stylegan-sample`: images and scores from a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stylegan.info_command import info_command
from stylegan_eval.command import ErrorLineGroup, NetworkPath

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from stylegan.networks.generator import Generator

NOISE = ("fixed", "random", "none")

_ckpt = click.option(
    "--ckpt",
    required=True,
    type=NetworkPath(),
    metavar="CKPT|demo",
    help="Checkpoint or network file, a run's folder (then its newest), or the package's network.",
)
_device = click.option("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N.")
_lod = click.option(
    "--lod",
    type=click.FloatRange(min=0),
    help="Level of detail, 0 is full size.  [default: what the checkpoint was trained to]",
)
_psi = click.option("--psi", type=float, default=1.0, help="Truncation; 1 is none.")
_cutoff = click.option(
    "--cutoff", type=click.IntRange(min=0), default=8, help="Layers that truncation touches."
)
_class = click.option(
    "--class",
    "number",
    type=click.IntRange(min=0),
    metavar="K",
    help="Class (or attribute) of a conditional network.  [default: drawn as in the training data]",
)
_noise = click.option("--noise", type=click.Choice(NOISE), default="fixed", help="Noise inputs.")
_batch = click.option("--batch", type=click.IntRange(min=1), default=16, help="Images at a time.")
_seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="Seed of --noise random."
)


@click.group(cls=ErrorLineGroup, context_settings={"show_default": True})
def main() -> None:
    """Draw images from a checkpoint, or score them.

    \b
    stylegan-sample grid --ckpt runs/f32 --seeds 0-15 --psi 0.7 grid.png
    stylegan-sample export --ckpt runs/f32 --latents z.npy images.npy
    stylegan-sample scores --ckpt runs/f32 --images images.npy scores.npy
    stylegan-sample info --ckpt demo
    """


class SeedRange(click.ParamType[list[int]]):
    """'0-15', '3,7,11' or a mixture."""

    name = "seeds"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[int]:
        """Expand to a list of seeds."""
        seeds: list[int] = []
        for part in value.split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()):
                self.fail(f"{value!r} is not a list of seeds such as 0-15 or 3,7,11", param, ctx)
            if int(last or first) < int(first) or int(last or first) - int(first) >= 100_000:
                self.fail(f"{part!r} is not a range of seeds", param, ctx)
            seeds += range(int(first), int(last or first) + 1)
        return seeds


@main.command()
@_ckpt
@click.option("--seeds", type=SeedRange(), default="0-15", help="One image per seed.")
@click.option("--columns", type=click.IntRange(min=1), help="Images in a row.  [default: square]")
@_psi
@_cutoff
@_noise
@_class
@_lod
@_device
@click.argument("out", type=click.Path(path_type=Path))
def grid(
    ckpt: Path,
    seeds: list[int],
    columns: int | None,
    psi: float,
    cutoff: int,
    noise: str,
    number: int | None,
    lod: float | None,
    device: str,
    out: Path,
) -> None:
    """Write a sheet of images to the PNG file OUT.

    The latent of seed s is that of image s of `stylegan-eval --seed 0`.
    """
    import math

    import numpy as np

    from stylegan.grid import image_grid, save_png
    from stylegan.networks.layers import upsample_nearest
    from stylegan_eval.sampling import latents, to_uint8

    network, trained_lod, labels = _generator(ckpt, device, number)
    z = latents(0, seeds, network.z_dim).numpy()
    lod = trained_lod if lod is None else lod
    images = draw(
        network, z, labels, psi=psi, cutoff=cutoff, noise=noise, lod=lod, batch=16, seed=0
    )
    sheet = []
    for batch in images:
        full = upsample_nearest(batch, network.resolution // batch.shape[-1])
        sheet.append(to_uint8(full).cpu().numpy())
    save_png(out, image_grid(np.concatenate(sheet), columns or math.ceil(math.sqrt(len(seeds)))))
    click.echo(out)


@main.command()
@_ckpt
@click.option(
    "--latents",
    "latents_path",
    required=True,
    type=click.Path(path_type=Path),
    help=".npy file, float [N, z_dim].",
)
@_noise
@_psi
@_cutoff
@_lod
@_class
@_seed
@_batch
@_device
@click.argument("out", type=click.Path(path_type=Path))
def export(
    ckpt: Path,
    latents_path: Path,
    noise: str,
    psi: float,
    cutoff: int,
    lod: float | None,
    number: int | None,
    seed: int,
    batch: int,
    device: str,
    out: Path,
) -> None:
    """Write the images of given latents to the .npy file OUT.

    float32 [N, C, H, W] at the native resolution of the level, about [-1, 1], not clamped.
    `--noise fixed` takes the maps stored in the network.
    """
    import numpy as np

    network, trained_lod, labels = _generator(ckpt, device, number)
    z = _read_npy(latents_path, (None, network.z_dim), "latents")
    lod = trained_lod if lod is None else lod
    images = draw(
        network, z, labels, psi=psi, cutoff=cutoff, noise=noise, lod=lod, batch=batch, seed=seed
    )
    _write_npy(out, np.concatenate([each.cpu().numpy() for each in images]))
    click.echo(out)


@main.command()
@_ckpt
@click.option(
    "--images",
    "images_path",
    required=True,
    type=click.Path(path_type=Path),
    help=".npy file, float [N, C, H, W] in [-1, 1].",
)
@_lod
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Images per minibatch, whose standard deviation D sees.  [default: all at once]",
)
@_device
@click.argument("out", type=click.Path(path_type=Path))
def scores(
    ckpt: Path, images_path: Path, lod: float | None, batch: int | None, device: str, out: Path
) -> None:
    """Write the discriminator's scores, float32 [N, 1], to the .npy file OUT.

    Images at full resolution are mean-pooled to the level; images at the level's own resolution
    are taken as they are. Scores depend on the minibatch: D compares groups of 4 in it.
    """
    import numpy as np
    import torch

    from stylegan.checkpoint import load_discriminator
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
    images = _read_npy(images_path, (None, channels, None, None), "images")
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
    _write_npy(out, np.concatenate(results))
    click.echo(out)


def _generator(
    ckpt: Path, device: str, number: int | None
) -> "tuple[Generator, float, Tensor | None]":
    """Network, level that it was trained to, and labels [K, label_size] to draw from."""
    import torch

    from stylegan.checkpoint import load_generator, load_labels
    from stylegan.opening import open_networks
    from stylegan.runtime import Runtime
    from stylegan_eval.errors import UserError

    runtime = Runtime.choose(device)
    _, tree = open_networks(ckpt)
    network, lod = load_generator(tree, runtime.device), float(tree["lod"])
    size = network.config.label_size
    if size == 0:
        if number is not None:
            raise UserError(f"{ckpt} is unconditional: leave --class out")
        return network, lod, None
    if number is None:
        return network, lod, load_labels(tree)
    if number >= size:
        raise UserError(f"{ckpt} knows classes 0 to {size - 1}, not {number}")
    return network, lod, torch.eye(size)[number : number + 1]


def draw(
    network: "Generator",
    z: "NDArray[np.float32]",
    label_rows: "Tensor | None" = None,
    *,
    psi: float,
    cutoff: int,
    noise: str,
    lod: float,
    batch: int,
    seed: int,
) -> "Iterator[Tensor]":
    """Batches of images [n, C, H, W] of latents `z` [N, z_dim] at the native size of `lod`.

    A conditional network draws each latent's label from `label_rows` [K, label_size].
    """
    import torch

    from stylegan.networks.conditional import labels_of
    from stylegan.networks.generator import TruncatedGenerator
    from stylegan_eval.errors import UserError
    from stylegan_eval.precision import strict_float32
    from stylegan_eval.sampling import noise_maps

    source: Generator | TruncatedGenerator = network
    if psi != 1:
        try:
            source = TruncatedGenerator(network, psi=psi, cutoff=cutoff)
        except ValueError as error:
            raise UserError(str(error)) from error
    device = network.w_avg.device
    for start in range(0, len(z), batch):
        part = torch.from_numpy(z[start : start + batch]).to(device)
        with torch.inference_mode(), strict_float32(device.type):
            if noise == "random":
                indices = range(start, start + len(part))
                maps = noise_maps(seed, indices, network.g.noise_shapes(lod), device)
            else:
                maps = network.g.fixed_noise(lod) if noise == "fixed" else []
            labels = None if label_rows is None else labels_of(part, label_rows)
            images = source.synthesis(source.mapping(part, labels), maps, lod)
        yield images


def _read_npy(path: Path, shape: tuple[int | None, ...], what: str) -> "NDArray[np.float32]":
    import numpy as np

    from stylegan_eval.errors import UserError

    try:
        with path.open("rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {what} from {path}: not a .npy file of numbers") from error
    wanted = "[" + ", ".join("N" if n is None else str(n) for n in shape) + "]"
    fits = values.ndim == len(shape) and all(
        n in (None, size) for n, size in zip(shape, values.shape, strict=True)
    )
    if not fits or len(values) == 0 or not np.issubdtype(values.dtype, np.floating):
        got = f"{values.dtype} {list(values.shape)}"
        raise UserError(f"{what} in {path} must be float {wanted}, not {got}")
    if not np.isfinite(values).all():
        raise UserError(f"{what} in {path} hold infinities or NaN")
    return values.astype(np.float32)


def _write_npy(path: Path, values: "NDArray[np.float32]") -> None:
    import numpy as np

    from stylegan_eval.files import atomic_write

    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


main.add_command(info_command)


if __name__ == "__main__":
    main()
