"""Metrics that images are handed to batch by batch, as in the loop of a training.

They keep features, 4 D bytes of an image, and no pixels. What they compute depends neither on the
batches nor on the processes that saw them: features are put in the order of their digests, which is
a random one.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from stylegan_eval.api.functions import (
    Weights,
    checked,
    in_python,
    lone_run,
    real_side,
    weights_files,
)
from stylegan_eval.api.results import Results
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UserError
from stylegan_eval.images.memory import Range, Seen, batches_of, check_range, images_alone
from stylegan_eval.images.source import ImageSet
from stylegan_eval.metrics import METRICS
from stylegan_eval.metrics.both_sides import of_channels, of_unlike_sizes, sizes_of, unnamed
from stylegan_eval.metrics.features import FeatureCollector, ImageFeatures, Size, features_of
from stylegan_eval.metrics.given import is_statistics, only_moments, opened, statistics_of
from stylegan_eval.metrics.image_metrics import detector_of, files_features, stored_features
from stylegan_eval.metrics.image_pass import Images
from stylegan_eval.metrics.naming import make_row, where
from stylegan_eval.metrics.sources import choose_reals
from stylegan_eval.networks.network import FeatureNetwork
from stylegan_eval.plugins import resolve
from stylegan_eval.results.results import one_note
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import (
    FidSettings,
    GeneratedSettings,
    IsSettings,
    RealSettings,
)

_Vectors = NDArray[np.float32]
_SIDES = (("fake", False), ("real", True))


class StreamingMetric:
    """A metric of images that come batch by batch; see its subclasses.

    Parameters
    ----------
    real
        Real images, or for a Fréchet distance their statistics: looked at once and cached. Without
        them, hand them in by ``update(images, real=True)``.
    range : (float, float), optional
        Black and white of the floats that `update` gets.
    settings
        Those of the metric's function but `num`.
    """

    metric: ClassVar[str]  # Key of `METRICS`
    single: ClassVar[bool] = True  # Whether it is one number

    def __init__(
        self,
        real: Any = None,
        *,
        range: Range | None = None,
        real_range: Range | None = None,
        weights: Weights = None,
        device: str = "auto",
        **settings: Any,
    ) -> None:
        self.range, self.real_range = range, real_range
        self._weights, self._device = weights_files(weights), device
        self._vectors: dict[bool, list[_Vectors]] = {False: [], True: []}  # by `real`
        self._seen = {False: Seen(), True: Seen()}
        self._detector: FeatureNetwork | None = None
        self._real: ImageFeatures | None = None
        with in_python():
            if "num" in settings:
                raise UserError("num is what `update` gets: leave it out")
            kind = METRICS[self.metric].settings
            self._given = checked(kind, settings)
            for given in (range, real_range):
                if given is not None:
                    check_range(given)
            side = None if real is None else real_side(real, real_range)
            self._data, self._place = side, side
            moments = only_moments([kind])
            if is_statistics(side, moments=moments):
                self._data = statistics_of(side)
                if not moments:
                    raise UserError("real: statistics are for FID and SFID alone: give images")
            self._check_choices()

    # `real` by position too, as torchmetrics' callers write it.
    def update(self, images: Any, real: bool = False) -> None:  # noqa: FBT001, FBT002
        """Look at a batch of generated images, or of real ones: uint8, or floats in `range`."""
        with in_python():
            if real and self._data is not None:
                raise UserError("the real images were named when it was made: update with fakes")
            value_range = self.real_range or self.range if real else self.range
            alone = images_alone(images, "update")
            for batch in batches_of(alone, "update", value_range, self._seen[real]):
                features = self.network(torch.from_numpy(batch))
                self._vectors[real].append(features.float().cpu().numpy())

    def compute(self) -> Any:
        """Measure all images so far, of all processes of `torch.distributed`: equal in each."""
        started = time.perf_counter()
        with in_python():
            metric, network = METRICS[self.metric], self.network
            vectors = self._of_all(real=False)
            if len(vectors) < 2:
                raise UserError(f"compute needs two images, got {len(vectors)}: call update first")
            given = {**self._given, "num": len(vectors)}
            reals, about = ImageFeatures(detector=network), dict[str, Any]()
            seen, sizes = self._seen_by_all(), dict[str, Counter[Size]]()
            sizes["fakes"] = seen[False].sizes
            if metric.real:
                reals, about = self._reals()
                sizes |= self._sizes_of_reals(seen[True])
                count = about["data_count"]
                given.setdefault("reals", "random" if count in (0, len(vectors)) else "full")
            settings = metric.settings(**given)
            assert isinstance(settings, GeneratedSettings)
            splits = settings.splits if isinstance(settings, IsSettings) else 1
            fake = features_of(network, vectors, metric.fake, splits)
            protocol = {"resize": network.resize, "quantisation": "round-half-up"}
            if metric.real:
                all_of_them = "full" if given["reals"] == "full" else "all"
                stored = isinstance(self._data, StoredStats)
                if not stored:
                    protocol["mirror"] = "yes" if self._mirror else "no"
                protocol["reals"] = "statistics" if stored else all_of_them
            about |= {
                "protocol": protocol,
                "num": settings.num,
                "seed": settings.seed,
                "description": "images handed in",
                "detector": network.name,
                "weights_sha256": network.weights_sha256,
                "precision": settings.precision,
                "note": one_note(
                    seen[False].note("update", self.range),
                    seen[True].note("update", self.real_range or self.range),
                    of_channels(seen[False].channels | seen[True].channels),
                    of_unlike_sizes({word: of for word, of in sizes.items() if of}),
                    unnamed(self._data, self._place, settings),
                ),
                **where(lone_run(self._device)),
            }
            values = resolve(metric.place)(settings, fake, reals)
            about["seconds"] = round(time.perf_counter() - started, 1)
            results = Results(make_row(value, about) for value in values)
        return results[0] if self.single else results

    __call__ = update

    def reset(self, *, reset_real_features: bool = True) -> None:
        """Forget the generated images, and the real ones that `update` got."""
        for real in (False, True) if reset_real_features else (False,):
            self._vectors[real], self._seen[real] = [], Seen()

    def merge_state(self, others: "StreamingMetric | Iterable[StreamingMetric]") -> None:
        """Take in what others of its kind have seen; the order of merging changes no bit."""
        for other in others if isinstance(others, Iterable) else [others]:
            if not isinstance(other, StreamingMetric):
                raise UserError(f"merge_state: got {type(other).__name__}; expected such metrics")
            self.load_state_dict(other.state_dict(), add=True)

    def state_dict(self) -> dict[str, Any]:
        """Its state for checkpoints: arrays float32 [N, D] and the network's identity."""
        return {
            "fake": self._joined(real=False),
            "real": self._joined(real=True),
            "network": self.network.identity,
            "seen": {name: self._seen[real].state() for name, real in _SIDES},
        }

    def load_state_dict(self, state: Mapping[str, Any], *, add: bool = False) -> None:
        """Continue from a `state_dict`."""
        with in_python():
            if not {"network", "fake", "real"} <= state.keys():
                raise UserError("load_state_dict: no state of `state_dict`")
            if state["network"] != self.network.identity:
                raise UserError(
                    f"the state is of {state['network']}, this metric's network is"
                    f" {self.network.identity}: choose the same features, resize, precision and"
                    " weights"
                )
        for name, real in _SIDES:
            kept = self._vectors[real] if add else []
            new = np.asarray(state[name], dtype=np.float32)
            if new.ndim != 2 or new.shape[1] != self.network.feature_dim:
                raise UserError(
                    f"load_state_dict: {name} is {list(new.shape)}, expected"
                    f" [N, {self.network.feature_dim}]"
                )
            self._vectors[real] = [*kept, *([new] if len(new) else [])]
            if not add:
                self._seen[real] = Seen()
            if "seen" in state:  # which older states lack
                self._seen[real].take(Seen.of_state(state["seen"][name]))

    def to(self, device: Any) -> Self:
        """Move the feature network."""
        self._device, self._detector, self._real = str(device), None, None
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_detector": None, "_real": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        added = {"_seen": {False: Seen(), True: Seen()}, "_place": state.get("_data")}
        vars(self).update({**added, **state})  # those of earlier versions lack them

    def _reals(self) -> tuple[ImageFeatures, dict[str, Any]]:
        """Features of the real images, and cells of a row about them."""
        network, kinds = self.network, METRICS[self.metric].real
        if isinstance(self._data, StoredStats):
            stored = self._data
            about = {"data_digest": stored.content, "data_count": stored.count or 0}
            return stored_features(stored, network, kinds), {"data": str(self._place), **about}
        if self._data is None:
            vectors = self._of_all(real=True)
            if len(vectors) < 2:
                raise UserError(
                    f"compute needs two real images, got {len(vectors)}: name them, real=DATA, or"
                    " call update(images, real=True)"
                )
            return features_of(network, vectors, kinds), {"data_count": len(vectors)}
        with opened(self._data) as files:
            images = self._chosen(files)
            if self._real is None:
                collector = FeatureCollector(detector=network, kinds=kinds, num=len(files))
                self._real = files_features(images, collector, lone_run(self._device))
            about = {"data_digest": str(images.key["content"]), "data_count": len(files)}
            return self._real, {"data": str(self._data), **about}

    def _check_choices(self) -> None:
        """Refuse settings that nothing here follows: their value would be named after them."""
        settings = METRICS[self.metric].settings(**self._given)
        assert isinstance(settings, GeneratedSettings)
        settings.check_no_variation("images are handed in")
        if isinstance(settings, FidSettings) and settings.floor:
            raise UserError("floor compares halves of one set: use fid(None, real, floor=True)")
        if self._given.get("reals", "full") != "full":
            raise UserError("reals: all real images are compared with: leave it out")
        if isinstance(self._data, StoredStats) and isinstance(settings, RealSettings):
            settings.check_statistics()
        elif self._mirror and self._data is None:
            raise UserError("mirror flips the images of real: name them, or flip them yourself")

    @property
    def _mirror(self) -> bool:
        return self._given.get("mirror") == "yes"

    def _chosen(self, files: ImageSet) -> Images:
        """All real images that were named."""
        sampling = Sampling(num=len(files), seed=self._given.get("seed", 0))
        return choose_reals(files, len(files), "full", sampling, mirror=self._mirror)

    def _sizes_of_reals(self, seen: Seen) -> dict[str, Counter[Size]]:
        """Sizes of the real images, once `_reals` has looked at them."""
        if self._data is None:
            return {"reals": seen.sizes}
        if isinstance(self._data, StoredStats) or self._real is None:
            return {}
        with opened(self._data) as files:
            return {"reals": sizes_of(self._chosen(files), self._real)}

    def _seen_by_all(self) -> dict[bool, Seen]:
        """What all processes saw of the values."""
        found = {False: Seen(), True: Seen()}
        for seen in _everywhere(self._seen):
            for real in found:
                found[real].take(seen[real])
        return found

    @property
    def network(self) -> FeatureNetwork:
        """The feature network, loaded when it is first needed."""
        if self._detector is None:
            settings = METRICS[self.metric].settings(**self._given)
            assert isinstance(settings, GeneratedSettings)
            inputs = Inputs(weights=self._weights)
            self._detector = detector_of(settings, inputs, lone_run(self._device).device)
        return self._detector

    def _joined(self, *, real: bool) -> _Vectors:
        parts = self._vectors[real]
        dim = self.network.feature_dim
        return np.concatenate(parts) if parts else np.zeros((0, dim), dtype=np.float32)

    def _of_all(self, *, real: bool) -> _Vectors:
        """Features that all processes saw, in the order of their digests."""
        vectors = np.concatenate(_everywhere(self._joined(real=real)))
        digests = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in vectors]
        return vectors[sorted(range(len(vectors)), key=digests.__getitem__)]


def _everywhere(value: Any) -> list[Any]:
    """The value in each process of `torch.distributed`."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


class FID(StreamingMetric):
    """Fréchet distance; `real` may be statistics."""

    metric = "fid"


class KID(StreamingMetric):
    """Kernel Inception Distance."""

    metric = "kid"


class InceptionScore(StreamingMetric):
    """Inception Score."""

    metric = "is"


class PrecisionRecall(StreamingMetric):
    """Improved precision and recall."""

    metric, single = "pr", False


class PRDC(StreamingMetric):
    """Density and coverage."""

    metric, single = "prdc", False


class SFID(StreamingMetric):
    """Spatial FID; `real` may be statistics."""

    metric = "sfid"


class MIFID(StreamingMetric):
    """Memorization-informed FID."""

    metric = "mifid"


class Authenticity(StreamingMetric):
    """Share of images that are no copies of training images."""

    metric = "authenticity"


class Vendi(StreamingMetric):
    """Vendi score."""

    metric = "vendi"
