"""Network files: safetensors with configuration and provenance, without optimizer state.

Tensors ``G_ema.*``, and for training and scoring ``G.*`` and ``D.*``; the labels that a conditional
network draws from as ``labels``. One entry of the header's metadata is a record in JSON: format,
configuration, provenance, progress, and facts for people.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from stylegan.configs import config_from_dict, config_to_dict, refuse_constant
from stylegan.snapshot import (
    PARTS,
    Facts,
    Score,
    Snapshot,
    check_progress,
    check_tensors,
    label_names_from,
    provenance_from_dict,
)
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

FORMAT = "stylegan-network/1"
# One entry of metadata: safetensors writes several in any order.
ENTRY = "stylegan_network"
# Bytes of a header: two networks of 1024x1024 have some 300 tensors, 100 bytes each.
_LONGEST = 2**22


def save_network(path: Path, snapshot: Snapshot) -> None:
    """Write a network, whole or not at all; equal networks give equal bytes."""
    tensors = {
        f"{part}.{name}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for part, state in snapshot.networks.items()
        for name, value in state.items()
    }
    if snapshot.labels is not None and snapshot.config.network.label_size:
        tensors["labels"] = snapshot.labels.contiguous()
    record = {
        "format": FORMAT,
        "config": config_to_dict(snapshot.config),
        "provenance": asdict(snapshot.provenance),
        "nimg": snapshot.nimg,
        "lod": snapshot.lod,
        "facts": asdict(snapshot.facts),
    }
    if snapshot.label_names:
        record["label_names"] = snapshot.label_names
    data = save(tensors, metadata={ENTRY: json.dumps(record, sort_keys=True, allow_nan=False)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a header in JSON, then the header."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        beginning = file.read(9)
    return len(beginning) == 9 and beginning[8:] == b"{" and _header_length(beginning) < 2**32


def is_network(path: Path) -> bool:
    """Whether a file is of `save_network`, maybe of another version or damaged inside."""
    if not is_safetensors(path):
        return False
    with _opened(path) as content:
        return ENTRY in (content.metadata() or {})


def read_network(path: Path) -> Snapshot:
    """Read a file of `save_network`, trusting none of it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if not is_safetensors(path):
        raise UserError(f"{path}: not a safetensors file")
    with _opened(path) as content:
        record = _record(path, content.metadata() or {})
        _check_shapes(path, record, content)
        # Copies: what it returns are views of the file.
        tensors = {name: content.get_tensor(name).clone() for name in list(content.keys())}
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"{path}: tensor {name} holds numbers that are not finite")
    networks: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        part, dot, rest = name.partition(".")
        if dot:
            networks.setdefault(part, {})[rest] = value
    return replace(record, networks=networks, labels=tensors.get("labels"))


def _header_length(beginning: bytes) -> int:
    return int.from_bytes(beginning[:8], "little")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open safetensors; the library checks that header and tensors fill the file exactly."""
    with path.open("rb") as file:
        length = _header_length(file.read(8))
    if length > _LONGEST:
        raise UserError(f"{path}: damaged, or no network: its header would be {length} bytes")
    with (
        parsing(path, "not a safetensors file, or damaged"),
        safe_open(path, framework="pt") as content,
    ):
        yield content


def _record(path: Path, metadata: Mapping[str, str]) -> Snapshot:
    """Snapshot of a file, without its tensors."""
    if ENTRY not in metadata:
        raise UserError(f"{path}: holds other weights, expected a network of this toolkit")
    with parsing(path, "its record cannot be read"):
        tree = json.loads(metadata[ENTRY], parse_constant=refuse_constant)
        if not isinstance(tree, dict):
            raise ValueError("no mapping")
        if tree.get("format") != FORMAT:
            raise ValueError(f"format {tree.get('format')!r:.60}, this version reads {FORMAT}")
        config = config_from_dict(tree["config"])
        nimg, lod = tree["nimg"], tree["lod"]
        check_progress(nimg, lod, config)
        return Snapshot(
            config=config,
            provenance=provenance_from_dict(tree["provenance"]),
            nimg=nimg,
            lod=float(lod),
            networks={},
            format=FORMAT,
            label_names=label_names_from(tree.get("label_names"), config),
            facts=_facts(tree["facts"]),
        )


def _facts(tree: Any) -> Facts:
    """Facts of a record; ValueError, TypeError or KeyError where they do not fit."""
    scores = [Score(**score) for score in tree["scores"]]
    for score in scores:
        numbers = [score.value] if score.stderr is None else [score.value, score.stderr]
        if not all(type(number) in (int, float) and abs(number) < math.inf for number in numbers):
            raise ValueError("a score is no number")
    facts = Facts(command=tree["command"], scores=tuple(scores), note=tree["note"])
    words = [facts.command, facts.note]
    words += [word for score in scores for word in (score.metric, score.command)]
    if not all(isinstance(word, str) and word.isprintable() for word in words):
        raise ValueError("a fact is no line of text")
    return facts


def _check_shapes(path: Path, record: Snapshot, content: Any) -> None:
    """Refuse tensors that are not those of the configuration, before any is read."""
    config = record.config
    slices = {name: content.get_slice(name) for name in list(content.keys())}
    parts = {name.partition(".")[0] for name in slices if "." in name}
    foreign = sorted(parts - set(PARTS))
    if foreign or not parts:
        fault = f"has foreign tensors {foreign[0]}.*" if foreign else "has no network"
        raise UserError(f"{path}: {fault}: expected {', '.join(PARTS)}")
    labels = slices.pop("labels", None)
    if labels is not None:
        shape, size = labels.get_shape(), config.network.label_size
        if size == 0 or labels.get_dtype() != "F32" or len(shape) != 2 or shape[1] != size:
            raise UserError(f"{path}: its labels are not those of its networks")
    for name, value in slices.items():
        if value.get_dtype() != "F32":
            raise UserError(f"{path}: tensor {name} is {value.get_dtype()}, expected F32")
    shapes = {name: list(value.get_shape()) for name, value in slices.items()}
    check_tensors(shapes, config, frozenset(parts))
