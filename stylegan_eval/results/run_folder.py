"""A training's folder: names of its files, its reader, and its JSON lines of rows with `nimg`."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import json_value

SETTINGS, LOG, TEXT_LOG, METRICS_FILE = "run.json", "log.jsonl", "train.log", "metrics.jsonl"
SHEET = r"fakes-(\d+)(?:_(\d{3}))?\.png"  # pattern of the names of sample sheets
BEST, BEST_FILE = "best.pt", "best.json"
ADVICE = "the run's checkpoints are not concerned"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)(?:_(\d{3}))?\.pt")


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The folder of a training, read."""

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


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training."""
    return (folder / SETTINGS).is_file()


def results_in(folder: Path) -> list[str]:
    """Names of files with results of a training.

    One that was killed before its first checkpoint has none: only settings, and a sheet of kimg 0.
    """
    if not folder.is_dir():
        return []
    files = [folder / name for name in (LOG, METRICS_FILE, BEST, BEST_FILE)]
    found = [path.name for path in files if path.is_file() and path.stat().st_size > 0]
    sheets = [re.fullmatch(SHEET, path.name) for path in sorted(folder.iterdir())]
    return found + [name[0] for name in sheets if name and int(name[1] + (name[2] or ""))]


def read_run(folder: Path) -> TrainingRun:
    """Read the folder of a training."""
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


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append all rows or none, their values as `json_value`.

    A row that a kill cuts is none; several are not cut between two.
    """
    plain = ({key: json_value(value) for key, value in row.items()} for row in rows)
    text = "".join(json.dumps(row, allow_nan=False) + "\n" for row in plain)
    if len(rows) > 1:
        before = path.read_bytes() if path.exists() else b""
        with atomic_write(path) as temporary:
            temporary.write_bytes(before + text.encode())
        return
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def read_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Rows of a file (none if it does not exist), and the number of damaged lines."""
    lines = _lines(path)
    rows = [row for row in map(_row_of, lines) if row is not None]
    return rows, len(lines) - len(rows)


def drop_rows_after(path: Path, nimg: int) -> None:
    """Drop rows of a later time, left by a run that was killed, and damaged ones."""
    lines = _lines(path)
    kept = []
    for line in lines:
        row = _row_of(line)
        if row is not None and row["nimg"] <= nimg:
            kept.append(line.rstrip("\n") + "\n")
    if kept != lines:
        with atomic_write(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)


def _row_of(line: str) -> dict[str, Any] | None:
    row = None
    with contextlib.suppress(UserError), parsing("row"):
        row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("nimg"), int | float):
        return None
    return row if 0 <= row["nimg"] < 2**63 else None  # nor NaN
