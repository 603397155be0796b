"""Networks with the official weights as files, and directions for them."""

from dataclasses import replace

import numpy as np
import torch

from stylegan.checkpoint import checkpoint_path, save_checkpoint
from stylegan.configs import CONFIGS, Config
from stylegan.network_file import save_network
from stylegan.networks.generator import build_generator
from stylegan.presets import apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance, Snapshot
from stylegan.training.state import TrainState
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.results.directions_file import Directions, write_directions
from tests.train import golden

CPU = torch.device("cpu")
NOBODY = Provenance(seed=0, data="", version="")


def write_network(path, row, lod=0.0):
    """A row of Table 1 at 32x32: six resolutions' worth of layers less two, D = 32."""
    weights = golden.generator(row).state_dict()
    return _write(path, golden.small_config(row), weights, lod, None)


def write_conditional(path):
    """Three classes; labels to draw from name the last two alone."""
    config = golden.small_config("F")
    config = replace(config, network=replace(config.network, label_size=3))
    weights = build_generator(config, seed=1).state_dict()
    return _write(path, config, weights, 0.0, torch.eye(3)[1:], ("ape", "cat", "dog"))


def _write(path, config: Config, weights, lod, labels, label_names=()):
    content = Snapshot(
        config=config,
        provenance=NOBODY,
        nimg=1000,
        lod=lod,
        networks={"G_ema": weights},
        labels=labels,
        label_names=label_names,
    )
    save_network(path, content)
    return path


def write_attributes(path, network, names=("eyeglasses", "smiling"), width=32):
    """Directions at random but for their length; unlike spreads."""
    normals = np.random.default_rng(3).normal(size=(len(names), width))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    directions = Directions(
        names=tuple(names),
        normals=normals.astype(np.float32),
        spreads=np.linspace(0.5, 2, len(names), dtype=np.float32),
        accuracies=np.full(len(names), 0.9, np.float32),
        generator_digest=sha256_of(network),
        description="drawn at random",
    )
    write_directions(path, directions)
    return path


def write_small(path):
    """F at 16x16."""
    config = replace(golden.small_config("F"), resolution=16)
    return _write(path, config, build_generator(config, seed=2).state_dict(), 0.0, None)


def write_checkpoint(folder, nimg, lod=0.0):
    """A checkpoint of a run at 32x32; what it draws is a function of `nimg` and `lod`."""
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), resolution=32)
    state = TrainState.fresh(config, Runtime.choose("cpu"), seed=nimg)
    state.nimg, state.lod = nimg, lod
    path = checkpoint_path(folder, nimg)
    save_checkpoint(path, state.snapshot(config, NOBODY))
    return path
