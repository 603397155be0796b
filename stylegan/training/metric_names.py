"""Names of metrics to be measured during training: ``fid10k``, ``kid5k_full``, ``ppl_wend``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args

from stylegan_eval.errors import UserError
from stylegan_eval.metrics import METRICS
from stylegan_eval.settings.common import Features, Sampling, choice
from stylegan_eval.settings.image_metrics import (
    FeatureSettings,
    KidSettings,
    PrdcSettings,
    PrSettings,
    RealSettings,
)
from stylegan_eval.settings.others import Crop, DistanceName, PplSettings

_OF_IMAGES = re.compile(r"(fid|fd|kid|kd|is|pr|prdc|cmmd)(\d+k?)?(_full)?")
_PPL = re.compile(r"ppl(\d+k?)?_([zw])(full|end)")
# Without Inception a distance has another name.
_ENTRY: Mapping[str, str] = MappingProxyType({"fd": "fid", "kd": "kid"})
_MORE_IS_BETTER = ("is", "pr", "prdc")
_EXPECTED = (
    "expected fid10k, kid10k, is10k, pr10k, prdc10k, cmmd10k (any number of images; fid10k_full"
    " compares with all real ones), fd10k or kd10k with --metrics-features, ppl_wend, ppl_wfull,"
    " ppl_zend, ppl_zfull"
)


@dataclass(frozen=True, kw_only=True)
class MetricSettings:
    """What a user decides about metrics during training; all else is as `stylegan-eval` does it."""

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

    def asked(self) -> "list[Asked]":
        """The metrics by name, in the order given, each once."""
        names = dict.fromkeys(part.strip() for part in self.metrics.split(",") if part.strip())
        return [parse_metric(name, self) for name in names]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A metric by the name that the user gave."""

    name: str  # As given: ``fid10k``
    entry: str  # Its name in `stylegan_eval.metrics.METRICS`
    settings: Sampling  # Its protocol

    def better(self, value: float, other: float) -> bool:
        """Whether a model with `value` is better than one with `other`."""
        return value > other if self.entry in _MORE_IS_BETTER else value < other


def parse_metric(name: str, wanted: MetricSettings) -> Asked:
    """Read one name."""
    found = _PPL.fullmatch(name) or _OF_IMAGES.fullmatch(name)
    if found is None or (name.startswith("is") and name.endswith("_full")):
        raise UserError(f"--metrics: {name} is not known: {_EXPECTED}")
    if found.re is _PPL:
        count, space, sampling = found.groups()
        entry, values = "ppl", {"space": space, "sampling": sampling}
        values |= {"distance": wanted.ppl_distance, "crop": wanted.ppl_crop}
    else:
        short, count, full = found.groups()
        entry = _ENTRY.get(short, short)
        values = _of_images(name, entry, wanted)
        if short in _ENTRY and wanted.metrics_features == "inception":
            raise UserError(
                f"--metrics: {name} is of another network than Inception: name it with"
                f" --metrics-features, or use {name.replace(short, entry)}"
            )
        values |= {"reals": "full"} if full else {}
    if count is not None:
        values["num"] = int(count.removesuffix("k")) * (1000 if count.endswith("k") else 1)
    _check_number(name, entry, values)
    kind: Any = METRICS[entry].settings
    try:
        settings = kind(**values)
    except UserError as error:
        raise UserError(f"--metrics: {name} cannot be measured: {error}") from error
    return Asked(name=name, entry=entry, settings=settings)


def _of_images(name: str, entry: str, wanted: MetricSettings) -> dict[str, Any]:
    """Feature network: with Inception each metric looks through that of its paper."""
    network = wanted.metrics_features
    if entry == "cmmd" or (entry in ("pr", "prdc") and network == "inception"):
        return {}
    if entry == "is" and network not in ("inception", "efficientnet-lite0"):
        raise UserError(f"--metrics: {name} needs classes, and {network} tells none: leave it out")
    return {"features": network}


def _check_number(name: str, entry: str, values: Mapping[str, Any]) -> None:
    """Refuse too few images, in words that know no options of another command line."""
    settings = METRICS[entry].settings
    least = {
        "kid": KidSettings.subset_size,
        "is": 10,
        "pr": PrSettings.k + 1,
        "prdc": PrdcSettings.k + 1,
    }.get(entry, 2)
    num = values.get("num", settings.num)
    if num < least:
        raise UserError(f"--metrics: {name} needs {least} images or more, got {num}")


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
    if settings.reals != "full":
        return settings.num
    return settings.subset_size if isinstance(settings, KidSettings) else 2
