"""The file of attribute directions: normals of hyperplanes in W, one per attribute.

Shapes: A attributes, D length of w.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

# One entry of metadata: safetensors writes several in any order.
ENTRY = "attribute_directions"
FORMAT = 1
MAKE = "make it with stylegan-eval directions"

_TENSORS = ("normals", "spreads", "accuracies")
_UNIT = 1e-4  # how far a float32 normal may be from length 1

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Where in W each attribute lies; w + k * spread * normal has more of it for k > 0."""

    names: tuple[str, ...]  # Of the A attributes
    normals: Floats  # float32 [A, D], of length 1, pointing to where the attribute is present
    spreads: Floats  # float32 [A], above 0: the standard deviation of w along each normal
    accuracies: Floats
    """float32 [A] in [0, 1]: share of the images of the fit on which hyperplane and classifier
    agree."""
    generator_digest: str  # SHA-256 of the network's file
    description: str  # How they were found, for people


def read_directions(path: Path) -> Directions:
    """Read a file of `write_directions`, trusting none of it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; {MAKE}")
    with (
        parsing(path, "not a safetensors file, or damaged"),
        safe_open(path, framework="np") as content,
    ):
        metadata = content.metadata() or {}
        tensors = {name: content.get_tensor(name).copy() for name in list(content.keys())}
    if ENTRY not in metadata:
        raise UserError(f"{path}: holds something else, expected attribute directions: {MAKE}")
    with parsing(path, "no attribute directions", MAKE):
        found = _directions(json.loads(metadata[ENTRY]), tensors)
        check(found)
    return found


def write_directions(path: Path, directions: Directions) -> None:
    """Write directions, whole or not at all; equal directions give equal bytes."""
    check(directions)
    record = {
        "format": FORMAT,
        "names": list(directions.names),
        "generator_digest": directions.generator_digest,
        "description": directions.description,
    }
    tensors = {name: np.ascontiguousarray(getattr(directions, name)) for name in _TENSORS}
    data = save(tensors, metadata={ENTRY: json.dumps(record, sort_keys=True)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def check(directions: Directions) -> None:
    """Check that directions are what their attributes say.

    Raises
    ------
    ValueError
        They are not.
    """
    names, count = directions.names, len(directions.names)
    words = (*names, directions.generator_digest, directions.description)
    if not all(isinstance(word, str) and word.isprintable() for word in words):
        raise ValueError("a name or description is no line of text")
    if not count or not all(names):
        raise ValueError("an attribute has no name")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{name} is there {times} times")
    shapes = {"normals": (count, -1), "spreads": (count,), "accuracies": (count,)}
    for tensor, shape in shapes.items():
        _check_tensor(tensor, getattr(directions, tensor), shape)
    lengths = np.linalg.norm(directions.normals.astype(np.float64), axis=1)
    if np.abs(lengths - 1).max() > _UNIT:
        raise ValueError("a normal is not of length 1")
    if directions.spreads.min() <= 0:
        raise ValueError("a spread is not above 0")
    if directions.accuracies.min() < 0 or directions.accuracies.max() > 1:
        raise ValueError("an accuracy is not from 0 to 1")


def _check_tensor(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check type, shape (-1 is any size from 1 on) and finiteness."""
    fits = values.ndim == len(shape) and all(
        size > 0 and wanted in (-1, size) for size, wanted in zip(values.shape, shape, strict=True)
    )
    if not fits or values.dtype != np.float32:
        wanted = ", ".join("D" if size < 0 else str(size) for size in shape)
        raise ValueError(
            f"{name} is {values.dtype} {list(values.shape)}, expected float32 [{wanted}]"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def _directions(record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Directions:
    if record["format"] != FORMAT:
        raise ValueError(f"format {record['format']!r:.60}, this version reads {FORMAT}")
    if not isinstance(record["names"], list):
        raise ValueError("names is no list")
    if foreign := sorted(set(tensors) - set(_TENSORS)):
        raise ValueError(f"has a foreign tensor {foreign[0]}")
    return Directions(
        names=tuple(record["names"]),
        **{name: tensors[name] for name in _TENSORS},
        generator_digest=record["generator_digest"],
        description=record["description"],
    )
