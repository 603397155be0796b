"""The results folder of the tables: its files, and the outcomes that they hold.

::

    bench.json                       version, and the data that all in it was made from
    requests/TABLE-SCALE-...json     a question: every cell, and the files that answer it
    trainings/NETWORK-SEED-HASH/     folders of `stylegan-train`, or what `keep` keeps of them
    measurements/TRAINING/KIND-HASH.csv   tables of `stylegan-eval`
    failures/NAME.json               why a training or a measurement failed
    claims/NAME.N                    who works on what
    classifiers.safetensors          of linear separability, where the data has attributes
    report/                          what `python -m benchmarks report` writes
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.measured import conditions_of, read_value
from benchmarks.processes import is_claimed
from stylegan import __version__
from stylegan_eval.engine.files import atomic_write, locked
from stylegan_eval.errors import UserError
from stylegan_eval.results.run_folder import LOG, METRICS_FILE, read_rows
from stylegan_eval.results.significance import known

FORMAT = "stylegan-bench-results/1"
FINISHED = "finished.json"
_ABOUT = "bench.json"
State = Literal["done", "failed", "running", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to `python -m benchmarks run`."""

    table: str  # 'table1'
    title: str
    scale: str  # 'demo-32', say
    dataset: str  # Whose losses and published numbers
    kimg: float  # Length of the trainings
    data: str  # Name and number of the real images
    command: str


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Progress of a training."""

    name: str  # 'A-seed0-1f2e3d4c5b', say
    folder: Path  # Of `stylegan-train`; may not exist yet
    network: str  # Key of `benchmarks.tables.NETWORKS`
    seed: int
    kimg: float  # How far it came
    seconds: float  # Wall time, measurements on the way included
    machine: str  # What it ran on; empty before its end
    data: str = ""  # Digest of the images it was compared with on the way; empty where unknown


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result or status of one cell of a table for one seed."""

    request: Request
    line: str  # Key of the line
    label: str  # In the paper's words
    space: str  # 'z', 'w' or empty
    metric: str  # 'fid', 'precision', 'recall', 'ppl_full', 'ppl_end' or 'separability'
    condition: str  # 'latents=2' or 'psi=0.7'; empty for plainly drawn images
    seed: int
    state: State
    reason: str = ""  # Why it failed
    value: float | None = None
    stderr: float | None = None  # Of the measurement, where it is known
    measured_as: str = ""  # Name of the metric: only Inception's distance is an FID
    protocol: str = ""
    conditions: tuple[tuple[str, str], ...] = ()  # See `measured.conditions_of`
    published: float | None = None  # The paper's number
    training: TrainingState | None = None


@dataclass(frozen=True, kw_only=True)
class ResultsFolder:
    """A folder of results."""

    path: Path
    data: str  # Content digest of the real images that all in it was made from
    images: str  # Their name and number, for people

    def training(self, name: str) -> Path:
        """Folder of a training."""
        return self.path / "trainings" / name

    def measurement(self, training: str, name: str) -> Path:
        """Table of a measurement."""
        return self.path / "measurements" / training / f"{name}.csv"

    def log(self, *names: str) -> Path:
        """Output of a command."""
        return self.path / "logs" / f"{'-'.join(names)}.log"

    @property
    def claims(self) -> Path:
        """Folder of claims."""
        return self.path / "claims"

    @property
    def classifiers(self) -> Path:
        """Attribute classifiers that were trained on the data."""
        return self.path / "classifiers.safetensors"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    def failure(self, *names: str) -> str:
        """Why a training, or a measurement of it, failed; empty where it did not."""
        path = self._failure(names)
        return str(read_json(path)["reason"]) if path.exists() else ""

    def fail(self, *names: str, reason: str) -> None:
        """Write down why something failed."""
        write_json(self._failure(names), {"reason": reason})

    def forgive(self, *names: str) -> None:
        """Forget a failure: it is tried again."""
        self._failure(names).unlink(missing_ok=True)

    def _failure(self, names: tuple[str, ...]) -> Path:
        return self.path / "failures" / f"{'--'.join(names)}.json"

    def requests(self, pattern: str = "*") -> list[dict[str, Any]]:
        """Questions, by names that fit a pattern, in their order."""
        paths = sorted((self.path / "requests").glob(f"{pattern}.json"))
        return [_checked_request(path) for path in paths]

    def request_names(self) -> list[str]:
        """Names of all questions."""
        return sorted(path.stem for path in (self.path / "requests").glob("*.json"))

    def write_request(self, name: str, tree: dict[str, Any]) -> None:
        """Keep a request."""
        write_json(self.path / "requests" / f"{name}.json", tree)


def open_folder(path: Path, data: str, images: str) -> ResultsFolder:
    """Open a folder to work in, or begin one."""
    about = path / _ABOUT
    with locked(about):
        if not about.exists():
            others = [item.name for item in path.iterdir() if not item.name.startswith(".")]
            if others:
                raise UserError(
                    f"{path} holds {others[0]} but no {_ABOUT}, so it is no folder of results:"
                    " choose an empty one"
                )
            write_json(
                about,
                {"format": FORMAT, "version": __version__, "data": data, "images": images},
            )
    folder = read_folder(path)
    version = read_json(about)["version"]
    if version != __version__:
        raise UserError(
            f"{path} was begun by version {version} of this package, this is {__version__}, and"
            " results of two versions do not compare: choose another folder"
        )
    if folder.data != data:
        raise UserError(
            f"{path} was begun with other images ({folder.images}, digest {folder.data[:12]}),"
            f" not {images}, digest {data[:12]}: give those, or choose another folder"
        )
    return folder


