"""Read a folder of results as outcomes, one for every cell and seed."""

import contextlib
import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.folder import ResultsFolder, read_json
from benchmarks.outcomes import Outcome, Request, Training
from stylegan_eval.errors import UserError
from stylegan_eval.json_lines import read_rows
from stylegan_eval.noise import known
from stylegan_eval.results import COLUMNS

FINISHED = "finished.json"


def read_outcomes(folder: ResultsFolder, name: str = "") -> list[Outcome]:
    """All that a folder holds, and all that is still to come.

    Parameters
    ----------
    folder : ResultsFolder
        The folder.
    name : str, optional
        Only this request.

    Raises
    ------
    UserError
        A file in it is damaged.
    """
    outcomes = []
    for tree in folder.requests(name or "*"):
        request = Request(
            data=folder.images,
            **{key: tree[key] for key in ("table", "title", "scale", "dataset", "kimg", "command")},
        )
        trainings = {
            cell["training"]: read_training(folder, cell["training"], cell)
            for cell in tree["cells"]
        }
        outcomes += [
            _outcome(folder, request, cell, trainings[cell["training"]]) for cell in tree["cells"]
        ]
    return outcomes


def read_training(folder: ResultsFolder, name: str, cell: dict[str, Any]) -> Training:
    """How a training stands."""
    path = folder.training(name)
    rows, _ = read_rows(path / "log.jsonl")
    finished = path / FINISHED
    return Training(
        name=name,
        folder=path,
        network=cell["network"],
        seed=cell["seed"],
        kimg=float(rows[-1]["kimg"]) if rows else 0.0,
        seconds=_seconds(rows),
        machine=str(read_json(finished).get("machine", "")) if finished.exists() else "",
    )


def _seconds(rows: Sequence[dict[str, Any]]) -> float:
    """Wall time of a training: the clock of the log begins anew when it is resumed."""
    total = last = 0.0
    for row in rows:
        seconds = float(row.get("seconds", 0.0))
        if seconds < last:
            total += last
        last = seconds
    return total + last


def _outcome(
    folder: ResultsFolder, request: Request, cell: dict[str, Any], training: Training
) -> Outcome:
    waiting = Outcome(
        request=request,
        line=cell["line"],
        label=cell["label"],
        space=cell["space"],
        metric=cell["metric"],
        condition=cell["condition"],
        seed=cell["seed"],
        state="waiting",
        published=cell.get("published"),
        training=training,
    )
    name, measurement = cell["training"], cell["measurement"]
    if reason := cell.get("missing", ""):
        return replace(waiting, state="failed", reason=reason)
    path = folder.measurement(name, measurement)
    if path.exists():
        return _measured(waiting, read_value(path, cell["row"]))
    if folder.is_running(name):
        return replace(waiting, state="running")
    if reason := folder.failure(name) or folder.failure(name, measurement):
        return replace(waiting, state="failed", reason=reason)
    return waiting


def _measured(waiting: Outcome, row: dict[str, str]) -> Outcome:
    if not math.isfinite(float(row["value"])):
        reason = row["note"] or f"{row['metric']} is {row['value']}"
        return replace(waiting, state="failed", reason=reason)
    return replace(
        waiting,
        state="done",
        value=float(row["value"]),
        stderr=known(float(row["stderr"] or "nan"), float(row["value"])),
        measured_as=row["metric"],
        protocol=f"num={row['num']} {row['protocol']}",
    )


def read_value(path: Path, name: str) -> dict[str, str]:
    """The row of a table of `stylegan-eval` whose metric's name holds `name`.

    Raises
    ------
    UserError
        The file is damaged, or has no such row.
    """
    damaged = f"{path} is damaged or half-written: delete it, and run again"
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(damaged) from error
    for row in rows:
        metric = row.get("metric") or ""
        # Parts of a result, and the limit for infinitely many images, are other numbers.
        if name not in metric or "/" in metric or "_inf" in metric:
            continue
        if set(row) != set(COLUMNS) or any(value is None for value in row.values()):
            break
        with contextlib.suppress(ValueError):
            float(row["value"])
            return row
    raise UserError(damaged)
