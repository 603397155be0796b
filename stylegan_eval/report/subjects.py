"""Subjects of a report: tables and trainings, found and read, and their results by generator."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import shortest
from stylegan_eval.results.image_tables import TABLES, begins_with, is_image_table, table_digest
from stylegan_eval.results.measured import Measured, from_table, newest_of
from stylegan_eval.results.path_length_file import (
    SUFFIX,
    Distances,
    looks_like_distances,
    read_distances,
)
from stylegan_eval.results.results import COLUMNS, newest
from stylegan_eval.results.run_folder import TrainingRun, is_run, read_run

REAL_IMAGES = "real images"


@dataclass(frozen=True, kw_only=True)
class Named:
    """A generator that the command line names by its checkpoint."""

    path: Path  # As it was written
    digest: str
    description: str
    """digest, description: As a result has them."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A generator, or the real images in the place of one."""

    label: str  # A short name, of its own on the page
    digest: str = ""
    description: str = ""
    """digest, description: As a result has them; empty where unknown."""
    results: tuple[Measured, ...] = ()  # The newest of each metric and protocol
    older: int = 0  # How many results a newer one replaces
    run: TrainingRun | None = None  # The training that it comes from
    paths: tuple[Path, ...] = ()  # Where its checkpoint may be

    @property
    def config(self) -> str:
        """Letter of the paper's configuration; empty where it is none or unknown.

        >>> Subject(label="x", description="config F, 32x32, 9.0 kimg").config
        'F'
        """
        words = self.description.replace(",", " ").split()
        return words[1] if words[:1] == ["config"] and words[1:2] else ""


@dataclass(kw_only=True)
class _Gathered:
    """A generator and its results so far, while results are sorted."""

    names: list[str] = field(default_factory=list)
    digest: str = ""
    results: list[Measured] = field(default_factory=list)
    run: TrainingRun | None = None
    paths: list[Path] = field(default_factory=list)
    description: str = ""

    def add(self, row: Measured) -> None:
        """Take in a result."""
        self.results.append(row)
        self.description = row["description"] or self.description

    def find_at(self, *paths: Path) -> None:
        """Note where its checkpoint may be."""
        self.paths += [path for path in paths if path not in self.paths]


def subjects_of(
    measured: Sequence[Measured], runs: Sequence[TrainingRun], named: Sequence[Named] = ()
) -> list[Subject]:
    """Sort results by what they were measured of.

    Two results are of one generator where the digests of its file are equal, whatever it was
    called; where there is none, where it was called the same.

    A training is the generator that it measured last, or its newest checkpoint. Generators that the
    user names and that have no result come last.
    """
    found: dict[str, _Gathered] = {}
    for row in measured:
        key = row["generator_digest"] or row["generator"]
        one = found.setdefault(key, _Gathered(digest=row["generator_digest"]))
        if row["generator"]:
            one.names.append(row["generator"])
            one.find_at(Path(row["generator"]), row.source.parent / row["generator"])
        one.add(row)
    for run in runs:
        one = _of_run(found, run)
        one.run = run
        one.names.insert(0, str(run.folder.absolute()))
        for row in newest_of(run):
            if row["generator"]:  # by folder and file
                one.find_at(run.folder / Path(row["generator"]).name)
            one.add(row)
    for each in named:
        one = found.setdefault(each.digest, _Gathered(digest=each.digest))
        one.names.append(str(each.path))
        one.paths.insert(0, each.path)
        one.description = one.description or each.description
    return _labelled([_subject(one) for one in found.values()])


def _of_run(found: dict[str, _Gathered], run: TrainingRun) -> _Gathered:
    """A training: known by the digest that it measured last, else by its place."""
    digest = next(
        (row["generator_digest"] for row in newest_of(run) if row["generator_digest"]), ""
    )
    if digest:
        return found.setdefault(digest, _Gathered(digest=digest))
    places = {run.folder.resolve()}
    if run.checkpoint is not None:
        places.add(run.checkpoint.resolve())
    for one in found.values():
        if places & {path.resolve() for path in one.paths}:
            return one
    return found.setdefault(str(run.folder.resolve()), _Gathered(paths=[run.folder]))


def _subject(one: _Gathered) -> Subject:
    kept = newest(one.results, lambda row: (row.metric, *row.defining)).values()
    return Subject(
        label=one.names[0] if one.names else REAL_IMAGES,
        digest=one.digest,
        description=one.description,
        results=tuple(kept),
        older=len(one.results) - len(kept),
        run=one.run,
        paths=tuple(one.paths),
    )


def _labelled(subjects: Sequence[Subject]) -> list[Subject]:
    """Call each by as much of the end of its name as tells it from the others."""
    labels = shortest([subject.label for subject in subjects])
    again = Counter(labels)
    return [
        replace(subject, label=label if again[label] == 1 else f"{label} {subject.digest[:6]}")
        for subject, label in zip(subjects, labels, strict=True)
    ]


_DEEPEST = 3  # folders within folders


@dataclass(frozen=True, kw_only=True)
class Found:
    """Tables, trainings and generators of a report."""

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
            if (path.suffix == ".csv" and (begins_with(path, COLUMNS) or is_image_table(path))) or (
                path.suffix == SUFFIX and looks_like_distances(path)
            ):
                yield path
