"""Settings of a run beside its configuration, those of its metrics too, kept in its folder."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from stylegan import __version__
from stylegan.configs import Config, config_from_dict, config_to_dict
from stylegan.training.partition import Execution
from stylegan_eval.engine.options import Parsed, names_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import METRICS, names_of_results
from stylegan_eval.results.formatting import parse_size
from stylegan_eval.results.run_folder import SETTINGS
from stylegan_eval.settings.common import SEEDS, Features, Sampling, choice
from stylegan_eval.settings.image_metrics import (
    CLASSIFIERS,
    FeatureSettings,
    IsSettings,
    RealSettings,
)
from stylegan_eval.settings.others import Crop, DistanceName, PplSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OnCollapse = Literal["stop", "warn"]
WARMUP = 5.0  # seconds, of a training that is not told otherwise
Settings = TypeVar("Settings", bound="DataclassInstance")
_AGAIN = "name the images with --data, and give other options anew"
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
        f"Measure checkpoints: {', '.join(_SHORT)} with a number of images (fid10k; fid10k_full:"
        " against all real ones), ppl_wend, ppl_wfull, ppl_zend, ppl_zfull; commas between. The"
        " first decides which is kept as best.pt.",
        metavar="NAMES",
    )
    metrics_every: float = choice(
        0.0,
        "Measure the first checkpoint of every so many kimg; 0 measures each.",
        least=0,
        metavar="KIMG",
    )
    metrics_features: Features = choice(
        "inception", "Feature network of --metrics; only inception gives FID."
    )
    metrics_batch: int = choice(
        32, "Images of --metrics at a time; less where memory is full.", least=1, metavar="N"
    )
    ppl_distance: DistanceName = choice("auto", "Perceptual distance of ppl.")
    ppl_crop: Crop = choice("face", "Crop of ppl.")

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


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run. Fields made by `choice` are options of `stylegan-train`."""

    out: Path  # The run's folder
    data: Path  # Archive or folder of images
    seed: int = choice(0, "Random seed.", least=0, most=SEEDS - 1)
    snapshot_kimg: float | None = choice(
        None,
        "Write a checkpoint and a sample sheet at this interval in kimg.",
        shown="a twentieth of the length",
        above=0,
    )
    snapshot_minutes: float = choice(
        20.0,
        "Also write a temporary checkpoint at this interval in minutes; 0: none.",
        least=0,
        metavar="MIN",
    )
    keep: int = choice(3, "Checkpoints to keep.", least=1)
    cache: Path | None = choice(
        None,
        "Folder of prepared images.",
        shown="$STYLEGAN_CACHE, else ~/.cache/stylegan-bench",
        metavar="DIR",
    )
    metrics: MetricSettings = field(default_factory=MetricSettings)
    on_collapse: OnCollapse = choice("stop", "What to do when the training diverges.")
    tensorboard: bool | None = choice(
        None, "Write events for TensorBoard.", shown="where it is installed"
    )
    wandb: bool = choice(
        default=False,
        text="Send rows, metrics and sheets to Weights & Biases (WANDB_MODE=offline: to files).",
        shown="",
    )
    execution: Execution = field(default_factory=Execution)
    memory_limit: int | None = choice(  # Bytes of each process
        None,
        "Instead of --grad-accum: choose K, and a batch of --metrics, so that the estimated memory"
        " fits into SIZE (10GiB).",
        metavar="SIZE",
        type=Parsed("size", parse_size),
        least=1,
    )
    fixed_length: bool = choice(
        default=False,
        text="Refuse to continue the run in its folder with another --kimg, for it is compared with"
        " runs of that length.",
        shown="",
    )
    warmup: float = choice(
        0.0,
        "Time for timing steps before training, to estimate its duration; 0 disables.",
        shown=WARMUP,
        least=0,
        metavar="SECONDS",
    )

    @property
    def longer_in(self) -> Path:
        """Folder in which the run may become longer."""
        return Path("FOLDER") if self.fixed_length else self.out

    def interval(self, config: Config) -> float:
        """Thousands of images between checkpoints."""
        return self.snapshot_kimg or max(config.schedule.total_kimg / 20, 1.0)

    def execution_of(self, config: Config, world: int, device_type: str) -> Execution:
        """Execution settings, with micro-batches that fit into the memory limit."""
        if self.memory_limit is None:
            return self.execution
        from stylegan.training.cost import micro_batches  # with PyTorch

        table = micro_batches(
            config,
            self.memory_limit,
            execution=self.execution,
            world=world,
            device_type=device_type,
        )
        return replace(self.execution, at_a_time=table)


