"""Networks of Table 1 at 32x32 with the official weights, and the numbers they must give.

Read by the trial of a GPU too (`benchmarks.gpu_trial.numbers`), which has no test packages.
"""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from stylegan.configs import CONFIGS, Config
from stylegan.formats.official import discriminator_state, generator_state
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.training import losses
from stylegan_eval.engine.device import best_format

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = tuple(CONFIGS)
LODS = (0.0, 0.5, 1.0, 1.7, 2.3, 3.0)
RESOLUTION = 32
# Largest norm of the difference, over that of the float32 value: about twice what was measured
# with the official weights at 32x32. G's gradient goes through both networks.
BFLOAT16_BOUNDS = {
    "images": 0.06,
    "scores": 0.12,
    "loss_D": 0.005,
    "r1": 0.06,
    "grad_G": 0.33,
    "grad_D": 0.12,
}


@cache
def numbers(row: str) -> dict[str, np.ndarray]:
    """Everything the file of a row holds."""
    with np.load(GOLDEN / "networks" / f"{row}.npz") as file:
        return {key: file[key] for key in file.files}


@cache
def float64_numbers(row: str) -> dict[str, np.ndarray]:
    """The row's outputs in double precision."""
    prefix = f"{row}_{RESOLUTION}/"
    with np.load(GOLDEN / "networks" / "float64.npz") as file:
        return {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}


def small_config(row: str) -> Config:
    """The row at the size of the golden networks."""
    kwargs = json.loads(str(numbers(row)["meta_json"]))["G_kwargs"]
    config = CONFIGS[row]
    network = replace(
        config.network,
        z_dim=kwargs["latent_size"],
        w_dim=kwargs["latent_size"],
        mapping_fmaps=kwargs["latent_size"],
        fmap_base=kwargs["fmap_base"],
        fmap_max=kwargs["fmap_max"],
    )
    return replace(config, resolution=RESOLUTION, network=network)


def variables(row: str, network: str) -> dict[str, np.ndarray]:
    """Official variables of 'G' or 'D'."""
    values = numbers(row)
    return {
        k.removeprefix(f"{network}/"): v for k, v in values.items() if k.startswith(network + "/")
    }


def placed(network, dtype, device, layout):
    """A network in a type on a device, in the layout for it where none is given."""
    layout = layout or best_format(torch.device(device))
    return network.to(device, dtype).to(memory_format=layout)


def generator(
    row: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    layout: torch.memory_format | None = None,
) -> Generator:
    config = small_config(row)
    network = Generator(config.network, RESOLUTION)
    state = generator_state(variables(row, "G"), RESOLUTION)
    state.setdefault("w_avg", network.w_avg)  # configuration A has none
    network.load_state_dict(state)
    return placed(network, dtype, device, layout)


def discriminator(
    row: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    layout: torch.memory_format | None = None,
) -> Discriminator:
    network = Discriminator(small_config(row).network, RESOLUTION)
    network.load_state_dict(discriminator_state(variables(row, "D"), RESOLUTION))
    return placed(network, dtype, device, layout)


