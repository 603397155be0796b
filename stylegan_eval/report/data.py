"""Find and read the tables, trainings and path lengths of a report."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylegan_eval.errors import UserError
from stylegan_eval.results.image_tables import TABLES, is_image_table, table_digest
from stylegan_eval.results.measured import Measured, from_table
from stylegan_eval.results.path_length_file import (
    SUFFIX,
    Distances,
    looks_like_distances,
    read_distances,
)
from stylegan_eval.results.results import COLUMNS
from stylegan_eval.results.run_folder import TrainingRun, is_run, read_run

_DEEPEST = 3  # folders within folders


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a report is made of."""

    measured: Sequence[Measured]  # Rows of the tables, in their order
    runs: Sequence[TrainingRun]  # Trainings
    distances: Sequence[Distances]  # Path lengths
    images: Mapping[str, Path]  # Tables of single images, by what their results call them


def find(paths: Sequence[Path]) -> Found:
    """Read what is named, and what lies in named folders and beside named tables.

    `paths`: result tables, files of path lengths or of single images, folders of trainings, or
    folders of all these.
    """
    tables: list[Path] = []
    folders: list[Path] = []
    lengths: list[Path] = []
    images: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: no such table or folder")
        if not path.is_dir():
            (lengths if path.suffix == SUFFIX else tables).append(path)
            lengths += _beside(path)
            images += [p for p in sorted(path.parent.glob("*.csv")) if is_image_table(p)]
            continue
        inside = list(_inside(path))
        if not inside:
            raise UserError(
                f"{path}: nothing to report in it: expected tables of stylegan-eval --csv, or"
                " folders of stylegan-train"
            )
        of_images = [found for found in inside if is_image_table(found)]
        images += of_images
        tables += [f for f in inside if f.suffix == ".csv" and f not in of_images]
        lengths += [found for found in inside if found.suffix == SUFFIX]
        folders += [found for found in inside if found.is_dir()]
    named = [path for path in tables if is_image_table(path)]
    measured = [row for path in _once(tables) if path not in named for row in from_table(path)]
    known = {row.details.get(option) for row in measured for option in TABLES}
    by_digest = {table_digest(path): path for path in _once(images)}
    for path in named:
        if table_digest(path) not in known:
            raise UserError(f"{path}: of no result here: name the results written with it")
    return Found(
        measured=measured,
        images={digest: path for digest, path in by_digest.items() if digest in known},
        runs=[read_run(folder) for folder in _once(folders)],
        distances=[read_distances(path) for path in _once(lengths)],
    )


def _once(paths: Sequence[Path]) -> list[Path]:
    return list({path.resolve(): path for path in paths}.values())


def _beside(table: Path) -> list[Path]:
    return [path for path in sorted(table.parent.glob(f"*{SUFFIX}")) if looks_like_distances(path)]


def _inside(folder: Path) -> Iterator[Path]:
    """Tables, files of path lengths and folders of trainings in a folder, by name."""
    deepest = len(folder.parts) + _DEEPEST
    for found, within, names in os.walk(folder):
        here = Path(found)
        within[:] = sorted(name for name in within if not name.startswith("."))
        if len(here.parts) >= deepest:
            within.clear()
        if is_run(here):
            yield here
        for name in sorted(names):
            path = here / name
            if (path.suffix == ".csv" and (_is_table(path) or is_image_table(path))) or (
                path.suffix == SUFFIX and looks_like_distances(path)
            ):
                yield path


def _is_table(path: Path) -> bool:
    """Whether a file begins as tables of results do; others are no concern of a report."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(2**14).strip() == ",".join(COLUMNS)
    except OSError:
        return False
