"""The file of directions in W: of attributes, principal components, and what was saved of them.

Shapes: A attributes (or other directions), D length of w.
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
WITH_LAYERS = 2  # format of directions with layers or remarks, or without an accuracy
MAKE = "make it with stylegan-eval directions"

_TENSORS = ("normals", "spreads", "accuracies")
_UNIT = 1e-4  # how far a float32 normal may be from length 1

Floats = NDArray[np.float32]
Span = tuple[int, int]  # first and last layer, counted from 0


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Where in W each attribute lies; w + k * spread * normal has more of it for k > 0."""

    names: tuple[str, ...]  # Of the A attributes
    normals: Floats  # float32 [A, D], of length 1, pointing to where the attribute is present
    spreads: Floats  # float32 [A], above 0: the standard deviation of w along each normal
    accuracies: Floats
    """float32 [A] in [0, 1]: share of the images of the fit on which hyperplane and classifier
    agree; NaN where no classifier was read."""
    generator_digest: str  # SHA-256 of the network's file
    description: str  # How they were found, for people
    layers: tuple[Span | None, ...] = ()  # That each moves, None for all; () is all of all
    about: tuple[str, ...] = ()  # A remark on each, for people; () is none

    @property
    def spans(self) -> dict[str, Span | None]:
        """First and last layer that each moves, by name; None for all."""
        return dict(zip(self.names, self.layers or [None] * len(self.names), strict=True))

    @property
    def remarks(self) -> dict[str, str]:
        """A line on each, by name; empty where there is none."""
        return dict(zip(self.names, self.about or [""] * len(self.names), strict=True))

    @property
    def format(self) -> int:
        """The oldest format that holds them."""
        newer = any(self.layers) or any(self.about) or np.isnan(self.accuracies).any()
        return WITH_LAYERS if newer else FORMAT


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
    data = file_of(directions)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def file_of(directions: Directions) -> bytes:
    """Content of the file of directions."""
    check(directions)
    record: dict[str, Any] = {
        "format": directions.format,
        "names": list(directions.names),
        "generator_digest": directions.generator_digest,
        "description": directions.description,
    }
    if directions.format != FORMAT:
        record |= {"layers": list(directions.spans.values())}
        record |= {"about": list(directions.remarks.values())}
    tensors = {name: np.ascontiguousarray(getattr(directions, name)) for name in _TENSORS}
    return save(tensors, metadata={ENTRY: json.dumps(record, sort_keys=True)})


def check(directions: Directions) -> None:
    """Raise ValueError unless directions are what their attributes say."""
    names, count = directions.names, len(directions.names)
    words = (*names, *directions.about, directions.generator_digest, directions.description)
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
    for what in ("layers", "about"):
        if len(getattr(directions, what)) not in (0, count):
            raise ValueError(f"{what} is {len(getattr(directions, what))} long, expected {count}")
    if not all(span is None or _is_span(span) for span in directions.layers):
        raise ValueError("a range of layers is no first and last layer from 0 up")
    lengths = np.linalg.norm(directions.normals.astype(np.float64), axis=1)
    if np.abs(lengths - 1).max() > _UNIT:
        raise ValueError("a normal is not of length 1")
    if directions.spreads.min() <= 0:
        raise ValueError("a spread is not above 0")
    known = directions.accuracies[~np.isnan(directions.accuracies)]
    if ((known < 0) | (known > 1)).any():
        raise ValueError("an accuracy is not from 0 to 1")


def _is_span(span: object) -> bool:
    return (
        isinstance(span, tuple)
        and len(span) == 2
        and all(type(layer) is int for layer in span)
        and 0 <= span[0] <= span[1]
    )


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
    if name != "accuracies" and not np.isfinite(values).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def _directions(record: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Directions:
    if record["format"] not in (FORMAT, WITH_LAYERS):
        expected = f"this version reads {FORMAT} and {WITH_LAYERS}"
        raise ValueError(f"format {record['format']!r:.60}, {expected}")
    newer = ("layers", "about") if record["format"] == WITH_LAYERS else ()
    for name in ("names", *newer):
        if not isinstance(record[name], list):
            raise ValueError(f"{name} is no list")
    if foreign := sorted(set(tensors) - set(_TENSORS)):
        raise ValueError(f"has a foreign tensor {foreign[0]}")
    layers, about = (tuple(map(_as_tuple, record[name])) for name in newer) if newer else ((), ())
    return Directions(
        names=tuple(record["names"]),
        normals=tensors["normals"],
        spreads=tensors["spreads"],
        accuracies=tensors["accuracies"],
        generator_digest=record["generator_digest"],
        description=record["description"],
        layers=layers,
        about=about,
    )


def _as_tuple(value: Any) -> Any:
    """A list of JSON as a tuple; others as they are."""
    return tuple(value) if isinstance(value, list) else value
