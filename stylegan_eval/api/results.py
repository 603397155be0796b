"""Several results of one call, and results as a table."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from stylegan_eval.errors import UserError
from stylegan_eval.results.planning import for_difference, for_error
from stylegan_eval.results.results import Row, cells, html_table, table

if TYPE_CHECKING:
    import pandas as pd


class Results(Sequence[Row]):
    """Results in the order of the command's table; ``results["recall"]`` finds one by its name."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int | str) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> "Results": ...
    def __getitem__(self, key: int | str | slice) -> "Row | Results":
        """Result by number, or by its name or a part of it that no other name has."""
        if isinstance(key, slice):
            return Results(self._rows[key])
        if not isinstance(key, str):
            return self._rows[key]  # also by the whole numbers of NumPy
        exact = [row for row in self if row.metric == key]
        found = exact or [row for row in self if key in row.metric]
        if len(found) == 1:
            return found[0]
        names = ", ".join(row.metric for row in found or self)
        raise KeyError(f"{key!r} is {'in several of' if found else 'in none of'}: {names}")

    def __float__(self) -> float:
        if len(self) != 1:
            raise TypeError(f"{len(self)} results are no number: name one, r[{self[0].metric!r}]")
        return float(self[0])

    def __repr__(self) -> str:
        notes = dict.fromkeys(f"\nnote: {row.note}" for row in self if row.note)
        return table(self) + "".join(notes) if self else "no results"

    def _repr_html_(self) -> str:
        return html_table(self)

    def frame(self) -> "pd.DataFrame":
        """The results as a pandas frame, a row each."""
        return frame(self)


def frame(results: Iterable[Row | Results]) -> "pd.DataFrame":
    """Results, and lists of them, as a pandas frame: the columns of the command's CSV."""
    import pandas as pd

    return pd.DataFrame([row.to_dict() for row in _rows(results, "frame")])


def plan_samples(
    results: Iterable[Row | Results],
    *,
    error: float | None = None,
    difference: float | None = None,
) -> "pd.DataFrame":
    """How many images a standard error takes, or a difference of two results that is to be found.

    Give one of `error` and `difference`. A row each for what has a standard error; columns are
    those of ``stylegan-eval plan-samples``.
    """
    import pandas as pd

    wished = error if difference is None else difference
    if wished is None or (error is not None and difference is not None):
        raise UserError("plan_samples: give one of error and difference: what is wished")
    if not (isinstance(wished, int | float | np.number) and 0 < wished < math.inf):
        raise UserError(f"plan_samples: error and difference are above 0, got {wished!r:.60}")
    rows = [cells(row) for row in _rows(results, "plan_samples")]
    lines = (for_error if difference is None else for_difference)(rows, float(wished))
    if not lines:
        raise UserError(
            "plan_samples: no result has a standard error: measure more images (fid has one from"
            " more images than features on)"
        )
    return pd.DataFrame(lines)


def _rows(results: Iterable[Row | Results], called: str) -> list[Row]:
    rows: list[Row] = []
    several = isinstance(results, Iterable) and not isinstance(results, Row)
    for result in results if several else [results]:
        if not isinstance(result, Row | Results):
            raise UserError(f"{called}: got {type(result).__name__}; expected results")
        rows += [result] if isinstance(result, Row) else result
    return rows