def read_folder(path: Path) -> ResultsFolder:
    """Open a folder to look at."""
    about = path / _ABOUT
    if not about.is_file():
        raise UserError(
            f"{path} is no folder of results (no {_ABOUT}): `python -m benchmarks run` makes one"
        )
    tree = read_json(about)
    if tree.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {tree.get('format')!r}, this version reads {FORMAT!r}: use the"
            " version that wrote it"
        )
    try:
        return ResultsFolder(path=path, data=str(tree["data"]), images=str(tree["images"]))
    except KeyError as error:
        raise _damaged(about) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that this package wrote."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(tree, dict):
        raise _damaged(path)
    return tree


def write_json(path: Path, tree: dict[str, Any]) -> None:
    """Write a small file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


_REQUEST = dict.fromkeys(("table", "title", "scale", "dataset", "command"), str)
_PLACE = dict.fromkeys(("line", "label", "space", "metric", "condition"), str) | {"seed": int}
_CELL = _PLACE | dict.fromkeys(("network", "training", "measurement", "row"), str)


def _checked_request(path: Path) -> dict[str, Any]:
    tree = read_json(path)
    kinds = _REQUEST | {"kimg": float, "cells": list}
    if not _fits(tree, kinds) or not all(_fits(cell, _CELL) for cell in tree["cells"]):
        raise _damaged(path)
    for cell in tree["cells"]:  # names of files in this folder, and nothing else
        if any(
            "/" in cell[name] or cell[name].startswith(".") for name in ("training", "measurement")
        ):
            raise _damaged(path)
    return tree


def place_of(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Line, quantity and seed of a cell: no other cell of its table has all of them."""
    return tuple(cell[key] for key in ("line", "metric", "condition", "seed"))


def _fits(tree: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(tree, dict) and all(
        isinstance(tree.get(key), kind) for key, kind in kinds.items()
    )


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged or half-written: delete it, and run again")


def read_outcomes(folder: ResultsFolder, name: str = "") -> list[Outcome]:
    """All that a folder holds, and all that is still to come."""
    outcomes = []
    for tree in folder.requests(name or "*"):
        request = Request(
            data=folder.images,
            kimg=tree["kimg"],
            **{key: tree[key] for key in _REQUEST},
        )
        trainings = {
            cell["training"]: read_training(folder, cell["training"], cell)
            for cell in tree["cells"]
        }
        outcomes += [
            _outcome(folder, request, cell, trainings[cell["training"]]) for cell in tree["cells"]
        ]
    return outcomes


def read_training(folder: ResultsFolder, name: str, cell: dict[str, Any]) -> TrainingState:
    """Progress of a training."""
    path = folder.training(name)
    rows, _ = read_rows(path / LOG)
    measured, _ = read_rows(path / METRICS_FILE)
    finished = path / FINISHED
    return TrainingState(
        name=name,
        folder=path,
        network=cell["network"],
        seed=cell["seed"],
        kimg=float(rows[-1]["nimg"]) / 1000 if rows else 0.0,
        seconds=_seconds(rows),
        machine=str(read_json(finished).get("machine", "")) if finished.exists() else "",
        data=next((str(row["data_digest"]) for row in measured if row.get("data_digest")), ""),
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
    folder: ResultsFolder, request: Request, cell: dict[str, Any], training: TrainingState
) -> Outcome:
    waiting = Outcome(
        request=request,
        **{key: cell[key] for key in _PLACE},
        state="waiting",
        published=cell.get("published"),
        training=training,
    )
    name, measurement = cell["training"], cell["measurement"]
    if reason := cell.get("missing", ""):
        return replace(waiting, state="failed", reason=reason)
    path = folder.measurement(name, measurement)
    if path.exists():
        row = read_value(path, cell["row"])
        if reason := _objection(folder, training, row):
            return replace(waiting, state="failed", reason=reason)
        return _measured(waiting, row)
    if is_claimed(folder.claims, name):  # a runner works on the training or its measurements
        return replace(waiting, state="running")
    if reason := folder.failure(name) or folder.failure(name, measurement):
        return replace(waiting, state="failed", reason=reason)
    return waiting


def _objection(folder: ResultsFolder, training: TrainingState, row: dict[str, str]) -> str:
    """Why a measurement is none of this folder; empty where nothing is against it."""
    for what, digest in (("measured with", row["data_digest"]), ("trained on", training.data)):
        if digest and digest != folder.data:
            return (
                f"{what} other images (digest {digest[:12]}) than this folder is of"
                f" ({folder.images}, digest {folder.data[:12]}): keep it in a folder of its own"
            )
    return ""


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
        conditions=conditions_of(row),
    )
