"""What a user decides about a run beside its configuration; kept in the run's folder."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stylegan import __version__
from stylegan.configs import Config, config_from_dict, config_to_dict
from stylegan.training.cost import micro_batches
from stylegan.training.metric_names import MetricSettings
from stylegan.training.monitor import OnCollapse
from stylegan.training.partition import Execution
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

RUN_FILE = "run.json"
_AGAIN = "name the images with --data, and give other options anew"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of a run."""

    out: Path  # The run's folder
    data: Path  # Archive or folder of images
    seed: int = 0  # Seed of all randomness
    snapshot_kimg: float | None = None
    """Thousands of images between checkpoints with a sample sheet; None for a twentieth of the
    length, but at least one."""
    snapshot_minutes: float = 20.0
    """A checkpoint more, which the next one replaces, before so many minutes of training could be
    lost; 0 for none."""
    keep: int = 3  # Checkpoints to keep; older ones are deleted
    cache: Path | None = None  # Where prepared images are kept; None for the default
    execution: Execution = field(default_factory=Execution)  # Precision, passes, workers
    metrics: MetricSettings = field(default_factory=MetricSettings)
    """What to measure at checkpoints."""
    on_collapse: OnCollapse = "stop"  # What to do when the training has diverged
    tensorboard: bool | None = None  # Whether to write events; None where the package is installed
    memory_limit: int | None = None
    """Bytes for each process, from which the images in a pass follow."""
    warmup: float = 0.0  # Seconds for timing steps before the training starts; 0 for none

    def interval(self, config: Config) -> float:
        """Thousands of images between checkpoints."""
        return self.snapshot_kimg or max(config.schedule.total_kimg / 20, 1.0)

    def execution_of(self, config: Config, world: int) -> Execution:
        """How steps are computed: in passes that fit into the memory limit, if there is one."""
        if self.memory_limit is None:
            return self.execution
        table = micro_batches(config, self.memory_limit, execution=self.execution, world=world)
        return replace(self.execution, at_a_time=table)


def write_settings(config: Config, settings: RunSettings) -> None:
    """Write ``run.json`` into the run's folder."""
    kept = asdict(settings)
    del kept["out"], kept["cache"]  # the folder may move, and the cache is the machine's
    tree = {
        "config": config_to_dict(config),
        **kept,
        "data": str(settings.data.resolve()),
        "version": __version__,
    }
    with atomic_write(settings.out / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n")


def read_settings(folder: Path) -> RunSettings:
    """Settings that a run's folder remembers."""
    return read_run(folder)[1]


def read_run(folder: Path) -> tuple[Config, RunSettings]:
    """Configuration and settings that a run's folder remembers."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise UserError(f"no run to resume in {folder}: {path.name} is missing")
    with parsing(path, "is damaged", _AGAIN):
        tree = json.loads(path.read_text())
        return config_from_dict(tree["config"]), RunSettings(
            out=folder,
            data=Path(tree["data"]),
            seed=int(tree["seed"]),
            snapshot_kimg=None if (kimg := tree["snapshot_kimg"]) is None else float(kimg),
            snapshot_minutes=float(tree.get("snapshot_minutes", RunSettings.snapshot_minutes)),
            keep=int(tree["keep"]),
            execution=_execution(tree["execution"]),
            metrics=MetricSettings(**tree["metrics"]),
            on_collapse=tree["on_collapse"],
            tensorboard=tree["tensorboard"],
            memory_limit=tree["memory_limit"],
            warmup=float(tree["warmup"]),
        )


def _execution(tree: dict[str, Any]) -> Execution:
    table = tuple((int(size), int(images)) for size, images in tree["at_a_time"])
    return replace(Execution(**tree), at_a_time=table)
