"""The one place that writes and reads checkpoints.

A checkpoint is a dictionary of plain values and tensors written by `torch.save` and read by
`pickles.torch_files`: reading one runs no code. It holds all that `TrainState` holds; the random
state is (seed, images shown), from which every stream is derived.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan.configs import Config, config_from_dict, config_to_dict
from stylegan.network_file import PARTS, check_tensors, networks_on_meta
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance, provenance_from_dict, provenance_to_dict
from stylegan.training.state import TrainState
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.torch_files import is_torch_zip, read_torch

FORMAT = "stylegan-checkpoint/2"
_KEYS = {"config", "provenance", "nimg", "lod", "networks", "optimizers", "labels"}
_NAME = re.compile(r"checkpoint-(\d{6,})(?:_(\d{3}))?\.pt")


def kimg_name(nimg: int) -> str:
    """A number of images in names of files, which sort by it.

    >>> kimg_name(25_000), kimg_name(25_344)
    ('000025', '000025_344')
    """
    kimg, rest = divmod(nimg, 1000)
    return f"{kimg:06d}_{rest:03d}" if rest else f"{kimg:06d}"


def checkpoint_path(folder: Path, nimg: int) -> Path:
    """Name of the checkpoint taken after `nimg` images."""
    return folder / f"checkpoint-{kimg_name(nimg)}.pt"


def existing_checkpoint(folder: Path, nimg: int) -> Path:
    """The checkpoint taken after `nimg` images, also of a version that named whole kimg only."""
    path, older = checkpoint_path(folder, nimg), checkpoint_path(folder, nimg // 1000 * 1000)
    if path.exists() or not older.exists():
        return path
    try:
        return older if read_checkpoint(older)["nimg"] == nimg else path
    except UserError:
        return path


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    found = [(int(name[1]), int(name[2] or 0), path) for name, path in named if name is not None]
    return [path for *_, path in sorted(found)]


def newest_checkpoint(path: Path) -> Path:
    """`path` itself, or the newest checkpoint in it when it is a run's folder."""
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
    """
    tree = {
        "format": FORMAT,
        "config": config_to_dict(config),
        "provenance": provenance_to_dict(provenance),
        "nimg": state.nimg,
        "lod": state.lod,
        "labels": labels,
        "networks": {name: network.state_dict() for name, network in state.networks.items()},
        "optimizers": {"G": state.optimizer_G.tree(), "D": state.optimizer_D.tree()},
        "snapshot_nimg": state.snapshot_nimg,
        "log": {"nimg": state.log_nimg, "looks": state.log_looks, "sums": state.log_sums},
    }
    with atomic_write(path) as temporary:
        try:
            torch.save(tree, temporary)
        except RuntimeError as error:  # PyTorch's writer hides the OSError
            raise UserError(f"cannot write {path}: {str(error).splitlines()[0]}") from error


def looks_like_checkpoint(path: Path) -> bool:
    """Whether `path` is a checkpoint by content, or by name, so that a damaged one is told so."""
    return is_torch_zip(path) or _NAME.fullmatch(path.name) is not None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's dictionary onto the CPU; whatever is in it can be trained on."""
    tree = read_archive(path)
    if not is_ours(tree):
        raise UserError(
            f"{path} is damaged or no checkpoint of this toolkit: use another checkpoint"
        )
    return checked(tree, path)


def checked(tree: dict[str, Any], path: Path) -> dict[str, Any]:
    """A dictionary that is ours, if whatever is in it can be trained on."""
    with parsing(path, "a damaged checkpoint", "use another one"):
        _check(tree)
    return tree


def is_ours(tree: Mapping[str, Any]) -> bool:
    """Whether a dictionary is a checkpoint of this toolkit, of this version."""
    return tree.get("format") == FORMAT and tree.keys() >= _KEYS


def read_archive(path: Path) -> dict[str, Any]:
    """Read the dictionary that any program saved by `torch.save`, onto the CPU."""
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}: the file does not exist")
    tree = read_torch(path)
    if not isinstance(tree, dict):
        raise UserError(f"{path}: holds {type(tree).__name__}, expected networks by name")
    return tree


def _check(tree: Mapping[str, Any]) -> None:
    """Check the type and range of every value, and the name and shape of every tensor."""
    config, _ = load_config(tree)
    nimg, lod, labels = tree["nimg"], tree["lod"], tree["labels"]
    if type(nimg) is not int or not 0 <= nimg < 2**63:
        raise UserError(f"nimg is {nimg!r:.40}, expected a number of images")
    if type(lod) not in (int, float) or not 0 <= lod <= math.log2(config.resolution) - 2:
        raise UserError(f"lod is {lod!r:.40}, expected 0 to {math.log2(config.resolution) - 2:g}")
    if labels is not None:
        _check_tensor("labels", labels, [len(labels), config.network.label_size])
    states = tree["networks"]
    if not isinstance(states, Mapping) or not all(isinstance(s, Mapping) for s in states.values()):
        raise UserError("its networks are no states by name")
    if set(states) != set(PARTS):
        raise UserError(f"its networks are {', '.join(map(str, states))}, expected {PARTS}"[:300])
    tensors = {f"{part}.{name}": value for part in states for name, value in states[part].items()}
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            raise UserError(f"{name} is {_kind(value)}, expected a tensor of float32")
    check_tensors({name: list(value.shape) for name, value in tensors.items()}, config, PARTS)
    _check_optimizers(tree["optimizers"], config)
    log = _log(tree)
    for count in (log["nimg"], log["looks"], tree.get("snapshot_nimg", nimg)):
        if type(count) is not int or not 0 <= count <= nimg:
            raise UserError(f"a count of its log is {count!r:.40}, expected 0 to {nimg}")
    for name, value in dict(log["sums"]).items():
        _check_tensor(f"sum of {name!s:.40}", value, [])


