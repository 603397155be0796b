"""From imported states to the dictionary that `opening.open_networks` gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from stylegan import __version__
from stylegan.configs import CONFIGS, NetworkConfig, config_to_dict
from stylegan.formats.weights import State
from stylegan.network_file import Facts
from stylegan.networks.mapping import Mapping as MappingNetwork
from stylegan.provenance import Provenance, provenance_to_dict

# Latents whose mean w stands in for a moving average that a file lacks.
_LATENTS = 10_240
_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Networks of another layout in the terms of ours.

    Attributes
    ----------
    layout : str
        Name of the layout.
    network : NetworkConfig
        What they are made of.
    resolution : int
        Full resolution.
    states : mapping
        Of "G_ema", "G" and "D", as far as they are there.
    lod : float
        Level of detail they were trained to.
    nimg : int
        Images shown.
    left_out : mapping
        Reasons why a part of the file was left out, by part.
    notes : tuple of str
        What was made up.
    """

    layout: str
    network: NetworkConfig
    resolution: int
    states: Mapping[str, State]
    lod: float = 0.0
    nimg: int = 0
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def tree(self) -> dict[str, Any]:
        """Return the dictionary of `opening.open_networks`, in float32."""
        config = replace(
            CONFIGS["F"],
            change=f"imported from the layout of {self.layout}",
            resolution=self.resolution,
            network=self.network,
        )
        networks = {
            part: {name: value.float().contiguous() for name, value in state.items()}
            for part, state in self.states.items()
        }
        return {
            "format": self.layout,
            "config": config_to_dict(config),
            "provenance": provenance_to_dict(
                Provenance(seed=0, data="unknown", version=__version__)
            ),
            "nimg": self.nimg,
            "lod": self.lod,
            "labels": torch.eye(self.network.label_size) if self.network.label_size else None,
            "networks": networks,
            "facts": Facts(note="; ".join((f"layout of {self.layout}", *self.notes))),
            "left_out": self.left_out,
        }


def mean_w(network: NetworkConfig, state: State) -> Tensor:
    """Mean of w over latents (seed 0), [w_dim], in the type of the state.

    Parameters
    ----------
    network : NetworkConfig
        Of the generator; where it is conditional, its labels take turns.
    state : dict
        The generator's, at least its mapping.
    """
    f = MappingNetwork(network)
    own = {name[2:]: value for name, value in state.items() if name.startswith("f.")}
    f.to(next(iter(own.values())).dtype).load_state_dict(own)
    rng = torch.Generator().manual_seed(0)
    total = torch.zeros(network.w_dim, dtype=torch.float64)
    labels = None
    with torch.no_grad():
        for _ in range(_LATENTS // _BATCH):
            z = torch.randn(_BATCH, network.z_dim, generator=rng)
            z = z.to(next(f.parameters()).dtype)
            if size := network.label_size:
                labels = torch.eye(size, dtype=z.dtype)[torch.arange(_BATCH) % size]
            total += f(z, labels).double().sum(dim=0)
    return (total / _LATENTS).to(z.dtype)


def drawn_noise(layer: int) -> Tensor:
    """Noise map of a layer whose file lacks it, [1, 1, H, W]; the layer's number is the seed."""
    size = 4 << layer // 2
    return torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(layer))


def trained_blocks(state: State, blocks: int) -> int:
    """Resolutions that were trained, of a generator that was built with `blocks` from the start.

    Some files do not say how far training went. What was never reached still has the noise
    weights and biases it began with, all zeros. Where nothing was trained, all count.
    """
    for i in reversed(range(blocks)):
        layers = [f"g.layers.{2 * i}"] + ([f"g.layers.{2 * i - 1}"] if i else [])
        names = [f"{layer}.epilogue.noise_weight" for layer in layers]
        names += [f"{layer}.epilogue.bias" for layer in layers]
        if any(bool(state[name].any()) for name in (*names, f"g.to_rgb.{i}.bias")):
            return i + 1
    return blocks
