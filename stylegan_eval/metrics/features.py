"""Collect, merge and cache the features of a set of images."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.blocks import (
    Arrays,
    Blocks,
    Key,
    key_digest,
    load_arrays,
    save_arrays,
    split,
)
from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.protocols import Detector
from stylegan_eval.engine.safe_files import room
from stylegan_eval.engine.sampling import on_device, random_choice
from stylegan_eval.engine.statistics import (
    ClassAccumulator,
    ClassSums,
    FeatureStats,
    StatsAccumulator,
    pack,
    pieces_of,
    split_of,
)
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import Kind
from stylegan_eval.metrics.image_pass import Samples

GROUPS = 20
_REPEATED = 0.01  # share of images from which on repeats are noted
SAMPLE = 1000  # images whose vectors are kept beside moments: a deviation is known to a few percent

Size = tuple[int, int]  # height and width
FORMAT = "stylegan-eval-reals/1"


@dataclass(frozen=True, kw_only=True)
class FeatureCollector:
    """Runs a feature network once per image and keeps what the metrics need."""

    detector: Detector  # The network
    kinds: tuple[Kind, ...]  # What is kept
    num: int  # Images 0 .. num - 1 are shown to it
    splits: int = 10  # Equal parts into which the Inception Score divides them
    _sizes: Counter[Size] = field(default_factory=Counter, init=False)
    _moments: list[StatsAccumulator] = field(default_factory=list, init=False)
    _sample: list[Tensor] = field(default_factory=list, init=False)
    _sample_at: list[int] = field(default_factory=list, init=False)
    _vectors: list[Tensor] = field(default_factory=list, init=False)
    _positions: list[int] = field(default_factory=list, init=False)
    _classes: list[ClassAccumulator] = field(default_factory=list, init=False)

    @property
    def name(self) -> str:
        """The network's."""
        return self.detector.name

    @property
    def identity(self) -> str:
        """Network and kinds."""
        pieces = f" pieces={self.pieces}" if "classes" in self.kinds else ""
        return f"{self.detector.identity} {'+'.join(self.kinds)}{pieces}"

    @property
    def pieces(self) -> int:
        """Parts of the splits; see `statistics.pieces_of`."""
        return pieces_of(self.num, self.splits)

    @cached_property
    def sampled(self) -> frozenset[int]:
        """Positions of the images whose vectors are kept beside moments."""
        return frozenset(random_choice(0, self.num, SAMPLE))

    def begin(self) -> "FeatureCollector":
        """Return an empty one for a block."""
        return replace(self)

    def add(self, samples: Samples) -> None:
        """Take in a batch."""
        height, width = samples.images.shape[2:]
        self._sizes[height, width] += len(samples.positions)
        self.take(self.detector(samples.images), samples.positions)

    def take(self, features: Tensor, positions: Sequence[int]) -> None:
        """Take in features [n, D] of the images with these numbers."""
        if "moments" in self.kinds:
            if not self._moments:
                self._moments.append(StatsAccumulator(self.detector.identity))
            self._moments[0].add(features)
            rows = [row for row, at in enumerate(positions) if at in self.sampled]
            chosen = on_device(torch.tensor(rows, dtype=torch.int64), features.device)
            self._sample.append(features.index_select(0, chosen))
            self._sample_at.extend(positions[row] for row in rows)
        if "vectors" in self.kinds:
            self._vectors.append(features.float())
            self._positions.extend(positions)
        if "classes" in self.kinds:
            piece = split_of(positions, self.num, self.pieces)
            if not self._classes:
                self._classes.append(ClassAccumulator(self.pieces))
            self._classes[0].add(self.detector.logits(features), piece)

    def arrays(self) -> Arrays:
        """Arrays of the block."""
        arrays: dict[str, NDArray[Any]] = _of_sizes(self._sizes)
        for moments in self._moments:
            stats = moments.result()
            # In the order of the images: those of unlike sizes came apart.
            sample = torch.cat(self._sample).float().cpu().numpy()[np.argsort(self._sample_at)]
            arrays |= {**stats.arrays(), "scatter": pack(stats.scatter), "sample": sample}
        if self._vectors:
            arrays["vectors"] = torch.cat(self._vectors).cpu().numpy()[np.argsort(self._positions)]
        for classes in self._classes:
            arrays |= classes.result().arrays()
        return arrays


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """Features of a set of images, or their moments."""

    detector: Detector  # The network
    blocks: Sequence[FeatureStats] = ()
    """Moments of groups of neighbouring images; one for the whole of real images; may be empty."""
    sample: NDArray[np.float32] | None = None
    """Beside moments, of some images at random: float32 [n, D]; None where not kept."""
    stored: StoredStats | None = None  # Moments read from a file, instead of blocks
    vectors: NDArray[np.float32] | None = None  # float32 [N, D]
    classes: ClassSums | None = None  # Sums of the Inception Score
    sizes: Counter[Size] = field(default_factory=Counter)  # How many images are of each; or none

    def tensor(self) -> Tensor:
        """Every feature vector, float32 [N, D], where the network is."""
        assert self.vectors is not None
        return torch.from_numpy(self.vectors).to(self.detector.device)

    @cached_property
    def moments(self) -> FeatureStats | StoredStats:
        """Mean and covariance of all blocks together, or of the file."""
        return self.stored or reduce(add, self.blocks)

    @cached_property
    def repeated(self) -> str:
        """Note of images with exactly the features of another one, of all or of the sample."""
        rows = self.sample if self.vectors is None else self.vectors
        if rows is None:
            return ""
        count = len(rows) - len({hash(row.tobytes()) for row in rows})
        whole = sum(stats.count for stats in self.blocks) if self.vectors is None else len(rows)
        # Of a sample of n each pair of N is met with a probability of about (n / N)^2.
        if count * whole < len(rows) ** 2 * _REPEATED:
            return ""
        chosen = " chosen at random" if len(rows) < whole else ""
        return (
            f"{count} of {len(rows)} images{chosen} are repeats of others: the standard error takes"
            " all for independent, and is too small"
        )


