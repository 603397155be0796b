"""What a feature network makes of a set of images: moments, feature vectors, class sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.blocks import Arrays
from stylegan_eval.errors import UserError
from stylegan_eval.image_pass import Samples
from stylegan_eval.metrics.scores import ClassSums, class_sums, pieces_of, split_of
from stylegan_eval.metrics.uncertainty import GROUPS
from stylegan_eval.protocols import Detector
from stylegan_eval.statistics import FeatureStats, StatsAccumulator, pack, unpack
from stylegan_eval.stats_file import StoredStats

Kind = Literal["moments", "vectors", "classes"]


@dataclass(frozen=True, kw_only=True)
class FeatureCollector:
    """Runs one feature network once per image and keeps what the metrics ask of it.

    Attributes
    ----------
    detector : Detector
        The network.
    kinds : tuple of str
        ``moments``: mean and scatter of a block; ``vectors``: every feature vector; ``classes``:
        the sums of the Inception Score.
    num : int
        Images 0 .. num - 1 are looked at.
    splits : int
        Into how many parts of equal size the Inception Score divides them.
    """

    detector: Detector
    kinds: tuple[Kind, ...]
    num: int
    splits: int = 10

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
        """Parts of the splits; see `scores.pieces_of`."""
        return pieces_of(self.num, self.splits)

    def begin(self) -> "_Block":
        """Start a block."""
        return _Block(self)


class _Block:
    def __init__(self, collector: FeatureCollector) -> None:
        self._collector = collector
        self._moments = StatsAccumulator(collector.detector.identity)
        self._vectors: list[NDArray[np.float32]] = []
        self._positions: list[int] = []
        self._classes: list[ClassSums] = []

    def add(self, samples: Samples) -> None:
        collector = self._collector
        features = collector.detector(samples.images)  # [n, D]
        if "moments" in collector.kinds:
            self._moments.add(features)
        if "vectors" in collector.kinds:
            self._vectors.append(features.float().cpu().numpy())
            self._positions.extend(samples.positions)
        if "classes" in collector.kinds:
            piece = split_of(samples.positions, collector.num, collector.pieces)
            logits = collector.detector.logits(features)
            self._classes.append(class_sums(logits, piece, collector.pieces))

    def arrays(self) -> Arrays:
        arrays: dict[str, NDArray[Any]] = {}
        if "moments" in self._collector.kinds:
            stats = self._moments.result()
            arrays["count"] = np.array(stats.count)
            arrays["mean"] = stats.mean
            arrays["scatter"] = pack(stats.scatter)
        if self._vectors:
            arrays["vectors"] = np.concatenate(self._vectors)[np.argsort(self._positions)]
        if self._classes:
            sums = reduce(add, self._classes)
            arrays["probability"] = sums.probability
            arrays["negentropy"] = sums.negentropy
            arrays["images"] = sums.count
        return arrays


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """What was gathered of a set of images.

    Attributes
    ----------
    blocks : sequence of FeatureStats
        Moments of groups of neighbouring images; one for the whole of real images; may be empty.
    stored : StoredStats or None
        Moments read from a file, instead of blocks.
    vectors : ndarray or None
        float32 [N, D].
    classes : ClassSums or None
        Sums of the Inception Score.
    """

    blocks: Sequence[FeatureStats] = ()
    stored: StoredStats | None = None
    vectors: NDArray[np.float32] | None = None
    classes: ClassSums | None = None

    @cached_property
    def moments(self) -> FeatureStats | StoredStats:
        """Mean and covariance of all blocks together, or of the file."""
        return self.stored or reduce(add, self.blocks)


def gathered(
    collector: FeatureCollector, parts: Sequence[Arrays], groups: int = GROUPS
) -> ImageFeatures:
    """Put the arrays of the blocks together, one block in memory at a time.

    Parameters
    ----------
    collector : FeatureCollector
        Who gathered them.
    parts : sequence of mapping
        Its arrays, block by block.
    groups : int
        To how many groups of neighbouring blocks moments are merged at most.

    Raises
    ------
    UserError
        Features that are not finite.
    """
    size = max(1, len(parts) // groups)  # blocks of a group
    moments: list[FeatureStats] = []
    vectors: list[NDArray[np.float32]] = []
    classes: list[ClassSums] = []
    for number, part in enumerate(parts):
        if "moments" in collector.kinds:
            stats = FeatureStats(
                count=int(part["count"]),
                mean=part["mean"],
                scatter=unpack(part["scatter"]),
                detector=collector.detector.identity,
            )
            if number % size:
                moments[-1] += stats
            else:
                moments.append(stats)
        if "vectors" in collector.kinds:
            vectors.append(part["vectors"])
        if "classes" in collector.kinds:
            classes.append(
                ClassSums(
                    probability=part["probability"],
                    negentropy=part["negentropy"],
                    count=part["images"],
                )
            )
    features = ImageFeatures(
        blocks=moments,
        vectors=np.concatenate(vectors) if vectors else None,
        classes=reduce(add, classes) if classes else None,
    )
    if features.vectors is not None and not np.isfinite(features.vectors).all():
        raise UserError("features hold values that are not finite: check images and weights")
    if features.classes is not None and not np.isfinite(features.classes.negentropy).all():
        raise UserError("class scores are not finite: check images and weights")
    return features
