"""Networks of Table 1 at 32x32 with the official weights, and the numbers they must give."""

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
from stylegan_eval.engine.layout import best_format

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = tuple(CONFIGS)
LODS = (0.0, 0.5, 1.0, 1.7, 2.3, 3.0)
RESOLUTION = 32


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


def generator(row: str, dtype: torch.dtype = torch.float32) -> Generator:
    config = small_config(row)
    network = Generator(config.network, RESOLUTION)
    state = generator_state(variables(row, "G"), RESOLUTION)
    state.setdefault("w_avg", network.w_avg)  # configuration A has none
    network.load_state_dict(state)
    return network.to(dtype).to(memory_format=best_format(torch.device("cpu")))


def discriminator(row: str, dtype: torch.dtype = torch.float32) -> Discriminator:
    network = Discriminator(small_config(row).network, RESOLUTION)
    network.load_state_dict(discriminator_state(variables(row, "D"), RESOLUTION))
    return network.to(dtype).to(memory_format=best_format(torch.device("cpu")))


def tensor(row: str, key: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(numbers(row)[key]).to(dtype)