def _log(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the next row of the log will be made of; checkpoints before it was kept begin one."""
    log: Mapping[str, Any] = tree.get("log", {"nimg": tree["nimg"], "looks": 0, "sums": {}})
    return log


def _check_optimizers(trees: Mapping[str, Any], config: Config) -> None:
    networks = networks_on_meta(config, frozenset(PARTS))
    for part in ("G", "D"):
        moments = dict(trees[part])
        for count in ("t", "skipped"):
            _check_tensor(count, value := moments.pop(count), [])
            if not 0 <= float(value) < math.inf:
                raise UserError(f"{count} of the optimizer of {part} is {float(value)}")
        if "exp_avg_sq" not in moments or (config.schedule.beta1 and "exp_avg" not in moments):
            raise UserError(f"the optimizer of {part} lacks its moments")
        for moment in moments.values():
            for name, weight in networks[part].named_parameters():
                _check_tensor(f"moment of {part}.{name}", moment[name], list(weight.shape))


def _check_tensor(name: str, value: Any, shape: list[int]) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point() or list(value.shape) != shape:
        raise UserError(f"{name} is {_kind(value)}, expected a tensor of floats {shape}")


def _kind(value: Any) -> str:
    return (
        f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    )


def load_config(tree: Mapping[str, Any]) -> tuple[Config, Provenance]:
    """Configuration and provenance of a checkpoint's dictionary."""
    return config_from_dict(tree["config"]), provenance_from_dict(tree["provenance"])


def load_state(tree: dict[str, Any], runtime: Runtime) -> TrainState:
    """Training state of a checkpoint's dictionary, on the runtime's device."""
    config, provenance = load_config(tree)
    state = TrainState.fresh(config, runtime, provenance.seed)
    load_networks(tree, state)
    state.optimizer_G.load_tree(tree["optimizers"]["G"])
    state.optimizer_D.load_tree(tree["optimizers"]["D"])
    state.nimg, state.lod = int(tree["nimg"]), float(tree["lod"])
    state.snapshot_nimg, log = tree.get("snapshot_nimg", state.nimg), _log(tree)
    state.log_nimg, state.log_looks = log["nimg"], log["looks"]
    state.log_sums = {key: value.to(runtime.device) for key, value in log["sums"].items()}
    return state


def load_networks(tree: dict[str, Any], state: TrainState) -> None:
    """Give the networks of `state` the weights of a checkpoint's dictionary."""
    check_parts(tree, tuple(state.networks), "training goes on")
    for name, network in state.networks.items():
        network.load_state_dict(tree["networks"][name])


def check_parts(tree: dict[str, Any], parts: Sequence[str], purpose: str) -> None:
    """Check that networks are there which only checkpoints always hold."""
    lacking = [part for part in parts if part not in tree["networks"]]
    for part in lacking:
        if part in tree.get("left_out", {}):
            raise UserError(f"{purpose} with {', '.join(parts)}: {tree['left_out'][part]}")
    if lacking:
        raise UserError(
            f"the file holds {', '.join(tree['networks'])} alone, {purpose} with"
            f" {', '.join(parts)}: use a checkpoint of the training"
        )


def load_generator(tree: dict[str, Any], device: torch.device) -> Generator:
    """Moving average of the generator, for evaluation."""
    config, _ = load_config(tree)
    check_parts(tree, ["G_ema"], "images are drawn")
    network = Generator(config.network, config.resolution).to(memory_format=torch.channels_last)
    network.load_state_dict(tree["networks"]["G_ema"])
    return network.to(device).requires_grad_(requires_grad=False).eval()


def load_labels(tree: dict[str, Any]) -> Tensor:
    """Labels [K, label_size] that a conditional network was trained with."""
    config, _ = load_config(tree)
    labels, size = tree["labels"], config.network.label_size
    if not isinstance(labels, Tensor) or labels.ndim != 2 or labels.shape[1] != size:
        raise UserError("the checkpoint holds no labels for its networks: use another one")
    return labels


def load_discriminator(tree: dict[str, Any], device: torch.device) -> Discriminator:
    """Discriminator, for scoring."""
    config, _ = load_config(tree)
    check_parts(tree, ["D"], "scores are made")
    network = Discriminator(config.network, config.resolution)
    network.load_state_dict(tree["networks"]["D"])
    return network.to(device).requires_grad_(requires_grad=False).eval()
