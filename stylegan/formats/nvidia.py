"""NVIDIA's pickles of StyleGAN and Progressive GAN."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan import __version__
from stylegan.configs import CONFIGS, Config, NetworkConfig, check_resolution
from stylegan.formats.official import (
    discriminator_state,
    foreign_names,
    generator_state,
    official_name,
)
from stylegan.formats.weights import EQUAL_CLASSES, NOT_SAID
from stylegan.snapshot import Facts, Provenance, Snapshot, on_meta
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.networks import PickledNetwork, Variables, read_networks
from stylegan_eval.pickles.torch_files import LEGACY

GENERATORS = {"G_style": "F", "G_paper": "A"}  # and the row that the defaults are of
DISCRIMINATORS = {"D_basic": "F", "D_paper": "A"}
# Larger numbers are refused before anything is made of them.
_LARGEST = 2**16
_MOST_CLASSES = 2**12

# Official name of a size, and ours.
_SIZES = {
    "num_channels": "num_channels",
    "label_size": "label_size",
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "mapping_fmaps": "mapping_fmaps",
    "mapping_layers": "mapping_layers",
    "fmap_base": "fmap_base",
    "fmap_max": "fmap_max",
    "mbstd_group_size": "mbstd_group_size",
}
_SWITCHES = {"use_styles": "styles", "const_input_layer": "constant_input", "use_noise": "noise"}
# Values that are built in here.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "fmap_decay": (1.0,),
    "use_wscale": (True,),
    "normalize_latents": (True,),
    "nonlinearity": ("lrelu",),
    "mapping_nonlinearity": ("lrelu",),
    "use_leakyrelu": (True,),
    "use_pixelnorm": (True,),
    "pixelnorm_epsilon": (1e-8,),
    "tanh_at_end": (None, False),
    "mbstd_num_features": (1,),
    "dlatent_avg_beta": (0.995, None),
    "dtype": ("float32",),
    "structure": ("auto", "linear", "recursive", None),
    "synthesis_func": ("G_synthesis",),
    "mapping_func": ("G_mapping",),
}
# Read elsewhere in this module, or of no effect on a trained network.
_OTHER = frozenset(
    [
        *("resolution", "mapping_lrmul", "use_pixel_norm", "use_instance_norm", "fused_scale"),
        *("blur_filter", "style_mixing_prob", "dlatent_broadcast", "is_training"),
        *("truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val"),
        *("is_validation", "randomize_noise", "return_dlatents", "is_template_graph"),
        "force_clean_graph",
    ]
)


def config_of(networks: tuple[PickledNetwork, ...]) -> Config:
    """Configuration that networks ``G_style``, ``G_paper``, ``D_basic``, ``D_paper`` share."""
    options: dict[str, Any] = {}
    rows = set()
    for network in networks:
        rows.add({**GENERATORS, **DISCRIMINATORS}[network.function])
        for part in (network, *network.components.values()):
            _merge(options, part)
    if len(rows) > 1:
        raise UserError("its generator and discriminator are of different code bases")
    for network in networks:
        if network.function == "G_paper":
            _complete_progan(options, network)
    base = CONFIGS[rows.pop()]
    resolution = _size("resolution", options.get("resolution", base.resolution))
    check_resolution(resolution)
    network_config = _network_config(base.network, options, resolution)
    return _named(network_config, options, resolution)


def _merge(options: dict[str, Any], part: PickledNetwork) -> None:
    for key, value in part.options.items():
        if isinstance(value, list):
            value = tuple(value)
        known = key in _SIZES or key in _SWITCHES or key in _FIXED or key in _OTHER
        if not known or (key in _FIXED and value not in _FIXED[key]):
            raise UserError(
                f"network {part.name} has the option {key}={value!r:.60}, which the networks of"
                " this toolkit cannot express"
            )
        if key in _SIZES and options.get(key, value) != value:
            raise UserError(f"its networks disagree on {key}: {options[key]!r}, {value!r}")
        options[key] = value


def _complete_progan(options: dict[str, Any], network: PickledNetwork) -> None:
    """Latents of Progressive GAN are as wide as its first layer, which has no mapping before it."""
    if options.get("label_size", 0) != 0:
        raise UserError(
            "a conditional Progressive GAN takes its labels in another way than the networks of"
            " this toolkit"
        )
    dense = network.variables.get("4x4/Dense/weight")
    if options.get("latent_size") is None:
        if dense is None or dense.ndim != 2:
            raise UserError("network G lacks the variable 4x4/Dense/weight")
        options["latent_size"] = dense.shape[0]
    options["mapping_layers"] = 0


def _size(key: str, value: Any) -> int:
    most = _MOST_CLASSES if key == "label_size" else _LARGEST
    if type(value) is not int or not 0 <= value <= most:
        raise UserError(f"its option {key} is {value!r:.40}, expected a number up to {most}")
    return value


def _switch(options: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = options.get(key, default)
    if type(value) is not bool:
        raise UserError(f"its option {key} is {value!r:.40}, expected True or False")
    return value


def _network_config(
    base: NetworkConfig, options: Mapping[str, Any], resolution: int
) -> NetworkConfig:
    sizes = {ours: _size(key, options[key]) for key, ours in _SIZES.items() if key in options}
    switches = {
        ours: _switch(options, key, default=getattr(base, ours)) for key, ours in _SWITCHES.items()
    }
    lrmul = options.get("mapping_lrmul", base.mapping_lrmul)
    if not isinstance(lrmul, int | float) or not 0 < lrmul <= 1:
        raise UserError(f"its option mapping_lrmul is {lrmul!r:.40}, expected one above 0")
    made: dict[str, Any] = {
        "normalization": _normalization(base, options),
        "fused_from": _fused_from(base, options, resolution),
        "blur": _blur(base, options),
        "mapping_lrmul": float(lrmul),
    }
    if sizes.get("mapping_layers", base.mapping_layers) == 0:  # w is z, and its label's row
        z_dim = sizes.get("z_dim", base.z_dim)
        sizes["w_dim"] = z_dim * 2 if sizes.get("label_size", 0) else z_dim
    return replace(base, **{**sizes, **switches, **made})


def _normalization(base: NetworkConfig, options: Mapping[str, Any]) -> str:
    pixel = _switch(options, "use_pixel_norm", default=base.normalization == "pixel")
    instance = _switch(options, "use_instance_norm", default=base.normalization == "instance")
    if pixel == instance:
        raise UserError(
            f"its options use_pixel_norm={pixel}, use_instance_norm={instance} cannot be expressed"
            " here: expected one of the two"
        )
    return "pixel" if pixel else "instance"


def _fused_from(base: NetworkConfig, options: Mapping[str, Any], resolution: int) -> int:
    value = options.get("fused_scale", "auto" if base.blur else True)
    if isinstance(value, str) and value == "auto":
        return 128
    if type(value) is not bool:
        raise UserError(f"its option fused_scale is {value!r:.40}, expected True, False or 'auto'")
    if not base.blur and not value:  # its layers have other names, which nothing here was held to
        raise UserError("a Progressive GAN with fused_scale=False cannot be expressed here")
    return 4 if value else 2 * resolution


def _blur(base: NetworkConfig, options: Mapping[str, Any]) -> bool:
    kernel = options.get("blur_filter", (1, 2, 1) if base.blur else None)
    if kernel not in ((1, 2, 1), None):
        raise UserError(f"its option blur_filter is {kernel!r:.40}, expected [1, 2, 1] or None")
    return kernel is not None


def _named(network: NetworkConfig, options: Mapping[str, Any], resolution: int) -> Config:
    """The row of Table 1 that has these parts; F's training where it is none of them."""
    mixing = options.get("style_mixing_prob", 0.9)
    mixing = 0.0 if mixing is None or not network.styles else mixing
    if not isinstance(mixing, int | float) or not 0 <= mixing <= 1:
        raise UserError(f"its option style_mixing_prob is {mixing!r:.40}, expected one in [0, 1]")
    parts = ("blur", "styles", "normalization", "constant_input", "noise")
    row = CONFIGS["F"]
    for each in CONFIGS.values():
        alike = all(getattr(each.network, part) == getattr(network, part) for part in parts)
        mixes = each.loss.style_mixing_prob > 0
        if alike and bool(each.network.mapping_layers) == bool(network.mapping_layers):
            row = each
            if mixes == (mixing > 0):
                break
    loss = replace(row.loss, style_mixing_prob=float(mixing))
    return replace(row, resolution=resolution, network=network, loss=loss)


