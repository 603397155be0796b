"""Settings of a run beside its configuration, kept in the run's folder."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from stylegan import __version__
from stylegan.configs import Config, config_from_dict, config_to_dict
from stylegan.training.metric_names import MetricSettings
from stylegan.training.partition import Execution
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import size_option
from stylegan_eval.results.run_folder import SETTINGS
from stylegan_eval.settings.common import SEEDS, choice

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

OnCollapse = Literal["stop", "warn"]
WARMUP = 5.0  # seconds, of a training that is not told otherwise
Settings = TypeVar("Settings", bound="DataclassInstance")
_AGAIN = "name the images with --data, and give other options anew"


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
    cache: Path | None = choice(None, "Folder of prepared images.", metavar="DIR")
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
        type=str,
        least=1,
        callback=size_option,
    )
    warmup: float = choice(
        0.0,
        "Time for timing steps before training, to estimate its duration; 0 disables.",
        shown=WARMUP,
        least=0,
        metavar="SECONDS",
    )

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
