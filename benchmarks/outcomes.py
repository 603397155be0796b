"""What a folder of results holds and what is still to come: a number, or a state, for each cell."""

import contextlib
import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from benchmarks.folder import FINISHED, GENERATOR, PLACE, REQUEST, ResultsFolder, read_json
from benchmarks.processes import is_claimed
from stylegan.checkpoint import checkpoints_in
from stylegan.configs import CONFIGS
from stylegan_eval.engine.files import Stamp, sha256_of, stamp_of
from stylegan_eval.errors import UserError
from stylegan_eval.results.paired import check_errors
from stylegan_eval.results.results import COLUMNS, DEFINING, freedom
from stylegan_eval.results.run_folder import LOG, METRICS_FILE, read_rows
from stylegan_eval.results.significance import known

State = Literal["done", "undefined", "failed", "running", "waiting"]
_REPEATS = CONFIGS["F"].schedule.minibatch_repeats  # of all networks of the tables
# The longest of published updates: 4 minibatches of 512 images.
LONGEST_UPDATE = 2.048  # kimg
_ROUNDED = 0.05  # kimg, of a description
# In `Outcome.protocol` already.
_IN_PROTOCOL = ("protocol", "num")


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
    networks: frozenset[str] = frozenset()
    """Digests that a measurement of its network may have; empty where not all are known."""
    update: float = LONGEST_UPDATE  # Kimg between two updates of its schedule, at most


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
    reason: str = ""  # Why it failed, or is undefined
    value: float | None = None
    stderr: float | None = None  # Of the measurement, where it is known
    freedom: float | None = None  # Degrees of freedom of this error; see `results.freedom`
    measured_as: str = ""  # Name of the metric: only Inception's distance is an FID
    protocol: str = ""
    conditions: tuple[tuple[str, str], ...] = ()  # See `conditions_of`
    note: str = ""  # What a reader must know before quoting the value; empty when nothing
    published: float | None = None  # The paper's number
    training: TrainingState | None = None
    measurement: str = ""  # Name of its table; lines of one training may share it


def read_outcomes(folder: ResultsFolder, name: str = "") -> list[Outcome]:
    """All that a folder holds, and all that is still to come."""
    outcomes = []
    for tree in folder.requests(name or "*"):
        request = Request(
            data=folder.images,
            kimg=tree["kimg"],
            **{key: tree[key] for key in REQUEST},
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
    minibatch = rows[-1].get("minibatch") if rows else None
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
        networks=_networks(path),
        update=LONGEST_UPDATE if minibatch is None else minibatch * _REPEATS / 1000,
    )


def checkpoint_digest(training: Path) -> str:
    """SHA-256 of the checkpoint that a training ended with; empty where it is not known."""
    finished = training / FINISHED
    if (training / GENERATOR).is_file() and finished.exists():
        return str(read_json(finished).get("checkpoint_sha256", ""))
    checkpoints = checkpoints_in(training) if finished.exists() else []
    return _digest(checkpoints[-1], stamp_of(checkpoints[-1].stat())) if checkpoints else ""


def _networks(training: Path) -> frozenset[str]:
    checkpoint, kept = checkpoint_digest(training), training / GENERATOR
    if checkpoint and kept.is_file():
        return frozenset({checkpoint, _digest(kept, stamp_of(kept.stat()))})
    return frozenset({checkpoint} - {""})


@lru_cache(maxsize=1024)
def _digest(path: Path, _stamp: Stamp) -> str:
    """Digest of a file, once: tables share trainings."""
    return sha256_of(path)


def _seconds(rows: Sequence[dict[str, Any]]) -> float:
    """Wall time of a training: the clock of the log begins anew when it is resumed."""
    total = last = 0.0
    for row in rows:
        seconds = float(row.get("seconds", 0.0))
        if seconds < last:
            total += last
        last = seconds
    return total + last


def read_value(path: Path, name: str) -> dict[str, str]:
    """The row of a table of `stylegan-eval` whose metric's name holds `name`."""
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
            check_errors(row)
            return row
    raise UserError(damaged)


