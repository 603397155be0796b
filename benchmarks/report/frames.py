"""The CSV files of a report as pandas frames: every cell and seed, and every cell."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.outcomes import Outcome
from benchmarks.report.tables import Cell, Column, Line, Section

if TYPE_CHECKING:
    import pandas as pd


def results_frame(outcomes: Sequence[Outcome]) -> "pd.DataFrame":
    """Every cell of every seed, one row each, in the order given."""
    import pandas as pd

    return pd.DataFrame([_result(outcome) for outcome in outcomes], columns=list(_RESULT_COLUMNS))


_RESULT_COLUMNS = (
    *("table", "scale", "dataset", "kimg", "data", "line", "label", "space", "metric"),
    *("condition", "seed", "state", "reason", "value", "stderr", "measured_as", "protocol"),
    *("published", "training", "network", "trained_kimg", "training_seconds", "machine"),
)


def _result(o: Outcome) -> dict[str, object]:
    of_request = ("table", "scale", "dataset", "kimg", "data")
    row: dict[str, object] = {name: vars(o.request)[name] for name in of_request}
    row |= {name: value for name, value in vars(o).items() if name in _RESULT_COLUMNS}
    row["training"] = "" if o.training is None else o.training.name
    if o.training is not None:
        row["network"] = o.training.network
        row["trained_kimg"] = o.training.kimg
        row["training_seconds"] = o.training.seconds
        row["machine"] = o.training.machine
    return row


def tables_frame(parts: Sequence[Section]) -> "pd.DataFrame":
    """One row per cell: mean and spread over seeds beside the published number."""
    import pandas as pd

    rows = [
        _summary(part, line, column, cell)
        for part in parts
        for line in part.lines
        for column, cell in zip(part.columns, line.cells, strict=True)
        if cell is not None
    ]
    return pd.DataFrame(rows, columns=list(_SUMMARY_COLUMNS))


_SUMMARY_COLUMNS = (
    *("table", "scale", "dataset", "kimg", "line", "label", "space", "metric", "condition"),
    *("measured_as", "mean", "std", "n", "measuring_stderr", "published", "published_unit"),
    *("failed", "running", "waiting", "reason"),
)


def _summary(part: Section, line: Line, column: Column, cell: Cell) -> dict[str, object]:
    sample, request = cell.sample, part.request
    row: dict[str, object] = {
        "table": request.table,
        "scale": request.scale,
        "dataset": request.dataset,
        "kimg": request.kimg,
        "line": line.key,
        "label": line.label,
        "space": line.space,
        "metric": column.metric,
        "condition": column.condition,
        "measured_as": "; ".join(dict.fromkeys(o.measured_as for o in cell.done)),
        "n": 0 if sample is None else len(sample.values),
        "published": cell.published,
        "published_unit": column.published_unit,
        "reason": "; ".join(dict.fromkeys(o.reason for o in cell.outcomes if o.reason)),
    }
    row |= {state: len(cell.seeds(state)) for state in ("failed", "running", "waiting")}
    if sample is not None:
        row |= {"mean": sample.mean, "std": sample.std, "measuring_stderr": sample.measuring}
    return row
