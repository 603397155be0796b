"""One result for a report, from a table or from the log of a training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stylegan_eval.results.comparison import read_results
from stylegan_eval.results.paired import check_errors
from stylegan_eval.results.results import COLUMNS, DEFINING, words_of
from stylegan_eval.results.run_folder import METRICS_FILE, TrainingRun
from stylegan_eval.results.significance import LARGEST, known


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row of results."""

    cells: Mapping[str, str]  # Text of every column of `results.COLUMNS`
    source: Path  # The file it was read from

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.cells["metric"]

    @property
    def value(self) -> float:
        """The number; NaN where there is none, or one beyond all measure."""
        number = float(self.cells["value"] or "nan")
        return number if abs(number) <= LARGEST else math.nan

    @property
    def stderr(self) -> float | None:
        """Its standard error; None where none is known."""
        return known(float(self.cells["stderr"] or "nan"), self.value)

    @property
    def details(self) -> dict[str, str]:
        """Other values measured."""
        return words_of(self.cells["details"])

    @cached_property
    def defining(self) -> tuple[str, ...]:
        """Cells that must be equal in rows that are compared; see `results.DEFINING`."""
        return tuple(self.cells[column] for column in DEFINING)

    @property
    def part_of(self) -> str:
        """For a part of a metric, ``ls_w/eyeglasses``, the metric; else empty."""
        whole, slash, _ = self.metric.rpartition("/")
        return whole if slash else ""

    @property
    def part(self) -> str:
        """For a part of a metric its own name, ``eyeglasses``."""
        return self.metric.rpartition("/")[2]


def from_table(path: Path) -> list[Measured]:
    """Rows of a result table."""
    return [Measured(cells=row, source=path) for row in read_results(path)]


def from_run(run: TrainingRun) -> list[tuple[float, Measured]]:
    """Results of a training, each at its `nimg`; rows that are no results are left out."""
    found = [(row["nimg"], _from_log(row, run.folder / METRICS_FILE)) for row in run.metrics]
    return [(nimg, result) for nimg, result in found if result is not None]


def newest_of(run: TrainingRun) -> list[Measured]:
    """Results of the last checkpoint that was measured."""
    last = max((row["nimg"] for row in run.metrics), default=0)
    return [result for nimg, result in from_run(run) if nimg == last]


def _from_log(row: Mapping[str, Any], source: Path) -> Measured | None:
    """A row of the metrics of a training; None where it is no result."""
    cells = {column: _text(row.get(column)) for column in COLUMNS}
    try:
        float(cells["value"] or "nan")
        check_errors(cells)
    except ValueError:
        return None
    return Measured(cells=cells, source=source) if cells["metric"] else None


def _text(value: Any) -> str:
    """A value of the log as a table writes it."""
    if isinstance(value, Mapping):
        return " ".join(f"{key}={pair}" for key, pair in value.items())
    return "" if value is None else str(value)
