"""A measurement in a folder of results: its row, and the conditions it was measured under."""

import contextlib
import csv
import io
import re
from pathlib import Path

from stylegan_eval.errors import UserError
from stylegan_eval.results.paired import check_errors
from stylegan_eval.results.results import COLUMNS, DEFINING

# The longest of published updates: 4 minibatches of 512 images.
LONGEST_UPDATE = 2.048  # kimg
_ROUNDED = 0.05  # kimg, of a description
# In `Outcome.protocol` already.
_IN_PROTOCOL = ("protocol", "num")


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
            float(row["stderr"] or "nan")
            check_errors(row)
            return row
    raise UserError(damaged)


def conditions_of(row: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """What must be equal in rows that are averaged, as (column, value); empty cells are left out.

    The columns of `results.DEFINING` but for the protocol.
    """
    columns = [column for column in DEFINING if column not in _IN_PROTOCOL]
    return tuple((column, row[column]) for column in columns if row[column] not in ("", "0"))


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
