"""The one reader of a training's folder, and the names of the files in it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylegan_eval.engine.untrusted import parsing

if TYPE_CHECKING:
    from stylegan_eval.results.measured import Measured

SETTINGS, LOG, TEXT_LOG, METRICS_FILE = "run.json", "log.jsonl", "train.log", "metrics.jsonl"
SHEET = r"fakes-(\d+)(?:_(\d{3}))?\.png"  # pattern of the names of sample sheets
BEST, BEST_FILE = "best.pt", "best.json"
ADVICE = "the run's checkpoints are not concerned"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)(?:_(\d{3}))?\.pt")


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """What the folder of a training tells."""

    folder: Path  # The folder
    content: Mapping[str, Any]  # Of ``run.json``
    log: list[dict[str, Any]]
    metrics: list[dict[str, Any]]
    """log, metrics: Rows of the log and of the metrics, in order; each has ``nimg``."""
    failed: list[dict[str, Any]]  # Rows of what could not be measured, with an ``error``
    damaged: int  # Lines of both files that cannot be read

    @property
    def settings(self) -> Mapping[str, str]:
        """Configuration and options by name (``schedule.total_kimg``), each as JSON."""
        others = {key: value for key, value in self.content.items() if key != "config"}
        return dict(flat(self.content["config"])) | dict(flat(others))

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint."""
        names = [(_CHECKPOINT.fullmatch(path.name), path) for path in self.folder.iterdir()]
        found = [(int(m[1]), int(m[2] or 0), path) for m, path in names if m is not None]
        return max(found)[2] if found else None

    @property
    def newest(self) -> "list[Measured]":
        """What was measured of the checkpoint that was measured last."""
        from stylegan_eval.results.measured import from_log  # not at the start of every command

        last = max((row["nimg"] for row in self.metrics), default=0)
        source = self.folder / METRICS_FILE
        rows = (from_log(row, source) for row in self.metrics if row["nimg"] == last)
        return [row for row in rows if row is not None]


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training."""
    return (folder / SETTINGS).is_file()


def read_run(folder: Path) -> TrainingRun:
    """Read the folder of a training."""
    from stylegan_eval.engine.json_lines import read_rows  # names of files are imported at starts

    path = folder / SETTINGS
    with parsing(path, "is damaged or of another version", ADVICE):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
            raise ValueError("it cannot be read as the settings of a run")
    log, damaged = read_rows(folder / LOG)
    metrics, damaged_metrics = read_rows(folder / METRICS_FILE)
    return TrainingRun(
        folder=folder,
        content=content,
        log=log,
        metrics=[row for row in metrics if "error" not in row],
        failed=[row for row in metrics if "error" in row],
        damaged=damaged + damaged_metrics,
    )


def flat(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Leaves of a tree: dotted name and JSON.

    >>> list(flat({"a": {"b": 1, "c": [2]}, "d": "x"}))
    [('a.b', '1'), ('a.c', '[2]'), ('d', '"x"')]
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield before + str(key), json.dumps(value)
