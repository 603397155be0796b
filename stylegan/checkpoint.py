"""The one place that writes and reads checkpoints.

A checkpoint is a dictionary of plain values and tensors written by `torch.save` and read with
``weights_only=True``: reading one runs no code. It holds all that `TrainState` holds; the random
state is (seed, images shown), from which every stream is derived.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from stylegan.configs import Config, config_from_dict, config_to_dict
from stylegan.networks.conditional import DrawsLabels
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator, GeneratorAtLod
from stylegan.runtime import Runtime
from stylegan.training.state import TrainState
from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write, sha256_of
from stylegan_eval.protocols import ImageGenerator, LoadedGenerator

FORMAT = "stylegan-checkpoint/2"
_KEYS = {"config", "provenance", "nimg", "lod", "networks", "optimizers", "labels"}
_NAME = re.compile(r"checkpoint-(\d{6,})\.pt")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a checkpoint says of its making beside the configuration.

    Attributes
    ----------
    seed : int
        Seed of the run.
    data : str
        Content key of the training images.
    version : str
        Version of this package.
    execution : tuple
        How it was computed, ((images shown before, 'fp32'), ...): one entry per change.
    init : str
        SHA-256 of the checkpoint whose networks were the first ones; empty for fresh ones.
    """

    seed: int
    data: str
    version: str
    execution: tuple[tuple[int, str], ...] = ((0, "fp32"),)
    init: str = ""

    def going_on(self, nimg: int, execution: str) -> "Provenance":
        """The same, computed in this way from image `nimg` on."""
        if self.execution[-1][1] == execution:
            return self
        return replace(self, execution=(*self.execution, (nimg, execution)))


def checkpoint_path(folder: Path, nimg: int) -> Path:
    """Name of the checkpoint taken after `nimg` images."""
    return folder / f"checkpoint-{nimg // 1000:06d}.pt"


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    named = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(named, key=lambda path: int(path.name.split("-")[1].split(".")[0]))


def newest_checkpoint(path: Path) -> Path:
    """`path` itself, or the newest checkpoint in it when it is a run's folder.

    Raises
    ------
    UserError
        Nothing is there.
    """
    if not path.exists():
        raise UserError(f"no checkpoint at {path}: the path does not exist")
    if not path.is_dir():
        return path
    found = checkpoints_in(path)
    if not found:
        raise UserError(f"no checkpoint in {path}: give a run's folder or a checkpoint-*.pt file")
    return found[-1]


def newest_good_checkpoint(folder: Path) -> tuple[Path, dict[str, Any], list[str]]:
    """Newest checkpoint of a run that can be read.

    Returns
    -------
    path : Path
        The file.
    tree : dict
        What it holds.
    passed_over : list of str
        What is wrong with each newer one.

    Raises
    ------
    UserError
        There is none.
    """
    passed_over: list[str] = []
    for path in reversed(checkpoints_in(folder)):
        try:
            return path, read_checkpoint(path), passed_over
        except UserError as error:
            passed_over.append(str(error))
    if passed_over:
        raise UserError(f"no checkpoint in {folder} can be read: {passed_over[0]}")
    raise UserError(f"no checkpoint in {folder}: give a run's folder or a checkpoint-*.pt file")


def save_checkpoint(
    path: Path,
    state: TrainState,
    config: Config,
    provenance: Provenance,
    labels: Tensor | None = None,
) -> None:
    """Write a whole checkpoint or none.

    Parameters
    ----------
    labels : Tensor, optional
        [K, label_size], labels of the training images or of some of them; a conditional network
        needs them to be sampled and measured.

    Raises
    ------
    UserError
        The disk is full or the folder cannot be written; an older file stays as it was.
    """
    tree = {
        "format": FORMAT,
        "config": config_to_dict(config),
        "provenance": vars(provenance),
        "nimg": state.nimg,
        "lod": state.lod,
        "labels": labels,
        "networks": {name: network.state_dict() for name, network in state.networks.items()},
        "optimizers": {"G": state.optimizer_G.tree(), "D": state.optimizer_D.tree()},
    }
    with atomic_write(path) as temporary:
        try:
            torch.save(tree, temporary)
        except RuntimeError as error:  # PyTorch's writer hides the OSError
            raise UserError(f"cannot write {path}: {str(error).splitlines()[0]}") from error


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is a zip of the kind `torch.save` writes."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's dictionary onto the CPU and check that it is whole and ours.

    Raises
    ------
    UserError
        The file is missing, damaged, or something else.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: the file does not exist")
    damaged = f"{path} is damaged or no checkpoint of this toolkit: use another checkpoint"
    if not is_checkpoint(path):
        raise UserError(damaged)
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # checksums of every tensor
                raise UserError(damaged)
        tree = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(damaged) from error
    if not isinstance(tree, dict) or tree.get("format") != FORMAT or not tree.keys() >= _KEYS:
        raise UserError(damaged)
    return tree


