"""Checkpoints of rosinality/style-based-gan-pytorch: the generator.

Weights are stored before equalisation, by sqrt(2 / fan-in) everywhere: also where the official
gain is 1 (styles, ToRGB) and for the noise weights, whose fan-in is their number. The mapping is
slowed down by the optimizer, not by a factor at run time. A style's scale is stored with its 1.
The fused kernels are [in, out, 3, 3] and averaged where the official ones are summed.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan.configs import NetworkConfig
from stylegan.formats.weights import (
    FADED_IN,
    Layout,
    State,
    Weights,
    drawn_noise,
    fit_widths,
    imported,
    mean_w,
    trained_blocks,
)
from stylegan.snapshot import Snapshot
from stylegan_eval.errors import UserError

_NAME = "rosinality"
DISCRIMINATOR = (
    "the discriminator of rosinality's layout is another network (wider convolutions, one deviation"
    " for the whole minibatch), and no training goes on without one: use a file of another layout"
)
_SQRT2 = math.sqrt(2)
_LRMUL = 0.01


def read(parts: Mapping[str, Mapping[Any, Any]], path: Path, _about: Mapping[Any, Any]) -> Snapshot:
    """Read generators by the file's names "g_running", "generator", "discriminator", or one ""."""
    generators = {name: state for name, state in parts.items() if LAYOUT.is_generator(state)}
    averaged = "g_running" if "g_running" in parts else ""
    if averaged not in generators:
        raise UserError(
            f"{path}: lacks the averaged generator (g_running): use another file of that training"
        )
    read_states = {
        ours: _generator(Weights(generators[name], path, name or "generator"))
        for ours, name in (("G_ema", averaged), ("G", "generator"))
        if name in generators
    }
    network, blocks, _ = read_states["G_ema"]
    for other, count, _ in read_states.values():
        if (other, count) != (network, blocks):
            raise UserError(f"{path}: its generators are networks of unlike shapes")
    trained = trained_blocks(read_states["G_ema"][2], blocks)
    states = {part: _cut(state, trained, blocks) for part, (_, _, state) in read_states.items()}
    for state in states.values():
        state["w_avg"] = mean_w(network, state)
    notes = ["w_avg is the mean over 10240 latents, fixed noise is drawn (the file has neither)"]
    if trained > 1:
        notes.append(FADED_IN)
    if trained < blocks:
        notes.append(f"the file goes on to {2 << blocks}x{2 << blocks}, which was never trained")
    return imported(
        layout=_NAME,
        network=network,
        resolution=2 << trained,
        states=states,
        left_out={"D": DISCRIMINATOR},
        notes=tuple(notes),
    )


def _generator(weights: Weights) -> tuple[NetworkConfig, int, State]:
    """Configuration, number of resolutions, and state but for w_avg."""
    if f"{_name(1)}.conv1.conv.weight_orig" in weights:
        raise weights.refuse(
            "is of an older version of that code (before July 2019), whose networks are others: no"
            " blur, noise and normalisation in another order: use a file of a newer version"
        )
    blocks = weights.count(r"generator\.to_rgb\.(\d+)\..*")
    depth = weights.count(r"style\.(\d+)\..*") // 2
    colours = weights.shape("generator.to_rgb.0.conv.weight_orig", 4)[0]
    widths = {
        4 << i: weights.shape(f"generator.to_rgb.{i}.conv.weight_orig", 4)[1] for i in range(blocks)
    }
    layers = [weights.shape(f"style.{2 * k + 1}.linear.weight_orig", 2) for k in range(depth)]
    if not layers:
        raise weights.refuse("lacks the tensor style.1.linear.weight_orig")
    base, largest = fit_widths(weights, widths)
    with weights.speaking():
        network = NetworkConfig(
            num_channels=colours,
            z_dim=layers[0][1],
            mapping_fmaps=layers[0][0],
            w_dim=layers[-1][0],
            mapping_layers=depth,
            mapping_lrmul=_LRMUL,
            fmap_base=base,
            fmap_max=largest,
            blur=True,
            fused_from=_fused_from(weights, blocks),
            styles=True,
            normalization="instance",
            constant_input=True,
            noise=True,
            instance_eps=1e-5,
            bias_before_blur=True,
            shared_noise=True,
        )
    state: State = {}
    for k in range(depth):
        name = f"style.{2 * k + 1}.linear"
        state[f"f.layers.{k}.weight"] = weights.take(f"{name}.weight_orig", *layers[k]) / _LRMUL
        state[f"f.layers.{k}.bias"] = weights.take(f"{name}.bias", layers[k][0]) / _LRMUL
    for i in range(blocks):
        _block(weights, network, i, state)
        C, name = widths[4 << i], f"generator.to_rgb.{i}.conv"
        weight = weights.take(f"{name}.weight_orig", colours, C, 1, 1)
        state[f"g.to_rgb.{i}.weight"] = weight * _SQRT2
        state[f"g.to_rgb.{i}.bias"] = weights.take(f"{name}.bias", colours)
    weights.finish()
    return network, blocks, state


