"""Reader of a training's folder: settings, log, and metrics of checkpoints."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan_eval.engine.json_lines import read_rows
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.results.measured import Measured, from_log

SETTINGS, LOG, METRICS = "run.json", "log.jsonl", "metrics.jsonl"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)(?:_(\d{3}))?\.pt")


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """What the folder of a training tells."""

    folder: Path  # The folder
    settings: Mapping[str, str]
    """Configuration and options by name (``schedule.total_kimg``), each as JSON."""
    log: Sequence[Mapping[str, Any]]
    metrics: Sequence[Mapping[str, Any]]
    """log, metrics: Rows of the log and of the metrics, in order; each has ``nimg``."""

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint."""
        names = [(_CHECKPOINT.fullmatch(path.name), path) for path in self.folder.iterdir()]
        found = [(int(m[1]), int(m[2] or 0), path) for m, path in names if m is not None]
        return max(found)[2] if found else None

    @property
    def newest(self) -> list[Measured]:
        """What was measured of the checkpoint that was measured last."""
        last = max((row["nimg"] for row in self.metrics), default=0)
        source = self.folder / METRICS
        rows = (from_log(row, source) for row in self.metrics if row["nimg"] == last)
        return [row for row in rows if row is not None]


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training."""
    return (folder / SETTINGS).is_file()


def read_run(folder: Path) -> TrainingRun:
    """Read the folder of a training."""
    path = folder / SETTINGS
    with parsing(path, "cannot be read as the settings of a run"):
        tree = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(tree, dict) or not isinstance(tree.get("config"), dict):
            raise ValueError("no configuration in it")
        settings = dict(flat(tree.pop("config"))) | dict(flat(tree))
    return TrainingRun(
        folder=folder,
        settings=settings,
        log=read_rows(folder / LOG)[0],
        metrics=[row for row in read_rows(folder / METRICS)[0] if "error" not in row],
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