@contextmanager
def _well_formed() -> Iterator[None]:
    """Refuse in one line what a file of the right kind holds instead of what it should."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"the checkpoint is damaged ({' '.join(str(error).split())[:200]}): use another one"
        ) from error


def load_config(tree: dict[str, Any]) -> tuple[Config, Provenance]:
    """Configuration and provenance of a checkpoint's dictionary."""
    with _well_formed():
        return config_from_dict(tree["config"]), Provenance(**tree["provenance"])


def load_state(tree: dict[str, Any], runtime: Runtime) -> TrainState:
    """Training state of a checkpoint's dictionary, on the runtime's device."""
    config, provenance = load_config(tree)
    state = TrainState.fresh(config, runtime, provenance.seed)
    load_networks(tree, state)
    with _well_formed():
        state.optimizer_G.load_tree(tree["optimizers"]["G"])
        state.optimizer_D.load_tree(tree["optimizers"]["D"])
        state.nimg, state.lod = int(tree["nimg"]), float(tree["lod"])
    return state


def load_networks(tree: dict[str, Any], state: TrainState) -> None:
    """Give the networks of `state` the weights of a checkpoint's dictionary."""
    with _well_formed():
        for name, network in state.networks.items():
            network.load_state_dict(tree["networks"][name])


def load_generator(tree: dict[str, Any], device: torch.device) -> Generator:
    """Moving average of the generator, for evaluation."""
    config, _ = load_config(tree)
    network = Generator(config.network, config.resolution).to(memory_format=torch.channels_last)
    with _well_formed():
        network.load_state_dict(tree["networks"]["G_ema"])
    return network.to(device).requires_grad_(requires_grad=False).eval()


def load_labels(tree: dict[str, Any]) -> Tensor:
    """Labels [K, label_size] that a conditional network was trained with.

    Raises
    ------
    UserError
        The checkpoint holds none that fit.
    """
    config, _ = load_config(tree)
    labels, size = tree["labels"], config.network.label_size
    if not isinstance(labels, Tensor) or labels.ndim != 2 or labels.shape[1] != size:
        raise UserError("the checkpoint holds no labels for its networks: use another one")
    return labels


def load_discriminator(tree: dict[str, Any], device: torch.device) -> Discriminator:
    """Discriminator, for scoring."""
    config, _ = load_config(tree)
    network = Discriminator(config.network, config.resolution)
    with _well_formed():
        network.load_state_dict(tree["networks"]["D"])
    return network.to(device).requires_grad_(requires_grad=False).eval()


def load_for_evaluation(path: Path, device: torch.device) -> LoadedGenerator | None:
    """Entry point of `stylegan-eval`: the generator of a checkpoint or run folder.

    Returns
    -------
    LoadedGenerator or None
        None when the path holds nothing of ours.

    Raises
    ------
    UserError
        It is ours but damaged.
    """
    if path.is_dir() and checkpoints_in(path):
        path = newest_checkpoint(path)
    if not is_checkpoint(path) and not _NAME.fullmatch(path.name):
        return None
    tree = read_checkpoint(path)
    config, _ = load_config(tree)
    size = f"{config.resolution}x{config.resolution}"
    grown = f", lod {tree['lod']:.2f}" if tree["lod"] > 0 else ""
    grown_to = GeneratorAtLod(load_generator(tree, device), tree["lod"])
    conditional = config.network.label_size > 0
    generator: ImageGenerator = grown_to
    if conditional:
        generator = DrawsLabels(grown_to, load_labels(tree))
    return LoadedGenerator(
        generator=generator,
        smooth=not conditional,
        description=f"config {config.name}, {size}, {tree['nimg'] / 1000:.1f} kimg{grown}",
        sha256=sha256_of(path),
        mirrored=config.mirror,
        maps=config.network.mapping_layers > 0,
    )
