"""Values of metrics, how their names are made, and their rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.device import device_name
from stylegan_eval.engine.protocols import Detector
from stylegan_eval.networks import NETWORKS
from stylegan_eval.results.paired import PROJECTED
from stylegan_eval.results.results import FREEDOM, REDRAWN, Row, one_note
from stylegan_eval.settings.image_metrics import (
    FeatureSettings,
    FidSettings,
    GeneratedSettings,
    RealSettings,
)


@dataclass(frozen=True, kw_only=True)
class Value:
    """A number before it becomes a row."""

    name: str  # Name of the metric
    value: float  # The number
    stderr: float | None = None  # Its standard error
    protocol: Mapping[str, str] = field(default_factory=dict)  # Choices that the name does not tell
    details: Mapping[str, str] = field(default_factory=dict)  # Other values measured
    notes: Sequence[str] = ()
    """Notes for a reader who would quote it; empty ones are dropped."""


def error_details(
    redrawn: float | None = None, projected: str = "", freedom: int | None = None
) -> dict[str, str]:
    """Say in a row what its standard error holds: the generated images redrawn, the reals fixed.

    Two generators measured on the same real images differ by that noise alone.

    `redrawn`: standard error with the real images redrawn as well, where it is known; `projected`:
    see `results.paired`; `freedom`: degrees of freedom of an error from few groups of images.
    """
    of_both = {} if redrawn is None else {REDRAWN: f"{redrawn:.4g}"}
    of_both |= {PROJECTED: projected} if projected else {}
    return {"stderr": "reals-fixed", **of_both, **freedom_details(freedom)}


def freedom_details(freedom: int | None) -> dict[str, str]:
    """Say in a row how many degrees of freedom its standard error has, where these are few."""
    return {} if freedom is None else {FREEDOM: str(freedom)}


def count_name(num: int) -> str:
    """50000 -> 50k, 1234 -> 1234."""
    return f"{num // 1000}k" if num % 1000 == 0 else str(num)


def count_and_k(num: int, k: int) -> str:
    """50000 and 3 -> 50k3, as NVIDIA names it; 1234 and 3 -> 1234_3."""
    return f"{count_name(num)}{k}" if num % 1000 == 0 else f"{num}_{k}"


def suffix(settings: FeatureSettings) -> str:
    """Say which real images where it is no random choice: ``_full``, ``_first``, ``_floor``."""
    if isinstance(settings, FidSettings) and settings.floor:
        return "_floor"
    reals = settings.reals if isinstance(settings, RealSettings) else "random"
    return "" if reals == "random" else f"_{reals}"


def marks(settings: FeatureSettings, detector: Detector, *, usual: str) -> str:
    """In brackets what is not as the metric's name promises; empty when all is.

    A user's own weights file is accepted, because the same network circulates in other containers,
    but its digest becomes part of the name: the number cannot pass for the official one.

    `usual`: the feature network that the bare name stands for.
    """
    parts: list[str] = []
    if isinstance(settings, GeneratedSettings):
        parts += [f"{name}:{value}" for name, value in settings.variation.items()]
    if settings.features != usual:
        parts.append(settings.features)
    if settings.resize != "tf1":
        parts.append(f"resize:{settings.resize}")
    official = NETWORKS[settings.features].sha256
    if official and detector.weights_sha256 != official:
        parts.append(f"weights:{detector.weights_sha256[:8]}")
    return f"[{','.join(parts)}]" if parts else ""


def full_name(short: str, settings: FeatureSettings, detector: Detector, *, usual: str) -> str:
    """Name of a metric with its number of images, `suffix` and `marks`."""
    own = marks(settings, detector, usual=usual)
    return f"{short}{count_name(settings.num)}{suffix(settings)}{own}"


def inception_name(short: str, other: str, settings: FeatureSettings, detector: Detector) -> str:
    """Name of a metric that has its own name with Inception alone.

    ``fid50k`` is official Inception weights and TensorFlow 1's resize. Without Inception the name
    is ``other`` and the network: a Fréchet distance is then no FID.
    """
    if settings.features == "inception":
        return full_name(short, settings, detector, usual="inception")
    own = marks(settings, detector, usual=settings.features)
    return f"{other}_{settings.features}{suffix(settings)}{own}"


def where(run: Run) -> dict[str, Any]:
    """Device and number of processes, for a row."""
    return {"device": device_name(run.device), "processes": run.processes.world}


def make_row(value: Value, about: Mapping[str, Any]) -> Row:
    """Row of a value; its time is set later. Note and details of `about` join the value's."""
    return Row(
        **{
            "seconds": 0.0,
            **about,
            "metric": value.name,
            "value": value.value,
            "stderr": value.stderr,
            "protocol": {**about.get("protocol", {}), **value.protocol},
            "details": {**about.get("details", {}), **value.details},
            "note": one_note(about.get("note", ""), *value.notes),
        }
    )