# Training images of the published networks, and whether they were mirrored: from the code's
# README and `train.py`, and StyleGAN2's README.
_PUBLISHED = {
    "karras2019stylegan-ffhq-1024x1024.pkl": ("FFHQ", True),
    "karras2019stylegan-celebahq-1024x1024.pkl": ("CelebA-HQ", True),
    "karras2019stylegan-bedrooms-256x256.pkl": ("LSUN bedroom", False),
    "karras2019stylegan-cars-512x384.pkl": ("LSUN car", False),
    "karras2019stylegan-cats-256x256.pkl": ("LSUN cat", False),
    "stylegan2-ffhq-config-a.pkl": ("FFHQ", True),
    "stylegan2-car-config-a.pkl": ("LSUN car", False),
    "stylegan2-cat-config-a.pkl": ("LSUN cat", False),
    "stylegan2-church-config-a.pkl": ("LSUN church", False),
    "stylegan2-horse-config-a.pkl": ("LSUN horse", False),
}
# Beginnings of what a note says of the file alone, which changes no result.
ORIGIN = ("read from a", "the images shown")
_SNAPSHOT = re.compile(r"network-snapshot-(\d{6})\.pkl")


# Pickles of protocol 0 are text: objects of networks, alone or in a tuple or list, begin so.
_PROTOCOL_0 = re.compile(rb"(\(lp\d+\n)?\(*c(copy_reg|copyreg|dnnlib[\w.]*|tfutil)\n")


