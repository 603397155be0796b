"""Names and layouts of the official TensorFlow variables, as state dictionaries of our networks.

Convolutions are stored as [K, K, in, out] there, dense layers as [in, out]; the networks compute
with [out, in, K, K] and [out, in].
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.pickles.networks import Variables

# Layers of a mapping network, for looking names up.
_DEEPEST = 64


def _tensor(name: str, variable: NDArray[Any]) -> Tensor:
    is_weight = name.endswith("/weight") and "LabelConcat" not in name
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(variable.ndim) if is_weight else None
    return torch.from_numpy(np.array(variable.transpose(axes) if axes else variable, order="C"))


def _epilogue_names(ours: str, official: str, layer: int) -> Iterator[tuple[str, str]]:
    yield f"{ours}epilogue.bias", f"{official}bias"
    yield f"{ours}epilogue.noise_weight", f"{official}Noise/weight"
    yield f"{ours}epilogue.fixed_noise", f"G_synthesis/noise{layer}"
    yield f"{ours}epilogue.style.weight", f"{official}StyleMod/weight"
    yield f"{ours}epilogue.style.bias", f"{official}StyleMod/bias"


def _generator_names(resolution: int, mapping_layers: int) -> Iterator[tuple[str, str]]:
    """Pairs (our name, official name) of all that any configuration of G may hold."""
    yield "w_avg", "dlatent_avg"
    yield "f.label_embedding.weight", "G_mapping/LabelConcat/weight"
    for k in range(mapping_layers):
        for part in ("weight", "bias"):
            yield f"f.layers.{k}.{part}", f"G_mapping/Dense{k}/{part}"
    yield "g.input.const", "G_synthesis/4x4/Const/const"
    yield "g.input.dense.weight", "G_synthesis/4x4/Dense/weight"
    yield from _epilogue_names("g.input.", "G_synthesis/4x4/Const/", 0)
    yield from _epilogue_names("g.input.", "G_synthesis/4x4/Dense/", 0)
    top = resolution.bit_length() - 3
    names = ["4x4/Conv"]
    for b in range(1, top + 1):
        names += [f"{4 << b}x{4 << b}/Conv0_up", f"{4 << b}x{4 << b}/Conv1"]
    for i, name in enumerate(names):
        yield f"g.layers.{i}.conv.weight", f"G_synthesis/{name}/weight"
        yield from _epilogue_names(f"g.layers.{i}.", f"G_synthesis/{name}/", i + 1)
    for b in range(top + 1):
        for part in ("weight", "bias"):
            yield f"g.to_rgb.{b}.{part}", f"G_synthesis/ToRGB_lod{top - b}/{part}"


def _discriminator_names(resolution: int) -> Iterator[tuple[str, str]]:
    names = [("conv", "4x4/Conv"), ("dense0", "4x4/Dense0"), ("dense1", "4x4/Dense1")]
    for lod in range(resolution.bit_length() - 2):
        size = resolution >> lod
        names.append((f"from_rgb.{lod}", f"FromRGB_lod{lod}"))
        if size > 4:
            names.append((f"blocks.{lod}.conv0", f"{size}x{size}/Conv0"))
            names.append((f"blocks.{lod}.conv1_down", f"{size}x{size}/Conv1_down"))
    for ours, official in names:
        for part in ("weight", "bias"):
            yield f"{ours}.{part}", f"{official}/{part}"


def generator_state(variables: Variables, resolution: int) -> dict[str, Tensor]:
    """State dictionary of `Generator` from the official variables of G.

    They have the names of ``G_style`` (components as ``G_synthesis/``, ``G_mapping/``) or of
    ``G_paper`` in the StyleGAN code base (no prefix: configuration A). Variables of another meaning
    (``lod``) are left out.
    """
    if "4x4/Conv/weight" in variables:  # configuration A has no components
        variables = {f"G_synthesis/{name}": value for name, value in variables.items()}
    depth = sum(re.fullmatch(r"G_mapping/Dense\d+/weight", name) is not None for name in variables)
    return {
        ours: _tensor(official, variables[official])
        for ours, official in _generator_names(resolution, depth)
        if official in variables
    }


def discriminator_state(variables: Variables, resolution: int) -> dict[str, Tensor]:
    """State dictionary of `Discriminator` from the variables of ``D_basic`` or ``D_paper``."""
    return {
        ours: _tensor(official, variables[official])
        for ours, official in _discriminator_names(resolution)
        if official in variables
    }


def official_name(name: str, resolution: int) -> str:
    """Official name of an entry of either state dictionary, or all that it may have, joined."""
    pairs = [*_generator_names(resolution, _DEEPEST), *_discriminator_names(resolution)]
    return " or ".join(official for ours, official in pairs if ours == name) or name


def foreign_names(variables: Variables, resolution: int) -> list[str]:
    """Names among the variables of G or D that neither state dictionary has a place for."""
    pairs = [*_generator_names(resolution, _DEEPEST), *_discriminator_names(resolution)]
    known = {official for _, official in pairs}
    known |= {official.removeprefix("G_synthesis/") for official in known}
    return sorted(variables.keys() - known - {"lod", "G_synthesis/lod"})
