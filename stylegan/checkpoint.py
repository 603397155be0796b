"""Write and read checkpoints.

A checkpoint is a dictionary of plain values and tensors written by `torch.save` and read by
`pickles.torch_files`: reading one runs no code. It holds all that `TrainState` holds; the random
state is (seed, images shown), from which every stream is derived.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan.configs import Config, config_from_dict, config_to_dict
from stylegan.snapshot import (
    PARTS,
    ResumeState,
    Snapshot,
    check_progress,
    check_tensors,
    label_names_from,
    on_meta,
    provenance_from_dict,
)
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.torch_files import is_torch_zip, read_torch

FORMAT = "stylegan-checkpoint/2"
_KEYS = {"config", "provenance", "nimg", "lod", "networks", "optimizers", "labels"}
_NAME = re.compile(r"checkpoint-(\d{6,})(?:_(\d{3}))?\.pt")


def kimg_name(nimg: int) -> str:
    """Number of images as part of file names, which sort by it.

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
        return older if read_checkpoint(older).nimg == nimg else path
    except UserError:
        return path


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    numbered = [(int(name[1]), int(name[2] or 0), path) for name, path in named if name]
    return [path for *_, path in sorted(numbered)]


def newest_checkpoint(path: Path) -> Path:
    """`path` itself, or the newest checkpoint in it when it is a run's folder."""
    if not path.exists():
        raise UserError(f"no checkpoint at {path}: the path does not exist")
    if not path.is_dir():
        return path
    checkpoints = checkpoints_in(path)
    if not checkpoints:
        raise UserError(f"no checkpoint in {path}: give a run's folder or a checkpoint-*.pt file")
    return checkpoints[-1]


def newest_good_checkpoint(folder: Path) -> tuple[Path, Snapshot, list[str]]:
    """Newest checkpoint of a run that can be read, and what is wrong with each newer one."""
    passed_over: list[str] = []
    for path in reversed(checkpoints_in(folder)):
        try:
            return path, read_checkpoint(path), passed_over
        except UserError as error:
            passed_over.append(str(error))
    if passed_over:
        raise UserError(f"no checkpoint in {folder} can be read: {passed_over[0]}")
    raise UserError(f"no checkpoint in {folder}: give a run's folder or a checkpoint-*.pt file")


def save_checkpoint(path: Path, snapshot: Snapshot) -> None:
    """Write a whole checkpoint or none: a snapshot that a training can continue."""
    resume = snapshot.resume
    assert resume is not None
    tree = {
        "format": FORMAT,
        "config": config_to_dict(snapshot.config),
        "provenance": asdict(snapshot.provenance),
        "nimg": snapshot.nimg,
        "lod": snapshot.lod,
        "labels": snapshot.labels,
        "label_names": list(snapshot.label_names),
        "networks": snapshot.networks,
        "optimizers": resume.optimizers,
        "snapshot_nimg": resume.snapshot_nimg,
        "log": {"nimg": resume.log_nimg, "looks": resume.log_looks, "sums": resume.log_sums},
    }
    with atomic_write(path) as temporary:
        try:
            with temporary.open("wb") as file:  # of a path, PyTorch writes the name into the file
                torch.save(tree, file)
        except RuntimeError as error:
            # PyTorch's writer goes on after an OSError, to one of its own.
            cause = error.__context__
            if isinstance(cause, OSError):
                raise OSError(cause.errno, cause.strerror) from error
            raise UserError(f"cannot write {path}: {str(error).splitlines()[0]}") from error


def looks_like_checkpoint(path: Path) -> bool:
    """Whether `path` is a checkpoint by content, or by name: a damaged one is then reported."""
    return is_torch_zip(path) or _NAME.fullmatch(path.name) is not None


def read_checkpoint(path: Path) -> Snapshot:
    """Read a checkpoint onto the CPU; whatever is in it can be trained on."""
    tree = read_archive(path)
    if not is_ours(tree):
        raise UserError(
            f"{path} is damaged or no checkpoint of this toolkit: use another checkpoint"
        )
    return snapshot_of(tree, path)


def snapshot_of(tree: Mapping[str, Any], path: Path) -> Snapshot:
    """Snapshot of a dictionary that `is_ours`, if whatever is in it can be trained on."""
    with parsing(path, "a damaged checkpoint", "use another one"):
        return _parse(tree)


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


def _parse(tree: Mapping[str, Any]) -> Snapshot:
    """Check the type and range of every value, and the name and shape of every tensor."""
    config, provenance = config_from_dict(tree["config"]), provenance_from_dict(tree["provenance"])
    nimg, lod, labels = tree["nimg"], tree["lod"], tree["labels"]
    check_progress(nimg, lod, config)
    if labels is not None:
        _check_tensor("labels", labels, [len(labels), config.network.label_size])
    _check_networks(tree["networks"], config)
    _check_optimizers(tree["optimizers"], config)
    # Older checkpoints lack the log's sums: they begin a row.
    log = tree.get("log", {"nimg": nimg, "looks": 0, "sums": {}})
    resume = ResumeState(
        optimizers=tree["optimizers"],
        snapshot_nimg=tree.get("snapshot_nimg", nimg),
        log_nimg=log["nimg"],
        log_looks=log["looks"],
        log_sums=dict(log["sums"]),
    )
    for count in (resume.log_nimg, resume.log_looks, resume.snapshot_nimg):
        if type(count) is not int or not 0 <= count <= nimg:
            raise UserError(f"a count of its log is {count!r:.40}, expected 0 to {nimg}")
    for name, value in resume.log_sums.items():
        _check_tensor(f"sum of {name!s:.40}", value, [])
    return Snapshot(
        config=config,
        provenance=provenance,
        nimg=nimg,
        lod=float(lod),
        networks=tree["networks"],
        format=FORMAT,
        labels=labels,
        label_names=label_names_from(tree.get("label_names"), config),
        resume=resume,
    )


def _check_networks(states: Any, config: Config) -> None:
    if not isinstance(states, Mapping) or not all(isinstance(s, Mapping) for s in states.values()):
        raise UserError("its networks are no states by name")
    if set(states) != set(PARTS):
        raise UserError(f"its networks are {', '.join(map(str, states))}, expected {PARTS}"[:300])
    tensors = {f"{part}.{name}": value for part in states for name, value in states[part].items()}
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            raise UserError(f"{name} is {_kind(value)}, expected a tensor of float32")
    check_tensors({name: list(value.shape) for name, value in tensors.items()}, config, PARTS)


def _check_optimizers(trees: Mapping[str, Any], config: Config) -> None:
    for part in ("G", "D"):
        moments = dict(trees[part])
        for count in ("t", "skipped"):
            _check_tensor(count, value := moments.pop(count), [])
            if not 0 <= float(value) < math.inf:
                raise UserError(f"{count} of the optimizer of {part} is {float(value)}")
        if "exp_avg_sq" not in moments or (config.schedule.beta1 and "exp_avg" not in moments):
            raise UserError(f"the optimizer of {part} lacks its moments")
        for moment in moments.values():
            for name, weight in on_meta(config, part).named_parameters():
                _check_tensor(f"moment of {part}.{name}", moment[name], list(weight.shape))


def _check_tensor(name: str, value: Any, shape: list[int]) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point() or list(value.shape) != shape:
        raise UserError(f"{name} is {_kind(value)}, expected a tensor of floats {shape}")


def _kind(value: Any) -> str:
    is_tensor = isinstance(value, Tensor)
    return f"{value.dtype} {list(value.shape)}" if is_tensor else type(value).__name__
