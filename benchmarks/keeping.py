"""A copy of a folder of results that is small enough for version control.

Of a finished training it holds the generator (G_ema), the log and the distances measured on the
way: a twentieth of the folder. Checkpoints, commands and paths of files stay behind. The copy is a
folder of results as well: `report` shows it, and `run` goes on in it, or in a copy of it, without
repeating what is done.
"""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.folder import (
    FINISHED,
    ResultsFolder,
    open_folder,
    place_of,
    read_folder,
    read_json,
    write_json,
)
from stylegan.checkpoint import newest_good_checkpoint
from stylegan.network_file import save_network
from stylegan_eval.engine.files import atomic_write, copy_file
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.results.results import COLUMNS
from stylegan_eval.results.run_folder import LOG, METRICS_FILE, read_rows

GENERATOR = "generator.safetensors"


def generator_of(training: Path) -> Path:
    """The file with the generator of a training: kept, or in its newest good checkpoint."""
    kept = training / GENERATOR
    return kept if kept.is_file() else newest_good_checkpoint(training)[0]


def keep_finished(path: Path, out: Path) -> list[str]:
    """Copy what is finished in the results folder `path` to `out`; names of trainings new there.

    `out` may hold an earlier copy; a training that it has already is not written again.
    """
    if path.resolve() == out.resolve():
        raise UserError(f"{out} is what is copied: name another folder")
    folder = read_folder(path)
    finished = sorted(of.parent.name for of in folder.training("").glob(f"*/{FINISHED}"))
    if not finished:
        raise UserError(f"{path} has no finished training yet: `python -m benchmarks run` goes on")
    # Both are of this version, and of the same images.
    kept = open_folder(out, *_identity(open_folder(path, *_identity(folder))))
    _check_holds(folder, kept)
    new = [name for name in finished if not (kept.training(name) / FINISHED).exists()]
    for name in new:
        _keep_training(folder.training(name), kept.training(name))
    for name in finished:
        for table in sorted(folder.measurement(name, "x").parent.glob("[!.]*.csv")):
            _write(kept.measurement(name, table.stem), _table_without_folders(table))
    if folder.classifiers.exists():
        _copy(folder.classifiers, kept.classifiers)
    for name in folder.request_names():
        [tree] = folder.requests(name)
        kept.write_request(name, tree)
    return new


def _identity(folder: ResultsFolder) -> tuple[str, str]:
    return folder.data, folder.images


def _check_holds(folder: ResultsFolder, kept: ResultsFolder) -> None:
    """Refuse to drop cells that an earlier copy has."""
    for name in kept.request_names():
        held = {place_of(cell) for tree in folder.requests(name) for cell in tree["cells"]}
        for tree in kept.requests(name):
            lacking = sorted({place_of(cell) for cell in tree["cells"]} - held)
            if lacking:
                line, *_, seed = lacking[0]
                raise UserError(
                    f"{kept.path} has row {line}, seed {seed} of {tree['table']}, which"
                    f" {folder.path} lacks: choose another folder, or begin the next one as a copy"
                    f" of {kept.path}"
                )


def _keep_training(training: Path, kept: Path) -> None:
    if (training / GENERATOR).is_file():  # a copy of a copy
        _copy(training / GENERATOR, kept / GENERATOR)
    else:
        _, snapshot, _ = newest_good_checkpoint(training)
        average = {"G_ema": snapshot.networks["G_ema"]}
        save_network(kept / GENERATOR, replace(snapshot, networks=average, resume=None))
    if (training / LOG).exists():
        _copy(training / LOG, kept / LOG)
    measured, _ = read_rows(training / METRICS_FILE)
    lines = [json.dumps(_without_folders(row)) + "\n" for row in measured]
    if lines:
        _write(kept / METRICS_FILE, "".join(lines))
    machine = read_json(training / FINISHED).get("machine", "")
    write_json(kept / FINISHED, {"machine": machine})  # the last file: without it nothing is kept


def _table_without_folders(path: Path) -> str:
    text = io.StringIO()
    with parsing(path, "is damaged or half-written", "delete it, and run again"):
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")), strict=True))
        if not rows or any({*row} != {*COLUMNS} or None in row.values() for row in rows):
            raise ValueError("it has not the columns of a measurement")
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_without_folders, rows))
    return text.getvalue()


def _without_folders(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a measurement with names alone of the files that it is of."""
    return row | {key: Path(row[key]).name for key in ("generator", "data") if row.get(key)}


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        copy_file(source, temporary)