def tensor(
    row: str, key: str, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> torch.Tensor:
    return torch.from_numpy(numbers(row)[key]).to(device, dtype)


def official_losses(row, lod, dtype, device="cpu"):
    """Every loss of the file of `row`, by our functions, from our networks."""
    G, D = generator(row, dtype, device), discriminator(row, dtype, device)
    reals = tensor(row, "reals", dtype, device).requires_grad_()
    with torch.no_grad():
        ws = G.mapping(tensor(row, "latents", dtype, device))
        drawn = G.synthesis(ws, G.g.fixed_noise(lod), lod)
    fakes = drawn.requires_grad_()
    real, fake = D(reals, lod=lod), D(fakes, lod=lod)
    t = tensor(row, "wgan_mixing_factors", dtype, device)
    mixed = losses.mix_images(reals.detach(), fakes.detach(), t).requires_grad_()
    mixed_scores = D(mixed, lod=lod)
    norms2 = losses.squared_gradient_norm(mixed_scores, mixed, lod)
    r1 = losses.squared_gradient_norm(real, reals, lod)
    d_logistic = losses.d_logistic(real, fake)
    d_wgan = losses.d_wgan(real, fake, 0.001)
    # The official sum of [N, 1] and [N] broadcasts to [N, N]; its mean is that of the sum.
    values = {
        "loss_real_scores": real,
        "loss_fake_scores": fake,
        "loss_G_logistic_nonsaturating": losses.g_logistic_nonsaturating(fake),
        "loss_G_wgan": losses.g_wgan(fake),
        "loss_D_logistic": d_logistic,
        "loss_D_wgan": d_wgan,
        "r1_penalty": r1,
        "r2_penalty": losses.squared_gradient_norm(fake, fakes, lod),
        "wgan_mixed_scores": mixed_scores,
        "wgan_mixed_norms": norms2.sqrt(),
        "loss_D_logistic_r1": d_logistic + 5 * r1,
        "loss_D_wgan_gp": d_wgan + losses.gradient_penalty(norms2, 10.0, 1.0),
    }
    means = {
        "mean_" + key: value.mean() for key, value in values.items() if key.startswith("loss_")
    }
    return {
        f"{key}_lod_{lod:g}": value.detach().cpu().numpy()
        for key, value in (values | means).items()
    }


def official_gradients(row, lod, dtype, device="cpu"):
    """d mean loss / d raw variable under official names, for the three losses of the file."""
    G, D = generator(row, dtype, device), discriminator(row, dtype, device)
    ws = G.mapping(tensor(row, "latents", dtype, device))
    fakes = G.synthesis(ws, G.g.fixed_noise(lod), lod)
    losses.g_logistic_nonsaturating(D(fakes, lod=lod)).mean().backward()
    G_grads = by_official_name(row, "G", G)
    D.zero_grad()
    reals, fakes = tensor(row, "reals", dtype, device).requires_grad_(), fakes.detach()

    real = D(reals, lod=lod)
    r1 = losses.squared_gradient_norm(real, reals, lod)
    (losses.d_logistic(real, D(fakes, lod=lod)).mean() + 5 * r1.mean()).backward()
    r1_grads = by_official_name(row, "D", D)
    D.zero_grad()

    t = tensor(row, "wgan_mixing_factors", dtype, device)
    mixed = losses.mix_images(reals.detach(), fakes, t).requires_grad_()
    norms2 = losses.squared_gradient_norm(D(mixed, lod=lod), mixed, lod)
    d_wgan = losses.d_wgan(D(reals, lod=lod), D(fakes, lod=lod), 0.001)
    (d_wgan.mean() + losses.gradient_penalty(norms2, 10.0, 1.0).mean()).backward()
    return {
        "Ggrad_logistic_ns": G_grads,
        "Dgrad_logistic_r1": r1_grads,
        "Dgrad_wgan_gp": by_official_name(row, "D", D),
    }


def by_official_name(row, which, network):
    """Gradients in the layout of the official variables: read them back through the importer."""
    names = [str(name) for name in numbers(row)[f"{which}_trainable_names"]]
    by_name = {}
    shapes = variables(row, which)
    state_of = generator_state if which == "G" else discriminator_state
    grads = {k: p.grad for k, p in network.named_parameters()}
    for name in names:
        # The importer, given a variable of running numbers, tells where each number goes.
        count = np.arange(shapes[name].size, dtype=np.float64).reshape(shapes[name].shape)
        marked = {k: np.full(v.shape, -1.0) for k, v in shapes.items()} | {name: count}
        state = state_of(marked, RESOLUTION)
        ours = next(k for k, v in state.items() if k in grads and v.max() >= 0)
        flat = np.zeros(count.size)
        if grads[ours] is not None:
            flat[state[ours].numpy().astype(int).ravel()] = grads[ours].cpu().numpy().ravel()
        by_name[name] = flat.reshape(count.shape)
    return by_name


def step_outputs(row, lod, dtype, own=torch.float32, device="cpu", layout=None):
    """Images, scores, R1 and the gradients of a step; `dtype` of convolutions, `own` of weights."""
    G, D = (build(row, own, device, layout) for build in (generator, discriminator))
    ws = G.mapping(tensor(row, "latents", own, device))
    images = G.synthesis(ws, G.g.fixed_noise(lod), lod, dtype=dtype)
    losses.g_logistic_nonsaturating(D(images, lod=lod, dtype=dtype)).mean().backward()
    D.zero_grad()
    reals = tensor(row, "reals", own, device).requires_grad_()
    scores = D(reals, lod=lod, dtype=dtype)
    r1 = losses.squared_gradient_norm(scores, reals, lod)
    fake_scores = D(images.detach(), lod=lod, dtype=dtype)
    loss = losses.d_logistic(scores, fake_scores).mean() + 5 * r1.mean()
    loss.backward()
    found = {"images": images, "scores": scores, "loss_D": loss, "r1": r1}
    for name, network in (("grad_G", G), ("grad_D", D)):
        grads = [p.grad for p in network.parameters() if p.grad is not None]
        found[name] = torch.cat([grad.flatten() for grad in grads])
    return {key: value.detach().cpu() for key, value in found.items()}
