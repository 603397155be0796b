"""Statistics of real images, computed once: a file for each network and kind.

The name of a file is the digest of its key: content of the images, which of them, flips, network,
weights, preprocessing and arithmetic. The key itself is in the file, and so is a digest of the
numbers. Whatever of that changes, another file is meant; nothing is ever found by a path.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.blocks import Arrays, Key, key_digest, load_arrays, save_arrays
from stylegan_eval.cache import cache_dir
from stylegan_eval.features import FeatureCollector, ImageFeatures, Kind
from stylegan_eval.statistics import FeatureStats

FORMAT = "stylegan-eval-reals/1"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of the cache.

    Attributes
    ----------
    path : Path
        The file.
    key : mapping
        What its numbers depend on.
    whole : bool
        Whether the numbers have the digest that the file says.
    """

    path: Path
    key: Key
    whole: bool


def reals_folder() -> Path:
    """Where the statistics of real images are kept."""
    return cache_dir() / "reals"


def find(key: Key, collector: FeatureCollector) -> ImageFeatures | None:
    """What `collector` would gather of these images, if all of it is in the cache and whole.

    Parameters
    ----------
    key : mapping
        All that the images depend on.
    collector : FeatureCollector
        Its network and kinds.
    """
    found: dict[Kind, Arrays] = {}
    for kind in collector.kinds:
        whole_key = _key(key, collector, kind)
        entry = read_entry(_path(whole_key))
        if entry is None or not entry[0].whole or entry[0].key != whole_key:
            return None
        found[kind] = entry[1]
    blocks = []
    if moments := found.get("moments"):
        blocks = [
            FeatureStats(
                count=int(moments["count"]),
                mean=moments["mean"],
                scatter=moments["scatter"],
                detector=collector.detector.identity,
            )
        ]
    vectors = found["vectors"]["vectors"] if "vectors" in found else None
    return ImageFeatures(blocks=blocks, vectors=vectors)


def keep(key: Key, collector: FeatureCollector, features: ImageFeatures) -> None:
    """Write what was gathered, a file for each kind, each whole or not at all."""
    for kind in collector.kinds:
        arrays: dict[str, NDArray[Any]] = {}
        if kind == "moments":
            stats = reduce(add, features.blocks)
            arrays = {
                "count": np.array(stats.count), "mean": stats.mean, "scatter": stats.scatter
            }  # fmt: skip
        elif features.vectors is not None:
            arrays = {"vectors": features.vectors}
        whole_key = _key(key, collector, kind)
        about = json.dumps({"key": whole_key, "sha256": _digest(arrays)})
        save_arrays(_path(whole_key), {**arrays, "about": np.array(about)})


def read_entry(path: Path) -> tuple[Entry, Arrays] | None:
    """Read and check one file; None when it is absent or not of this cache."""
    arrays = load_arrays(path)
    if arrays is None:
        return None
    try:
        about = json.loads(str(arrays.pop("about")))
        key, digest = dict(about["key"]), about["sha256"]
    except (KeyError, TypeError, ValueError):
        return None
    whole = digest == _digest(arrays) and path.name == _path(key).name
    return Entry(path=path, key=key, whole=whole), arrays


def is_as_written(path: Path) -> bool:
    """Whether a file of the cache is one, and whole."""
    found = read_entry(path)
    return found is not None and found[0].whole


def cached_files(cache: Path | None = None) -> Sequence[Path]:
    """All files of the cache, sorted by name."""
    folder = reals_folder() if cache is None else cache / "reals"
    return sorted(folder.glob("*.npz")) if folder.is_dir() else []


def _key(key: Key, collector: FeatureCollector, kind: Kind) -> Key:
    return {
        "format": FORMAT,
        **key,
        "num": collector.num,
        "network": collector.detector.identity,
        "kind": kind,
    }


def _path(key: Key) -> Path:
    return reals_folder() / f"{key_digest(key)[:32]}.npz"


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
