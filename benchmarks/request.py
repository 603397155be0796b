"""From a request to jobs, with the attribute classifiers that they need."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.folder import ResultsFolder, open_folder
from benchmarks.jobs import Asked, Measurement, Wanted, cells_of
from benchmarks.processes import call, claimed
from benchmarks.runner import Job, Means, curve_metric, jobs_of
from benchmarks.tables import Line
from stylegan.runtime import Runtime
from stylegan.training.batches import look_at as look_at_reals
from stylegan.training.evaluate import check_reals
from stylegan.training.metric_names import MetricSettings
from stylegan.training.partition import Execution
from stylegan.training.run import check_fit
from stylegan_eval.engine.command import tell
from stylegan_eval.engine.files import locked, sha256_of
from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images

_LOOK_EVERY = 2.0


def train_classifiers(folder: ResultsFolder, data: Path, device: str) -> Path:
    """Attribute classifiers of a folder, trained on its data by the first who needs them."""
    path = folder.classifiers
    while not path.exists():
        with claimed(folder.claims, "classifiers") as claim:
            if claim is not None and not path.exists():
                tell("training attribute classifiers")
                _train(path, data, device, folder.log("classifiers"))
        if claim is None:
            time.sleep(_LOOK_EVERY)
    return path


def _train(path: Path, data: Path, device: str, log: Path) -> None:
    arguments = ["classifiers", "train", "--data", str(data), "--out", str(path)]
    arguments += ["--epochs", "8", "--skip-constant", "--device", device]
    ended = call("stylegan_eval", arguments, log)
    if ended.status != 0:
        raise UserError(f"no attribute classifiers: {ended.reason}")


_NO_CLASSIFIERS = "no attribute classifiers: name a file with --classifiers"


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A question, ready to be worked on."""

    folder: ResultsFolder  # Where everything goes
    means: Means  # With what
    jobs: Sequence[Job]  # What is to be there in the end


def look_at(data: Path) -> tuple[str, str]:
    """Content digest of real images, and their name and number in words."""
    with open_images(data) as files:
        return content_digest(files), f"{data.name}, {len(files):,d} images"


def check_trainable(asked: Asked, lines: Sequence[Line], data: Path) -> None:
    """Refuse images, or a number of processes, that some row could not be trained with."""
    runtime = Runtime(torch.device("cpu"), Processes(world=asked.gpus))
    protocol, reals = asked.scale.protocol, look_at_reals(data)
    metrics = MetricSettings(metrics=curve_metric(protocol), metrics_features=protocol.features)
    for network in dict.fromkeys(line.network for line in lines):
        config = asked.config(network)
        Execution().check(config, runtime)
        check_fit(config, reals)
        check_reals(metrics.asked(), data, config.resolution)


def prepare(
    asked: Asked, lines: Sequence[Line], seeds: Sequence[int], means: Means, out: Path
) -> Prepared:
    """Open what a question needs, and write it down in the folder.

    Parameters
    ----------
    asked : Asked
        Table, scale and so on.
    means : Means
        With what; classifiers are trained where the table needs them and there are none.
    """
    check_trainable(asked, lines, means.data)
    digest, images = look_at(means.data)
    folder = open_folder(out, digest, images)
    cells = cells_of(asked, lines, seeds, digest)
    missing = ""
    if means.classifiers is None and any(cell.measurement.needs_classifiers for cell in cells):
        missing = _NO_CLASSIFIERS
        if not asked.scale.is_papers:
            try:
                trained = train_classifiers(folder, means.data, means.device)
                means, missing = replace(means, classifiers=trained), ""
            except UserError as error:
                missing = str(error)
    digest = sha256_of(means.classifiers) if means.classifiers is not None else ""

    def name_of(measurement: Measurement) -> str:
        if missing and measurement.needs_classifiers:
            return ""
        return measurement.name(digest)

    _keep(folder, asked, [_cell(cell, name_of(cell.measurement), missing) for cell in cells])
    return Prepared(folder=folder, means=means, jobs=jobs_of(cells, name_of))


def _keep(folder: ResultsFolder, asked: Asked, cells: list[dict[str, Any]]) -> None:
    """Write the question down; other lines and seeds of an earlier one stay in it."""
    name, table = asked.name, asked.table
    with locked(folder.path / "bench.json"):
        found = {_place(cell): cell for tree in folder.requests(name) for cell in tree["cells"]}
        found |= {_place(cell): cell for cell in cells}
        lines = [line.key for line in table.lines]
        columns = [(cell.metric, cell.condition) for cell in table.cells]
        ordered = sorted(
            found.values(),
            key=lambda cell: (
                lines.index(cell["line"]),
                columns.index((cell["metric"], cell["condition"])),
                cell["seed"],
            ),
        )
        seeds = sorted({cell["seed"] for cell in ordered})
        rows = list(dict.fromkeys(cell["line"] for cell in ordered))
        folder.write_request(
            name,
            {
                "table": table.name,
                "title": table.title,
                "scale": asked.scale.name,
                "dataset": asked.dataset,
                "kimg": asked.config(table.lines[-1].network).schedule.total_kimg,
                "command": _command(asked, seeds, rows),
                "cells": ordered,
            },
        )


def _place(cell: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[key] for key in ("line", "metric", "condition", "seed"))


def _cell(cell: Wanted, measurement: str, missing: str) -> dict[str, Any]:
    return {
        "line": cell.line.key,
        "label": cell.line.label or cell.training.config.change,
        "space": cell.line.space,
        "metric": cell.cell.metric,
        "condition": cell.cell.condition,
        "seed": cell.training.seed,
        "network": cell.training.network,
        "training": cell.training.name,
        "measurement": measurement,
        "missing": "" if measurement else missing,
        "row": cell.row,
        "published": cell.published,
    }


def _command(asked: Asked, seeds: Sequence[int], lines: Sequence[str]) -> str:
    """What to type for all of a request, with DATA and DIR for its files."""
    words = ["python -m benchmarks run", asked.table.name, "--scale", asked.scale.name]
    words += ["--data DATA --out DIR --seeds", ",".join(map(str, seeds))]
    if len(lines) < len(asked.table.lines):
        words += ["--rows", ",".join(lines)]
    if asked.dataset != asked.table.datasets[0]:
        words += ["--dataset", asked.dataset]
    if asked.kimg is not None:
        words += ["--kimg", f"{asked.kimg:g}"]
    if asked.precision != "fp32":
        words += ["--precision", asked.precision]
    if asked.gpus > 1:
        words += ["--gpus", str(asked.gpus)]
    return " ".join(words)
