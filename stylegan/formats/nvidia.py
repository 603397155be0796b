"""Pickles of NVIDIA's StyleGAN and Progressive GAN, as the dictionary of `checkpoint`."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan import __version__
from stylegan.configs import Config, config_to_dict
from stylegan.formats.nvidia_config import DISCRIMINATORS, GENERATORS, config_of
from stylegan.network_file import Facts
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.official import discriminator_state, foreign_names, generator_state, official_name
from stylegan.provenance import Provenance, provenance_to_dict
from stylegan_eval.errors import UserError
from stylegan_eval.files import sha256_of
from stylegan_eval.pickles.networks import PickledNetwork, Variables, read_networks
from stylegan_eval.pickles.torch_files import LEGACY

_SNAPSHOT = re.compile(r"network-snapshot-(\d{6})\.pkl")


def is_pickle(path: Path) -> bool:
    """Whether a file begins as a bare pickle, or is called one; those of PyTorch are not."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        beginning = file.read(len(LEGACY))
    if beginning == LEGACY or beginning[:2] == b"PK":
        return False
    return (beginning[:1] == b"\x80" and beginning[1:2] <= b"\x05") or path.suffix == ".pkl"


def read_nvidia(path: Path) -> dict[str, Any]:
    """Read a pickle of official networks.

    Parameters
    ----------
    path : Path
        A tuple (G, D, Gs), or one network.

    Returns
    -------
    dict
        As `checkpoint.read_checkpoint` has it, without optimizers; "networks" has of "G", "D" and
        "G_ema" what there is. A generator that comes alone is taken for the average.

    Raises
    ------
    UserError
        It cannot be read, holds other networks, or what cannot be expressed here.
    """
    found = read_networks(path)
    try:
        parts = _parts(found)
        config = config_of(tuple(parts.values()))
        networks = {name: _state(each, config) for name, each in parts.items()}
        lod = _lod(parts.get("G_ema") or parts["D"], config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    kimg, label_size = kimg_of(path), config.network.label_size
    layout = f"pickle of {found[0].library}, layout {found[0].version}"
    note = f"read from a {layout}, sha256 {sha256_of(path)}"
    note += "" if kimg else "; the images shown are not recorded there"
    note += "; labels: each class as often as the others" if label_size else ""
    return {
        "format": layout,
        "config": config_to_dict(config),
        "provenance": provenance_to_dict(Provenance(seed=0, data="", version=__version__)),
        "nimg": kimg * 1000,
        "lod": lod,
        "labels": torch.eye(label_size) if label_size else None,
        "networks": networks,
        "facts": Facts(note=note),
    }


def kimg_of(path: Path) -> int:
    """Thousands of images that a snapshot's name tells; 0 where it tells none."""
    told = _SNAPSHOT.fullmatch(path.name)
    return int(told[1]) if told else 0


def _parts(found: tuple[PickledNetwork, ...]) -> dict[str, PickledNetwork]:
    """Networks by our names, in the order G, D, Gs of the official tuple."""
    for network in found:
        if network.function not in GENERATORS | DISCRIMINATORS:
            known = ", ".join(GENERATORS | DISCRIMINATORS)
            raise UserError(
                f"network {network.name} was built by {network.function}: expected one of {known}"
            )
    order = [
        "D" if network.function in DISCRIMINATORS else "G" if k < len(found) - 1 else "G_ema"
        for k, network in enumerate(found)
    ]
    if order not in (["G", "D", "G_ema"], ["G_ema"], ["D"]):
        raise UserError(f"holds {', '.join(order)}: expected (G, D, Gs), or one network")
    return dict(zip(order, found, strict=True))


def _state(network: PickledNetwork, config: Config) -> dict[str, Tensor]:
    """State dictionary whose names and shapes are those of the configuration."""
    generates = network.function in GENERATORS
    variables = _plain_layout(network) if generates else network.variables
    foreign = foreign_names(variables, config.resolution)
    if foreign:
        raise UserError(f"network {network.name} has a foreign variable {foreign[0]}")
    with torch.device("meta"):
        kind = Generator if generates else Discriminator
        shapes = kind(config.network, config.resolution).state_dict()
    state = (generator_state if generates else discriminator_state)(variables, config.resolution)
    if generates:
        state.setdefault("w_avg", torch.zeros(config.network.w_dim))  # Progressive GAN has none
    for name, wanted in shapes.items():
        official = official_name(name, config.resolution)
        if name not in state:
            raise UserError(f"network {network.name} lacks the variable {official}")
        value = state[name]
        if value.shape != wanted.shape:
            raise UserError(
                f"variable {official} of network {network.name} does not fit its options: as"
                f" {name} it has shape {list(value.shape)}, expected {list(wanted.shape)}"
            )
        state[name] = value.to(torch.float32)
        if not bool(torch.isfinite(state[name]).all()):
            raise UserError(f"variable {official} of network {network.name} exceeds float32")
    surplus = sorted(state.keys() - shapes.keys())
    if surplus:
        official = official_name(surplus[0], config.resolution)
        raise UserError(
            f"network {network.name} has the variable {official}, which its options rule out"
        )
    return state


def _plain_layout(network: PickledNetwork) -> Variables:
    """Variables as StyleGAN's code base has them: up-sampling kernels [K, K, in, out]."""
    if network.library != "tfutil":
        return network.variables
    return {
        name: value.swapaxes(2, 3)
        if name.endswith("/Conv0_up/weight") and value.ndim == 4
        else value
        for name, value in network.variables.items()
    }


def _lod(network: PickledNetwork, config: Config) -> float:
    variables = network.variables
    value = variables.get("G_synthesis/lod", variables.get("lod", np.zeros(())))
    coarsest = config.resolution.bit_length() - 3
    if value.shape != () or not 0 <= float(value) <= coarsest:
        raise UserError(f"network {network.name} has a lod that is not from 0 to {coarsest}")
    return float(value)
