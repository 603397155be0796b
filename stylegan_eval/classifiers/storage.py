"""The file of attribute classifiers: one safetensors with weights and a record."""

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from stylegan_eval.classifiers.classifier import (
    AttributeClassifier,
    AttributeRecord,
    ClassifierRecord,
)
from stylegan_eval.classifiers.dataset import MOST_ATTRIBUTES
from stylegan_eval.classifiers.network import ClassifierNetwork, build_network
from stylegan_eval.classifiers.official import are_official, load_official
from stylegan_eval.engine.files import atomic_write, sha256_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.networks.network import place

# One entry of metadata: safetensors writes several in any order.
ENTRY = "attribute_classifiers"
FORMAT = 1


def save_classifier(path: Path, record: ClassifierRecord, network: ClassifierNetwork) -> None:
    """Write a classifier, whole or not at all; equal classifiers give equal bytes."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    tree = {"format": FORMAT, **dataclasses.asdict(record)}
    data = save(tensors, metadata={ENTRY: json.dumps(tree, sort_keys=True)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def load_classifier(path: Path, device: torch.device) -> AttributeClassifier:
    """Read a file of `save_classifier`, or official classifiers, trusting none of it."""
    if are_official(path):
        return load_official(path, device)
    if not path.is_file():
        raise UserError(f"{path}: no such file; make one with stylegan-eval classifiers train")
    with (
        parsing(path, "not a safetensors file, or damaged"),
        safe_open(path, framework="pt") as content,
    ):
        metadata = content.metadata() or {}
        record = _record(metadata, path)
        # Copies: what it returns are views of the file.
        tensors = {name: content.get_tensor(name).clone() for name in list(content.keys())}
    with parsing(path):
        network = build_network(record.architecture, record.resolution, len(record.attributes))
        _check_weights(network.state_dict(), tensors, path)
    network.load_state_dict(tensors, assign=True)
    place(network, device, "fp32")  # itself, not a copy
    return AttributeClassifier(
        record=record, network=network, device=device, sha256=sha256_of(path)
    )


def _check_weights(
    expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path
) -> None:
    differing = sorted(expected.keys() ^ tensors.keys())
    if differing:
        kind = "lacks" if differing[0] in expected else "has a foreign"
        raise UserError(
            f"{path}: {kind} tensor {differing[0]} ({len(differing)} in all differ from those of"
            " the architecture it names): train it again"
        )
    for name, value in tensors.items():
        wanted = expected[name]
        if value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise UserError(
                f"{path}: tensor {name} is {value.dtype} {list(value.shape)}, expected"
                f" {wanted.dtype} {list(wanted.shape)}: train it again"
            )
        if not bool(torch.isfinite(value).all()):
            raise UserError(f"{path}: tensor {name} holds numbers that are not finite")


def _record(metadata: Mapping[str, str], path: Path) -> ClassifierRecord:
    if ENTRY not in metadata:
        raise UserError(
            f"{path}: holds other weights, expected attribute classifiers:"
            " make them with stylegan-eval classifiers train"
        )
    with parsing(path, "its record cannot be read", "train it again"):
        tree = json.loads(metadata[ENTRY])
        if tree.pop("format") != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        attributes = tuple(_from(AttributeRecord, entry) for entry in tree.pop("attributes"))
        record = _from(ClassifierRecord, {**tree, "attributes": attributes})
    if not 1 <= len(record.attributes) <= MOST_ATTRIBUTES:
        raise UserError(f"{path}: names {len(record.attributes)} attributes")
    return record


_Record = typing.TypeVar("_Record", AttributeRecord, ClassifierRecord)


def _from(kind: type[_Record], tree: Mapping[str, Any]) -> _Record:
    """Make a record of a dictionary; ValueError or TypeError where it does not fit."""
    for name, hint in typing.get_type_hints(kind).items():
        wanted = hint if isinstance(hint, type) else tuple
        if not isinstance(tree[name], wanted) or isinstance(tree[name], bool):
            raise ValueError(f"{name} is {tree[name]!r:.60}, expected {wanted.__name__}")
        if wanted is float and not math.isfinite(tree[name]):
            raise ValueError(f"{name} is not finite")
    return kind(**tree)
