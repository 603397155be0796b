"""A copy of a folder of results that is small enough for version control.

Of a finished training it holds the generator (G_ema), the log and the distances measured on the
way: a twentieth of the folder. Checkpoints, commands and paths of files stay behind. The copy is a
folder of results as well: `report` shows it, and `run` goes on in it, or in a copy of it, without
repeating what is done.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.folder import (
    FINISHED,
    GENERATOR,
    ResultsFolder,
    open_folder,
    place_of,
    read_folder,
    read_json,
    write_json,
)
from benchmarks.outcomes import (
    checkpoint_digest,
    length_of,
    objection,
    read_training,
    read_value,
)
from stylegan.checkpoint import newest_good_checkpoint
from stylegan.network_file import save_network
from stylegan_eval.engine.files import atomic_write, copy_file
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.results.results import COLUMNS
from stylegan_eval.results.run_folder import LOG, METRICS_FILE, read_rows


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
    tables = {name: folder.measurements(name) for name in finished}
    texts = {table: _table_without_folders(table) for of in tables.values() for table in of}
    _check_networks(folder, tables)
    # Both are of this version, and of the same images.
    kept = open_folder(out, *_identity(open_folder(path, *_identity(folder))))
    _check_holds(folder, kept)
    new = [name for name in finished if not _holds(kept.training(name), folder.training(name))]
    for name in new:
        _keep_training(folder.training(name), kept.training(name))
    for name, of in tables.items():
        for table in of:
            _write(kept.measurement(name, table.stem), texts[table])
    if folder.classifiers.exists():
        _copy(folder.classifiers, kept.classifiers)
    for name in folder.request_names():
        [tree] = folder.requests(name)
        kept.write_request(name, tree)
    return new


def _holds(kept: Path, training: Path) -> bool:
    """Whether a copy has a training already, and not one of another network."""
    if not (kept / FINISHED).exists():
        return False
    return len({checkpoint_digest(kept), checkpoint_digest(training)} - {""}) < 2


def _check_networks(folder: ResultsFolder, tables: Mapping[str, Sequence[Path]]) -> None:
    """Refuse trainings of another length than their table's, and numbers of other networks."""
    for tree in folder.requests():
        for cell in tree["cells"]:
            name, length = cell["training"], length_of(cell, tree)
            if name not in tables:
                continue
            table = folder.measurement(name, cell["measurement"])
            row = read_value(table, cell["row"]) if table in tables[name] else {}
            if reason := objection(folder, length, read_training(folder, name, cell), row):
                raise UserError(f"{name}: {reason}")


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
    about = {"machine": read_json(training / FINISHED).get("machine", "")}
    if checkpoint := checkpoint_digest(training):
        about["checkpoint_sha256"] = checkpoint
    write_json(kept / FINISHED, about)  # the last file: without it nothing is kept


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
