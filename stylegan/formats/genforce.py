"""Checkpoints of genforce and of Hammer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from stylegan.configs import NetworkConfig
from stylegan.formats.weights import (
    Layout,
    State,
    Weights,
    fit_widths,
    imported,
    mean_w,
    take_mapping,
    with_mapping,
)
from stylegan.snapshot import Snapshot
from stylegan_eval.errors import UserError

# Settings that change the generator's function, and the only values that this package computes.
_FIXED: Mapping[str, Any] = {
    "final_tanh": False,
    "use_wscale": True,
    "mapping_use_wscale": True,
    "noise_type": "spatial",
}
_BEYOND_ALL = 2**15
_FUSED_FROM = 128  # where a file does not say


def read_settings(kwargs: Any, path: Path) -> dict[str, Any]:
    """Fields of `NetworkConfig` in the file's ``model_kwargs_init``; the others have defaults."""
    given = kwargs.get("generator") if isinstance(kwargs, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    for name, expected in _FIXED.items():
        value = given.get(name, expected)
        if type(value) is not type(expected) or value != expected:
            raise UserError(
                f"{path}: generator was built with {name}={_said(value)}, and only"
                f" {expected!r} can be had here"
            )
    fields: dict[str, Any] = {}
    fused = given.get("fused_scale", "auto")
    if fused is True or fused is False:
        fields["fused_from"] = 4 if fused else _BEYOND_ALL
    elif not isinstance(fused, str) or fused != "auto":
        raise UserError(f"{path}: fused_scale is {_said(fused)}, expected True, False or 'auto'")
    lrmul = given.get("mapping_lr_mul", 0.01)
    if type(lrmul) not in (int, float) or not 0 < lrmul <= 1:
        raise UserError(f"{path}: mapping_lr_mul is {_said(lrmul)}, expected a number up to 1")
    fields["mapping_lrmul"] = float(lrmul)
    return fields


def _said(value: Any) -> str:
    plain = isinstance(value, bool | int | float | str)
    return repr(value)[:40] if plain else type(value).__name__


_NAME = "genforce"  # or Hammer: the two differ too little to be told apart at a glance
_SMOOTH = "generator_smooth"
_LARGEST_NIMG = 2**62


@dataclass(frozen=True, kw_only=True)
class _Names:
    """Names in which the layouts differ."""

    layout: str
    noise_weight: str
    noise: str
    noise_weight_shape: Callable[[int], tuple[int, ...]]
    w_avg: str
    embedding: str
    blur: str


_GENFORCE = _Names(
    layout=_NAME,
    noise_weight="apply_noise.weight",
    noise="apply_noise.noise",
    noise_weight_shape=lambda C: (C,),
    w_avg="truncation.w_avg",
    embedding="mapping.label_weight",
    blur="blur.kernel",
)
_HAMMER = _Names(
    layout="Hammer",
    noise_weight="noise_strength",
    noise="noise",
    noise_weight_shape=lambda C: (1, C, 1, 1),
    w_avg="w_avg",
    embedding="mapping.embedding",
    blur="filter",
)


def read(parts: Mapping[str, Mapping[Any, Any]], path: Path, about: Mapping[Any, Any]) -> Snapshot:
    """Read the networks of a file: states "generator_smooth", "generator" and so on, or one "".

    Progress and settings are looked up in `about`, all that the file holds.
    """
    named = {name: Weights(state, path, name or "network") for name, state in parts.items()}
    endings = (".noise_strength", ".filter", "output.weight")
    hammer = "model_kwargs_init" in about or any(
        str(name).endswith(endings) for state in parts.values() for name in state
    )
    names = _HAMMER if hammer else _GENFORCE
    settings = read_settings(about.get("model_kwargs_init"), path)
    generators = {name: named[name] for name in parts if LAYOUT.is_generator(parts[name])}
    critics = {name: named[name] for name in parts if LAYOUT.is_discriminator(parts[name])}
    for name, weights in named.items():
        if name not in generators and name not in critics:
            raise weights.refuse("is no network of this layout")
    states: dict[str, State] = {}
    notes: tuple[str, ...] = ()
    network, resolution, lod = None, 0, 0.0
    for name, weights in generators.items():
        found = _generator(weights, names, settings)
        if network is not None and found[:2] != (network, resolution):
            raise UserError(f"{path}: its generators are networks of unlike shapes")
        network, resolution, lod, states["G_ema" if name == _SMOOTH else "G"] = found
    if "G_ema" not in states and "G" in states:
        states["G_ema"] = dict(states["G"])
        if "generator" not in generators:
            del states["G"]
    if network is not None:
        notes = (*_assumed(settings, resolution), *_mend_averages(network, states))
    for weights in critics.values():
        network, resolution, states["D"] = _discriminator(weights, names, network, resolution)
    assert network is not None
    return imported(
        layout=names.layout,
        network=network,
        resolution=resolution,
        states=states,
        lod=lod,
        nimg=_images(about),
        notes=notes,
    )


def _images(about: Mapping[Any, Any]) -> int:
    progress = about.get("running_metadata")
    seen = progress.get("seen_img") if isinstance(progress, Mapping) else None
    return seen if type(seen) is int and 0 <= seen <= _LARGEST_NIMG else 0


def _assumed(settings: Mapping[str, Any], resolution: int) -> tuple[str, ...]:
    """Notes on settings that the file does not record and that make a difference."""
    notes: tuple[str, ...] = ()
    if "fused_from" not in settings and resolution >= _FUSED_FROM:
        notes += (f"up-sampling taken as fused from {_FUSED_FROM}x{_FUSED_FROM} on",)
    if "mapping_lrmul" not in settings:
        notes += (f"mapping_lr_mul taken as {NetworkConfig().mapping_lrmul:g}",)
    return notes


def _mend_averages(network: NetworkConfig, states: Mapping[str, State]) -> tuple[str, ...]:
    """Training with genforce leaves the averaged generator's w_avg at zero."""
    notes: tuple[str, ...] = ()
    for state in states.values():
        if not bool(state["w_avg"].any()):
            state["w_avg"] = mean_w(network, state)
            notes = ("w_avg is the mean over 10240 latents (the file's was zero)",)
    return notes


def _mapping_config(weights: Weights, names: _Names, network: NetworkConfig) -> NetworkConfig:
    depth = weights.count(r"mapping\.dense(\d+)\..*")
    if depth == 0:
        raise weights.refuse("lacks the tensor mapping.dense0.weight")
    layers = [weights.shape(f"mapping.dense{k}.weight", 2) for k in range(depth)]
    return with_mapping(network, weights, layers, names.embedding)


def _generator(
    weights: Weights, names: _Names, settings: Mapping[str, Any]
) -> tuple[NetworkConfig, int, float, State]:
    """Configuration, resolution, lod and state."""
    blocks = weights.count(r"synthesis\.output(\d+)\..*")
    colours = weights.shape("synthesis.output0.weight", 4)[0]
    widths = {4 << b: weights.shape(f"synthesis.output{b}.weight", 4)[1] for b in range(blocks)}
    base, largest = fit_widths(weights, widths)
    constant = "synthesis.layer0.const" in weights or "synthesis.layer0.weight" not in weights
    with weights.speaking():
        network = NetworkConfig(
            num_channels=colours,
            fmap_base=base,
            fmap_max=largest,
            blur=True,
            styles=True,
            normalization="instance",
            constant_input=constant,
            noise=True,
            **{"fused_from": _FUSED_FROM, **settings},
        )
        network = _mapping_config(weights, names, network)
    state: State = {"w_avg": weights.take(names.w_avg, network.w_dim)}
    state |= take_mapping(weights, network, "mapping.dense", names.embedding)
    for layer in range(2 * blocks):
        _layer(weights, names, network, layer, state)
    for b, C in enumerate(widths.values()):
        state |= weights.take_layer(f"synthesis.output{b}", f"g.to_rgb.{b}", colours, C, 1, 1)
    lod = float(weights.take("synthesis.lod")) if "synthesis.lod" in weights else 0.0
    if not 0 <= lod <= blocks - 1:
        raise weights.refuse(f"has synthesis.lod {lod:g}, expected 0 to {blocks - 1}")
    weights.finish()
    return network, 2 << blocks, lod, state


def _layer(
    weights: Weights, names: _Names, network: NetworkConfig, layer: int, state: State
) -> None:
    """Layer `layer` of the synthesis, the input being 0."""
    name, size = f"synthesis.layer{layer}", 4 << layer // 2
    ours = f"g.layers.{layer - 1}" if layer else "g.input"
    C, upsamples = network.fmaps(size), layer > 0 and layer % 2 == 0
    if layer > 0:
        C_before = network.fmaps(size // 2) if upsamples else C
        state[f"{ours}.conv.weight"] = weights.take(f"{name}.weight", C, C_before, 3, 3)
    elif network.constant_input:
        state[f"{ours}.const"] = weights.take(f"{name}.const", 1, C, 4, 4)
    else:
        kernel = weights.take(f"{name}.weight", C, network.w_dim, 4, 4)
        state[f"{ours}.dense.weight"] = _as_dense(kernel)
    if upsamples:
        weights.take_blur(f"{name}.{names.blur}", C)
    ours = f"{ours}.epilogue"
    noise_weight = weights.take(f"{name}.{names.noise_weight}", *names.noise_weight_shape(C))
    state[f"{ours}.noise_weight"] = noise_weight.flatten()
    state[f"{ours}.fixed_noise"] = weights.take(f"{name}.{names.noise}", 1, 1, size, size)
    state[f"{ours}.bias"] = weights.take(f"{name}.bias", C)
    state.update(weights.take_layer(f"{name}.style", f"{ours}.style", 2 * C, network.w_dim))


def _as_dense(kernel: Tensor) -> Tensor:
    """4x4 convolution of one pixel, padded by 3, as a dense layer [16 out, in].

    The pixel meets the kernel's taps [out, in, 4, 4] in reverse order.
    """
    return kernel.flip(2, 3).permute(0, 2, 3, 1).reshape(-1, kernel.shape[1])


def _discriminator(
    weights: Weights, names: _Names, network: NetworkConfig | None, resolution: int
) -> tuple[NetworkConfig, int, State]:
    """Configuration, which is that of G where there is one, resolution and state."""
    top = weights.count(r"input(\d+)\..*") - 1
    dense = f"layer{2 * top + 1}"
    last = "output" if names is _HAMMER else f"layer{2 * top + 2}"
    widths = {4 << top - k: weights.shape(f"input{k}.weight", 4)[0] for k in range(top + 1)}
    widths[2] = weights.shape(f"{dense}.weight", 2)[0]
    scores = weights.shape(f"{last}.weight", 2)[0]
    base, largest = fit_widths(weights, widths)
    if network is None:
        colours, label_size = weights.shape("input0.weight", 4)[1], scores if scores > 1 else 0
        with weights.speaking():
            network = NetworkConfig(num_channels=colours, label_size=label_size)
            network = replace(network, mapping_layers=8, blur=True, fused_from=128, styles=True)
            network = replace(network, constant_input=True, noise=True, normalization="instance")
    elif resolution != 4 << top:
        raise weights.refuse(f"is for {4 << top}x{4 << top}, its generator for {resolution}")
    of_G, network = network, replace(network, fmap_base=base, fmap_max=largest)
    if resolution and any(of_G.fmaps(4 << k) != network.fmaps(4 << k) for k in range(top + 1)):
        raise weights.refuse("has other feature maps than its generator")
    state: State = {}
    for k in range(top + 1):
        C, C_next = widths[4 << top - k], widths[2 << top - k]
        state |= weights.take_layer(f"input{k}", f"from_rgb.{k}", C, network.num_channels, 1, 1)
        if k < top:
            down = f"layer{2 * k + 1}"
            state |= weights.take_layer(f"layer{2 * k}", f"blocks.{k}.conv0", C, C, 3, 3)
            state |= weights.take_layer(down, f"blocks.{k}.conv1_down", C_next, C, 3, 3)
            weights.take_blur(f"{down}.{names.blur}", C)
    C = widths[4]
    state |= weights.take_layer(f"layer{2 * top}", "conv", C, C + 1, 3, 3)
    state |= weights.take_layer(dense, "dense0", widths[2], 16 * C)
    state |= weights.take_layer(last, "dense1", max(network.label_size, 1), widths[2])
    if "lod" in weights:
        weights.take("lod")
    weights.finish()
    return network, 4 << top, state


LAYOUT = Layout(
    _NAME,
    generator=r"synthesis\.(layer|output)\d+\.",
    discriminator=r"input\d+\.(weight|bias)",
    read=read,
    average=_SMOOTH,
)
