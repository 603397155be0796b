"""The list of metrics, and where each one lives.

A plain table, so that command lines can name the metrics without importing PyTorch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stylegan_eval.settings.common import Sampling
from stylegan_eval.settings.image_metrics import (
    AllSettings,
    CmmdSettings,
    FidSettings,
    IsSettings,
    KidSettings,
    PrdcSettings,
    PrSettings,
)
from stylegan_eval.settings.others import LsSettings, PplSettings

_GENERATOR = ("ckpt", "generator", "range")
_GENERATED = (*_GENERATOR, "images")
_COMPARED = (*_GENERATED, "data", "weights")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A metric."""

    place: str
    """``module:name`` of an `image_metric.ImageMetric`, or of a function ``(inputs, settings, run)
    -> list[Row]``."""
    settings: type[Sampling]  # Its frozen settings
    inputs: tuple[str, ...]
    """The fields of `settings.common.Inputs` that it reads, beside the device."""
    help: str  # What it measures, in one sentence


METRICS: Mapping[str, Entry] = MappingProxyType(
    {
        "fid": Entry(
            place="stylegan_eval.metrics.fid:METRIC",
            settings=FidSettings,
            inputs=_COMPARED,
            help="Fréchet distance between features of generated and of real images.",
        ),
        "kid": Entry(
            place="stylegan_eval.metrics.kid:METRIC",
            settings=KidSettings,
            inputs=_COMPARED,
            help="Kernel Inception Distance, unbiased.",
        ),
        "is": Entry(
            place="stylegan_eval.metrics.inception_score:METRIC",
            settings=IsSettings,
            inputs=(*_GENERATED, "weights"),
            help="Inception Score.",
        ),
        "pr": Entry(
            place="stylegan_eval.metrics.precision_recall:PRECISION_RECALL",
            settings=PrSettings,
            inputs=_COMPARED,
            help="Improved precision and recall.",
        ),
        "prdc": Entry(
            place="stylegan_eval.metrics.precision_recall:DENSITY_COVERAGE",
            settings=PrdcSettings,
            inputs=_COMPARED,
            help="Density and coverage, with the precision and recall of that paper.",
        ),
        "cmmd": Entry(
            place="stylegan_eval.metrics.cmmd:METRIC",
            settings=CmmdSettings,
            inputs=_COMPARED,
            help="Maximum mean discrepancy of CLIP embeddings.",
        ),
        "ppl": Entry(
            place="stylegan_eval.metrics.ppl:evaluate",
            settings=PplSettings,
            inputs=(*_GENERATOR, "weights", "distances"),
            help="Perceptual path length in z and in w.",
        ),
        "ls": Entry(
            place="stylegan_eval.metrics.ls:evaluate",
            settings=LsSettings,
            inputs=(*_GENERATOR, "classifiers"),
            help="Linear separability of attributes in z and in w.",
        ),
        "all": Entry(
            place="stylegan_eval.metrics.measure:evaluate_all",
            settings=AllSettings,
            inputs=(*_COMPARED, "classifiers", "distances"),
            help="Several metrics at once; each image is generated once.",
        ),
    }
)