def _fused_from(weights: Weights, blocks: int) -> int:
    """Resolution from which up-sampling is fused; beyond all of them where it never is."""
    fused = [i for i in range(1, blocks) if f"{_name(i)}.conv1.0.weight" in weights]
    return 4 << min(fused, default=blocks)


def _name(i: int) -> str:
    return f"generator.progression.{i}"


def _block(weights: Weights, network: NetworkConfig, i: int, state: State) -> None:
    """Two layers of a resolution."""
    name, size = _name(i), 4 << i
    C = network.fmaps(size)
    first, second = ("g.input" if i == 0 else f"g.layers.{2 * i - 1}"), f"g.layers.{2 * i}"
    if i == 0:
        constant = weights.take(f"{name}.conv1.input", 1, C, 4, 4)
        state[f"{first}.const"] = constant
        bias = constant.new_zeros(C)
    else:
        state[f"{first}.conv.weight"], bias = _upsampling(weights, network, i)
    state[f"{first}.epilogue.bias"] = bias
    state[f"{first}.epilogue.fixed_noise"] = drawn_noise(2 * i)
    state[f"{second}.conv.weight"] = weights.take(f"{name}.conv2.conv.weight_orig", C, C, 3, 3)
    state[f"{second}.epilogue.bias"] = weights.take(f"{name}.conv2.conv.bias", C)
    for k, ours in ((1, first), (2, second)):
        noise = weights.take(f"{name}.noise{k}.weight_orig", 1, C, 1, 1).flatten()
        state[f"{ours}.epilogue.noise_weight"] = noise * math.sqrt(2 / C)
        style = f"{name}.adain{k}.style.linear"
        weight = weights.take(f"{style}.weight_orig", 2 * C, network.w_dim)
        state[f"{ours}.epilogue.style.weight"] = weight * _SQRT2
        shift = weights.take(f"{style}.bias", 2 * C)
        state[f"{ours}.epilogue.style.bias"] = torch.cat([shift[:C] - 1, shift[C:]])


def _upsampling(weights: Weights, network: NetworkConfig, i: int) -> tuple[Tensor, Tensor]:
    """Kernel [out, in, 3, 3] and bias of the first layer of a resolution."""
    name, size = f"{_name(i)}.conv1", 4 << i
    C, C_before = network.fmaps(size), network.fmaps(size // 2)
    fused = size >= network.fused_from
    blur = f"{name}.1" if fused else f"{name}.2"
    weights.take_blur(f"{blur}.weight", C)
    weights.take_blur(f"{blur}.weight_flip", C)
    if fused:
        kernel = weights.take(f"{name}.0.weight", C_before, C, 3, 3).transpose(0, 1) / 4
        return kernel, weights.take(f"{name}.0.bias", C)
    kernel = weights.take(f"{name}.1.conv.weight_orig", C, C_before, 3, 3)
    return kernel, weights.take(f"{name}.1.conv.bias", C)


def _cut(state: State, kept: int, blocks: int) -> State:
    """The state without the resolutions from `kept` on."""
    beyond = [f"g.to_rgb.{i}." for i in range(kept, blocks)]
    beyond += [f"g.layers.{k}." for k in range(2 * kept - 1, 2 * blocks - 1)]
    return {name: value for name, value in state.items() if not name.startswith(tuple(beyond))}


LAYOUT = Layout(
    _NAME,
    generator=r"generator\.progression\.",
    discriminator=r"progression\.0\.conv1\.",  # whose FromRGB may have been older
    read=read,
    average="g_running",
    alone_is_average=True,
)