def gathered(
    collector: FeatureCollector, parts: Sequence[Arrays], groups: int = GROUPS
) -> ImageFeatures:
    """Put the arrays of the blocks together, one block in memory at a time.

    Moments of neighbouring images are merged to at most `groups`, of which each holds equally many
    blocks of `split`: the same ones where other collectors have cut the pass into more blocks.
    """
    own = split(collector.num)
    size = max(1, len(own) // groups)  # blocks of a group
    starts = {block.start for block in own[::size]}
    moments: list[FeatureStats] = []
    samples: list[NDArray[np.float32]] = []
    vectors: NDArray[np.float32] | None = None
    done = 0
    classes: list[ClassSums] = []
    sizes = Counter[Size]()
    seen = 0  # images whose moments are merged
    for part in parts:
        sizes += _sizes_in(part)
        if "moments" in collector.kinds:
            stats = FeatureStats.of_arrays(part, collector.detector.identity)
            if seen in starts:
                moments.append(stats)
            else:
                moments[-1] += stats
            seen += stats.count
            if "sample" in part:
                samples.append(part["sample"])
        if "vectors" in collector.kinds:
            some = part["vectors"]
            if not np.isfinite(some).all():
                raise UserError(
                    "features hold values that are not finite: check images and weights"
                )
            if vectors is None:  # whole at once: parts and their concatenation would be two of it
                vectors = room((collector.num, some.shape[1]), np.float32, cache_dir() / "work")
            vectors[done : done + len(some)] = some
            done += len(some)
        if "classes" in collector.kinds:
            classes.append(ClassSums.of_arrays(part))
    features = ImageFeatures(
        detector=collector.detector,
        blocks=moments,
        # Blocks of an earlier version have none.
        sample=np.concatenate(samples) if samples and len(samples) == len(parts) else None,
        vectors=vectors,
        classes=reduce(add, classes) if classes else None,
        sizes=sizes,
    )
    if features.classes is not None and not np.isfinite(features.classes.negentropy).all():
        raise UserError("class scores are not finite: check images and weights")
    return features


def features_of(
    detector: Detector, vectors: NDArray[np.float32], kinds: tuple[Kind, ...], splits: int = 1
) -> ImageFeatures:
    """`ImageFeatures` of features float32 [N, D], gathered in the blocks of N images."""
    collector = FeatureCollector(detector=detector, kinds=kinds, num=len(vectors), splits=splits)
    blocks = split(len(vectors))

    def read(number: int) -> dict[str, NDArray[Any]]:
        part, block = collector.begin(), blocks[number]
        part.take(torch.from_numpy(vectors[block.start : block.stop]).to(detector.device), block)
        return dict(part.arrays())

    return gathered(collector, Blocks(len(blocks), read))


class CachedFile(NamedTuple):
    """Content of a file of the cache."""

    key: Key  # What its numbers depend on
    arrays: Arrays
    whole: bool  # Whether the numbers have the digest that the file says


def reals_folder() -> Path:
    """Where the statistics of real images are kept."""
    return cache_dir() / "reals"


def find(key: Key, collector: FeatureCollector) -> ImageFeatures | None:
    """Features that `collector` would gather of these images, if the cache holds all of them."""
    cached: dict[Kind, Arrays] = {}
    for kind in collector.kinds:
        whole_key = _key(key, collector, kind)
        entry = read_entry(_path(whole_key))
        if entry is None or not entry.whole or entry.key != whole_key:
            return None
        cached[kind] = entry.arrays
    moments = cached.get("moments")
    return ImageFeatures(
        detector=collector.detector,
        blocks=[FeatureStats.of_arrays(moments, collector.detector.identity)] if moments else [],
        sample=moments.get("sample") if moments else None,  # earlier versions kept none
        vectors=cached["vectors"]["vectors"] if "vectors" in cached else None,
        sizes=_sizes_in(next(iter(cached.values()), {})),
    )


def _of_sizes(sizes: Counter[Size]) -> dict[str, NDArray[Any]]:
    """Rows of height, width and number of images."""
    rows = [(*size, count) for size, count in sorted(sizes.items())]
    return {"sizes": np.array(rows, np.int64)} if rows else {}


def _sizes_in(arrays: Arrays) -> Counter[Size]:
    rows = arrays.get("sizes", np.zeros((0, 3), np.int64)).tolist()
    return Counter({(height, width): count for height, width, count in rows})


def keep(key: Key, collector: FeatureCollector, features: ImageFeatures) -> None:
    """Write what was gathered, a file for each kind, each whole or not at all."""
    for kind in collector.kinds:
        arrays: dict[str, NDArray[Any]] = {}
        if kind == "moments":
            sample = {} if features.sample is None else {"sample": features.sample}
            arrays = {**reduce(add, features.blocks).arrays(), **sample}
        elif features.vectors is not None:
            arrays = {"vectors": features.vectors}
        if len(features.sizes) > 1:  # one size is that of any image
            arrays |= _of_sizes(features.sizes)
        whole_key = _key(key, collector, kind)
        about = json.dumps({"key": whole_key, "sha256": _digest(arrays)})
        save_arrays(_path(whole_key), {**arrays, "about": np.array(about)})


def read_entry(path: Path) -> CachedFile | None:
    """Read and check one file; None when it is absent or not of this cache."""
    arrays = load_arrays(path, mapped=True)
    if arrays is None:
        return None
    try:
        about = json.loads(str(arrays.pop("about")))
        key, digest = dict(about["key"]), about["sha256"]
    except (KeyError, TypeError, ValueError):
        return None
    whole = digest == _digest(arrays) and path.name == _path(key).name
    return CachedFile(key, arrays, whole)


def is_as_written(path: Path) -> bool:
    """Whether a file of the cache is one, and whole."""
    entry = read_entry(path)
    return entry is not None and entry.whole


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
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