def is_pickle(path: Path) -> bool:
    """Whether a file begins as a bare pickle, or is called one; those of PyTorch are not."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        beginning = file.read(64)
    if beginning.startswith((LEGACY, b"PK")):
        return False
    binary = beginning[:1] == b"\x80" and beginning[1:2] <= b"\x05"
    return binary or _PROTOCOL_0.match(beginning) is not None or path.suffix == ".pkl"


def read_nvidia(path: Path) -> Snapshot:
    """Read a pickle of official networks: a tuple (G, D, Gs), or one network.

    A generator that comes alone is taken for the average.
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
    note = f"{ORIGIN[0]} {layout}, sha256 {sha256_of(path)}"
    note += "" if kimg else f"; {ORIGIN[1]} are not recorded there"
    if "G_ema" in parts and parts["G_ema"].name != "Gs":
        note += f"; {NOT_SAID}"
    note += f"; {EQUAL_CLASSES}" if label_size else ""
    data, mirror = _PUBLISHED.get(path.name, ("", config.mirror))
    return Snapshot(
        config=replace(config, mirror=mirror),
        provenance=Provenance(seed=0, data=data, version=__version__),
        nimg=kimg * 1000,
        lod=lod,
        networks=networks,
        format=layout,
        labels=torch.eye(label_size) if label_size else None,
        facts=Facts(note=note),
    )


def kimg_of(path: Path) -> int:
    """Thousands of images in a snapshot's name; 0 if it has none."""
    match = _SNAPSHOT.fullmatch(path.name)
    return int(match[1]) if match else 0


def _parts(networks: tuple[PickledNetwork, ...]) -> dict[str, PickledNetwork]:
    """Networks by our names, in the order G, D, Gs of the official tuple."""
    for network in networks:
        if network.function not in GENERATORS | DISCRIMINATORS:
            known = ", ".join(GENERATORS | DISCRIMINATORS)
            raise UserError(
                f"network {network.name} was built by {network.function}: expected one of {known}"
            )
    order = [
        "D" if network.function in DISCRIMINATORS else "G" if k < len(networks) - 1 else "G_ema"
        for k, network in enumerate(networks)
    ]
    if order not in (["G", "D", "G_ema"], ["G_ema"], ["D"]):
        raise UserError(f"holds {', '.join(order)}: expected (G, D, Gs), or one network")
    return dict(zip(order, networks, strict=True))


def _state(network: PickledNetwork, config: Config) -> dict[str, Tensor]:
    """State dictionary whose names and shapes are those of the configuration."""
    generates = network.function in GENERATORS
    variables = _plain_layout(network) if generates else network.variables
    foreign = foreign_names(variables, config.resolution)
    if foreign:
        raise UserError(f"network {network.name} has a foreign variable {foreign[0]}")
    shapes = on_meta(config, "G" if generates else "D").state_dict()
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
