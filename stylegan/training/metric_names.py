"""Names of metrics to be measured during training: ``fid10k``, ``kid5k_full``, ``ppl_wend``."""

import re
from dataclasses import dataclass
from typing import Any, get_args

from stylegan_eval.errors import UserError
from stylegan_eval.metrics import METRICS, names_of_results
from stylegan_eval.settings.common import Features, Sampling, choice
from stylegan_eval.settings.image_metrics import (
    CLASSIFIERS,
    FeatureSettings,
    IsSettings,
    RealSettings,
)
from stylegan_eval.settings.others import Crop, DistanceName, PplSettings

_METRIC = names_of_results()
# Trainings have no images that they hold out.
_SHORT = [
    short
    for short, metric in _METRIC.items()
    if METRICS[metric].is_of_images and "held_out" not in METRICS[metric].inputs
]
_OF_IMAGES = re.compile(rf"({'|'.join(_SHORT)})(\d+k?)?(_full)?")
_PPL = re.compile(r"ppl(\d+k?)?_([zw])(full|end)")
# Without Inception a distance has another name.
_OTHER_NETWORKS = [short for short in _SHORT if short not in METRICS]
_EXPECTED = (
    f"expected {', '.join(f'{short}10k' for short in _SHORT if short in METRICS)} (any number of"
    " images; fid10k_full compares with all real ones),"
    f" {' or '.join(f'{name}10k' for name in _OTHER_NETWORKS)} with"
    " --metrics-features, ppl_wend, ppl_wfull, ppl_zend, ppl_zfull"
)


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """Settings of metrics during training; all else is as in `stylegan-eval`."""

    metrics: str = choice(
        "",
        "Measure checkpoints: fid10k,ppl_wend, say; the first decides which is kept as best.pt.",
        metavar="NAMES",
    )
    metrics_every: float = choice(
        0.0,
        "Measure the first checkpoint of every so many kimg; 0 measures each.",
        least=0,
        metavar="KIMG",
    )
    metrics_features: Features = choice(
        "inception",
        "Feature network of --metrics; only inception gives FID.",
        metavar="NAME",
        type=str,
    )
    metrics_batch: int = choice(
        32, "Images of --metrics at a time; less where memory is full.", least=1, metavar="N"
    )
    ppl_distance: DistanceName = choice("auto", "Perceptual distance.", metavar="NAME", type=str)
    ppl_crop: Crop = choice("face", "Crop of ppl.", metavar="NAME", type=str)

    def __post_init__(self) -> None:
        if not 0 <= self.metrics_every < float("inf"):
            raise UserError(f"--metrics-every must be 0 or more kimg, got {self.metrics_every}")
        if self.metrics_batch < 1:
            raise UserError(f"--metrics-batch must be at least 1, got {self.metrics_batch}")
        if self.metrics_features not in get_args(Features):
            raise UserError(f"--metrics-features: expected one of {', '.join(get_args(Features))}")

    def named(self) -> "list[NamedMetric]":
        """The metrics by name, in the order given, each once."""
        names = dict.fromkeys(part.strip() for part in self.metrics.split(",") if part.strip())
        return [parse_metric(name, self) for name in names]


@dataclass(frozen=True, kw_only=True)
class NamedMetric:
    """A metric by the name that the user gave."""

    name: str  # As given: ``fid10k``
    entry: str  # Its name in `stylegan_eval.metrics.METRICS`
    settings: Sampling  # Its protocol

    def better(self, value: float, other: float) -> bool:
        """Whether a model with `value` is better than one with `other`."""
        return value > other if METRICS[self.entry].higher_is_better else value < other


def parse_metric(name: str, wanted: MetricSettings) -> NamedMetric:
    """Read one name."""
    match = _PPL.fullmatch(name) or _OF_IMAGES.fullmatch(name)
    if match is None:
        raise UserError(f"--metrics: {name} is not known: {_EXPECTED}")
    values: dict[str, Any]
    if match.re is _PPL:
        count, space, sampling = match.groups()
        entry, values = "ppl", {"space": space, "sampling": sampling}
        values |= {"distance": wanted.ppl_distance, "crop": wanted.ppl_crop}
    else:
        short, count, full = match.groups()
        entry = _METRIC[short]
        if full and not issubclass(METRICS[entry].settings, RealSettings):
            raise UserError(f"--metrics: {name} is not known: {_EXPECTED}")
        values = {"features": _features(name, entry, wanted.metrics_features)}
        if short in _OTHER_NETWORKS and wanted.metrics_features == "inception":
            raise UserError(
                f"--metrics: {name} is of another network than Inception: name it with"
                f" --metrics-features, or use {name.replace(short, entry)}"
            )
        values |= {"reals": "full"} if full else {}
    if count is not None:
        values["num"] = int(count.removesuffix("k")) * (1000 if count.endswith("k") else 1)
    fewest = METRICS[entry].fewest
    num = values.get("num", METRICS[entry].settings.num)
    if num < fewest:  # in words that know no options of another command line
        raise UserError(f"--metrics: {name} needs {fewest} images or more, got {num}")
    kind: Any = METRICS[entry].settings
    try:
        settings = kind(**values)
    except UserError as error:
        raise UserError(f"--metrics: {name} cannot be measured: {error}") from error
    return NamedMetric(name=name, entry=entry, settings=settings)


def _features(name: str, entry: str, network: Features) -> Features:
    """Feature network: with Inception each metric uses that of its paper."""
    settings = METRICS[entry].settings
    if issubclass(settings, IsSettings) and network not in CLASSIFIERS:
        raise UserError(
            f"--metrics: {name} needs class scores, and {network} has none: leave it out"
        )
    return METRICS[entry].features(network)


def network_of(settings: Sampling) -> tuple[str, str] | None:
    """Feature network and rule of resizing; None for path lengths."""
    if isinstance(settings, FeatureSettings):
        return settings.features, settings.resize
    assert isinstance(settings, PplSettings)
    return None


def reals_needed(settings: Sampling) -> int:
    """Number of real images that the metric compares with, at least."""
    if not isinstance(settings, RealSettings):
        return 0
    return settings.num if settings.reals != "full" else settings.fewest
