"""Checkpoints of huangzh13/StyleGAN.pytorch: one file for each network.

Weights are stored and scaled as in the official code. The networks are other functions in two
places: instance normalisation adds 1e-5, and no leaky ReLU follows FromRGB. No noise is stored.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

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
    take_mapping,
    trained_blocks,
    with_mapping,
)
from stylegan.snapshot import Snapshot
from stylegan_eval.errors import UserError

_NAME = "huangzh13"
_EMBEDDING = "class_embedding.weight"
_OFFICIAL = NetworkConfig(
    mapping_layers=8,
    blur=True,
    fused_from=128,
    styles=True,
    normalization="instance",
    constant_input=True,
    noise=True,
    instance_eps=1e-5,
    from_rgb_lrelu=False,
)


def read(parts: Mapping[str, Mapping[Any, Any]], path: Path, _about: Mapping[Any, Any]) -> Snapshot:
    """Read the network of a file."""
    state, *more = parts.values()
    if more:
        raise UserError(f"{path}: holds {len(parts)} networks, expected a file for each")
    return (read_generator if LAYOUT.is_generator(state) else read_discriminator)(state, path)


def read_generator(state: Mapping[Any, Any], path: Path) -> Snapshot:
    """Read a generator, be it averaged or not: the file does not say."""
    weights = Weights(state, path, "generator")
    blocks = weights.count(r"g_synthesis\.to_rgb\.(\d+)\..*")
    network = _generator_config(weights, blocks)
    own = take_mapping(weights, network, "g_mapping.map.dense", _EMBEDDING)
    for i in range(blocks):
        _block(weights, network, i, own)
        C, name = network.fmaps(4 << i), f"g_synthesis.to_rgb.{i}"
        own |= weights.take_layer(name, f"g.to_rgb.{i}", network.num_channels, C, 1, 1)
    w_avg = torch.zeros(network.w_dim)
    if "truncation.avg_latent" in weights:
        w_avg = weights.take("truncation.avg_latent", network.w_dim)
    weights.finish()
    notes = ["fixed noise is drawn (the file has none)"]
    if not bool(w_avg.any()):  # a copy that is averaged never gets it
        w_avg = mean_w(network, own)
        notes.append("w_avg is the mean over 10240 latents (the file's is zero or missing)")
    own["w_avg"] = w_avg
    trained = trained_blocks(own, blocks)
    if trained > 1:
        notes.append(FADED_IN)
    return imported(
        layout=_NAME,
        network=network,
        resolution=2 << blocks,
        states={"G_ema": own},
        lod=float(blocks - trained),
        notes=tuple(notes),
    )


def read_discriminator(state: Mapping[Any, Any], path: Path) -> Snapshot:
    """Read a discriminator."""
    weights = Weights(state, path, "discriminator")
    if _EMBEDDING in weights:
        raise weights.refuse(
            f"is conditional ({_EMBEDDING}): this layout's shows the class to it as"
            " further colours, which no network here does"
        )
    top = weights.count(r"from_rgb\.(\d+)\..*") - 1
    widths = {4 << top - k: weights.shape(f"from_rgb.{k}.weight", 4)[0] for k in range(top + 1)}
    widths[2] = weights.shape("final_block.dense0.weight", 2)[0]
    base, largest = fit_widths(weights, widths)
    colours = weights.shape("from_rgb.0.weight", 4)[1]
    blurs = "blocks.0.blur.kernel" in weights
    with weights.speaking():
        network = replace(
            _OFFICIAL, num_channels=colours, fmap_base=base, fmap_max=largest, blur=blurs
        )
    own: State = {}
    for k in range(top + 1):
        C, C_next = widths[4 << top - k], widths[2 << top - k]
        own |= weights.take_layer(f"from_rgb.{k}", f"from_rgb.{k}", C, colours, 1, 1)
        if k < top:
            first, down = f"blocks.{k}.conv0", f"blocks.{k}.conv1_down"
            own |= weights.take_layer(first, first, C, C, 3, 3)
            own |= weights.take_layer(down, down, C_next, C, 3, 3)
            if blurs:
                weights.take_blur(f"blocks.{k}.blur.kernel", 1)
            _take_mean(weights, f"{down}.downscale.blur.kernel")
    C = widths[4]
    own |= weights.take_layer("final_block.conv", "conv", C, C + 1, 3, 3)
    own |= weights.take_layer("final_block.dense0", "dense0", widths[2], 16 * C)
    own |= weights.take_layer("final_block.dense1", "dense1", 1, widths[2])
    weights.finish()
    return imported(layout=_NAME, network=network, resolution=4 << top, states={"D": own})


def _take_mean(weights: Weights, name: str) -> None:
    """Take the kernel of the mean of 2x2 pixels."""
    kernel = weights.take(name, 1, 1, 2, 2)
    if not torch.equal(kernel, torch.full_like(kernel, 0.25)):
        raise weights.refuse(f"does not halve the size by a mean: {name}")


def _generator_config(weights: Weights, blocks: int) -> NetworkConfig:
    shapes = [weights.shape(f"g_synthesis.to_rgb.{i}.weight", 4) for i in range(max(blocks, 1))]
    base, largest = fit_widths(weights, {4 << i: shape[1] for i, shape in enumerate(shapes)})
    depth = weights.count(r"g_mapping\.map\.dense(\d+)\..*")
    layers = [weights.shape(f"g_mapping.map.dense{k}.weight", 2) for k in range(max(depth, 1))]
    with weights.speaking():
        network = replace(
            _OFFICIAL,
            num_channels=shapes[0][0],
            fmap_base=base,
            fmap_max=largest,
            blur=blocks == 1 or "g_synthesis.blocks.0.conv0_up.intermediate.kernel" in weights,
        )
        return with_mapping(network, weights, layers, _EMBEDDING)


def _block(weights: Weights, network: NetworkConfig, i: int, own: State) -> None:
    """Two layers of a resolution."""
    size = 4 << i
    C = network.fmaps(size)
    if i == 0:
        name, ours, second = "g_synthesis.init_block", "g.input", "conv"
        own[f"{ours}.const"] = weights.take(f"{name}.const", 1, C, 4, 4)
        own[f"{ours}.epilogue.bias"] = weights.take(f"{name}.bias", C)
    else:
        name, ours, second = f"g_synthesis.blocks.{i - 1}", f"g.layers.{2 * i - 1}", "conv1"
        kernel = weights.take(f"{name}.conv0_up.weight", C, network.fmaps(size // 2), 3, 3)
        own[f"{ours}.conv.weight"] = kernel
        own[f"{ours}.epilogue.bias"] = weights.take(f"{name}.conv0_up.bias", C)
        if network.blur:
            weights.take_blur(f"{name}.conv0_up.intermediate.kernel", 1)
    after = f"g.layers.{2 * i}"
    own[f"{after}.conv.weight"] = weights.take(f"{name}.{second}.weight", C, C, 3, 3)
    own[f"{after}.epilogue.bias"] = weights.take(f"{name}.{second}.bias", C)
    for k, layer in enumerate((ours, after)):
        epilogue, stored = f"{layer}.epilogue", f"{name}.epi{k + 1}"
        own[f"{epilogue}.noise_weight"] = weights.take(f"{stored}.top_epi.noise.weight", C)
        own[f"{epilogue}.fixed_noise"] = drawn_noise(2 * i + k)
        style = f"{stored}.style_mod.lin"
        own.update(weights.take_layer(style, f"{epilogue}.style", 2 * C, network.w_dim))


LAYOUT = Layout(
    _NAME, generator=r"g_(synthesis|mapping)\.", discriminator=r"final_block\.", read=read
)