def changed(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """Replace fields of `settings`, and of those in it, by the options that are not None."""
    values: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value) and not isinstance(value, type):
            values[entry.name] = changed(value, options)
        elif options.get(entry.name) is not None:
            values[entry.name] = options[entry.name]
    return replace(settings, **values)


def check_effect(settings: RunSettings, options: Mapping[str, Any]) -> None:
    """Refuse options, None where not given, that have no effect beside the other settings."""
    metrics = settings.metrics
    measured = [each.settings for each in metrics.named()]
    networks = [each.features for each in measured if isinstance(each, FeatureSettings)]
    without = "is for --metrics: leave it out without --metrics"
    of_ppl = any(isinstance(each, PplSettings) for each in measured)
    other = "is for ppl: leave it out without ppl among --metrics" if measured else without
    unused = f"{metrics.metrics_features} is of no metric among --metrics: leave it out"
    effects = {
        "grad_accum": (
            settings.memory_limit is None,
            "is chosen by the run's --memory-limit: leave --grad-accum out",
        ),
        "metrics_every": (measured, without),
        "metrics_batch": (measured, without),
        "metrics_features": (
            metrics.metrics_features in networks,
            unused if measured else without,
        ),
        "ppl_distance": (of_ppl, other),
        "ppl_crop": (of_ppl, other),
    }
    for name, (effective, reason) in effects.items():
        if options.get(name) is not None and not effective:
            raise click.UsageError(f"{names_of(name)[0]} {reason}")


def write_settings(config: Config, settings: RunSettings) -> None:
    """Write ``run.json`` into the run's folder."""
    from stylegan_eval.engine.files import atomic_write  # not at the start of every command

    kept = asdict(settings)
    del kept["out"], kept["cache"]  # the folder may move, and the cache is the machine's
    tree = {
        "config": config_to_dict(config),
        **kept,
        "data": str(settings.data.resolve()),
        "version": __version__,
    }
    with atomic_write(settings.out / SETTINGS) as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n")


def read_settings(folder: Path) -> RunSettings:
    """Settings stored in a run's folder."""
    return read_run(folder)[1]


def read_run(folder: Path) -> tuple[Config, RunSettings]:
    """Configuration and settings stored in a run's folder."""
    path = folder / SETTINGS
    if not path.is_file():
        raise UserError(f"no run to resume in {folder}: {path.name} is missing")
    with parsing(path, "is damaged", _AGAIN):
        tree = json.loads(path.read_text())
        known = {entry.name for entry in fields(RunSettings)}  # and no "config", "version"
        kept = {key: value for key, value in tree.items() if key in known}
        table = [[int(part) for part in row] for row in kept["execution"].pop("at_a_time")]
        execution = Execution(**_checked(Execution, kept.pop("execution")))
        metrics = MetricSettings(**_checked(MetricSettings, kept.pop("metrics")))
        others = {**_checked(RunSettings, kept), "out": folder, "data": Path(kept["data"])}
        return config_from_dict(tree["config"]), RunSettings(
            **others,
            execution=replace(execution, at_a_time=tuple((size, n) for size, n in table)),
            metrics=metrics,
        )


def _checked(kind: type, tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that the values of `tree` fit the fields of a dataclass; return it."""
    hints = get_type_hints(kind)
    ranges = {entry.name: entry.metadata for entry in fields(kind)}
    for key, value in tree.items():
        if key not in hints:
            raise ValueError(f"{key} is not known")
        kinds = get_args(hints[key]) if isinstance(hints[key], UnionType) else (hints[key],)
        if not any(_fits(each, value) for each in kinds):
            expected = " or ".join(_in_words(each) for each in kinds)
            raise ValueError(f"{key} is {value!r:.60}, expected {expected}")
        if isinstance(value, int | float) and (range_ := _missed(value, ranges[key])):
            raise ValueError(f"{key} is {value!r:.60}, expected {range_}")
    return tree


def _missed(value: float, about: Mapping[str, Any]) -> str:
    """The end of a field's range that a number is beyond, as text."""
    if not value > about.get("above", -math.inf):
        return f"more than {about['above']:g}"
    if not value >= about.get("least", -math.inf):
        return f"{about['least']:g} or more"
    return "" if value <= about.get("most", math.inf) else f"{about['most']} or less"


def _fits(kind: Any, value: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is Path:
        return isinstance(value, str) and value != "" and "\0" not in value
    return type(value) is (NoneType if kind is None else kind)


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(get_args(kind))
    words = {float: "a number", int: "a whole number", bool: "true or false", Path: "a path"}
    return "null" if kind is NoneType else words.get(kind, "text")