def conditions_of(row: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """What must be equal in rows that are averaged, as (column, value); empty cells are left out.

    The columns of `results.DEFINING` but for the protocol.
    """
    columns = [column for column in DEFINING if column not in _IN_PROTOCOL]
    return tuple((column, row[column]) for column in columns if row[column] not in ("", "0"))


def _outcome(
    folder: ResultsFolder, request: Request, cell: dict[str, Any], training: TrainingState
) -> Outcome:
    waiting = Outcome(
        request=request,
        **{key: cell[key] for key in PLACE},
        state="waiting",
        published=cell.get("published"),
        training=training,
        measurement=cell["measurement"],
    )
    name, measurement = cell["training"], cell["measurement"]
    if reason := cell.get("missing", ""):
        return replace(waiting, state="failed", reason=reason)
    path = folder.measurement(name, measurement)
    if path.exists():
        row = read_value(path, cell["row"])
        if reason := objection(folder, length_of(cell, vars(request)), training, row):
            return replace(waiting, state="failed", reason=reason)
        return _measured(waiting, row)
    if is_claimed(folder.claims, name):  # a runner works on the training or its measurements
        return replace(waiting, state="running")
    if reason := folder.failure(name) or folder.failure(name, measurement):
        return replace(waiting, state="failed", reason=reason)
    return waiting


def wrong_length(asked: float, reached: float, update: float, description: str) -> str:
    """Why a network, or a measurement of it, has not the length of its table; empty where it has.

    All in kimg. `asked`: NaN where it is not known. `reached`: by the training, 0 where unknown.
    `update`: between two updates of the schedule, at which trainings end. `description`: of the
    network that was measured, if one was.
    """
    if reached >= asked + update:
        return f"its training went on to {reached:g} kimg, where the table's end at {asked:g}"
    found = re.search(r", ([0-9.]+) kimg", description)
    measured = asked if found is None else float(found[1])
    if measured < asked - _ROUNDED or measured > asked + update + _ROUNDED:
        return f"measured after {measured:g} kimg, where the table's trainings end at {asked:g}"
    return ""


def length_of(cell: Mapping[str, Any], request: Mapping[str, Any]) -> float:
    """Kimg that a training is to have; NaN in an earlier request where they were not all equal."""
    all_equal = not request["scale"].startswith("paper")
    return float(cell.get("kimg", request["kimg"] if all_equal else math.nan))


def objection(
    folder: ResultsFolder, kimg: float, training: TrainingState, row: Mapping[str, str]
) -> str:
    """Why a measurement is none of a table of trainings of this length; else empty.

    `row` is empty where nothing is measured yet.
    """
    description = row.get("description", "")
    if reason := wrong_length(kimg, training.kimg, training.update, description):
        measured = folder.path / "measurements" / training.name
        return f"{reason}: delete {training.folder} and {measured}, and run again"
    network = row.get("generator_digest", "")
    if network and training.networks and network not in training.networks:
        return (
            f"measured of another network (digest {network[:12]}) than {training.folder} holds"
            f" ({min(training.networks)[:12]}): delete its measurement, and run again"
        )
    digests = {"measured with": row.get("data_digest", ""), "trained on": training.data}
    for what, digest in digests.items():
        if digest and digest != folder.data:
            return (
                f"{what} other images (digest {digest[:12]}) than this folder is of"
                f" ({folder.images}, digest {folder.data[:12]}): keep it in a folder of its own"
            )
    return ""


def _measured(waiting: Outcome, row: dict[str, str]) -> Outcome:
    # The options that it names are those of `stylegan-eval`; a table has its own.
    note = re.sub(r": leave out with --attributes=[^\s;]*", "", row["note"])
    if not math.isfinite(float(row["value"])):
        reason = note or f"{row['metric']} is {row['value']}"
        reason += "; the same network gives no other result, one trained for longer may"
        return replace(waiting, state="undefined", reason=reason)
    return replace(
        waiting,
        state="done",
        value=float(row["value"]),
        stderr=known(float(row["stderr"] or "nan"), float(row["value"])),
        freedom=freedom(row),
        measured_as=row["metric"],
        protocol=f"num={row['num']} {row['protocol']}",
        conditions=conditions_of(row),
        note=note,
    )
