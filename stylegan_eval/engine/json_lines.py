"""The one writer and reader of a run's JSON lines: rows of numbers that know their `nimg`."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError


def append_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append all rows or none; what is infinite or not a number is null: JSON has no word for it.

    A row that a kill cuts is none; several are not cut between two.
    """
    text = "".join(json.dumps(_plain(row), allow_nan=False) + "\n" for row in rows)
    if len(rows) > 1:
        before = path.read_bytes() if path.exists() else b""
        with atomic_write(path) as temporary:
            temporary.write_bytes(before + text.encode())
        return
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def read_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Rows of a file (none if it does not exist), and the number of damaged lines."""
    lines = _lines(path)
    rows = [row for row in map(_row_of, lines) if row is not None]
    return rows, len(lines) - len(rows)


def drop_rows_after(path: Path, nimg: int) -> None:
    """Drop rows of a later time, left by a run that was killed, and damaged ones."""
    lines = _lines(path)
    kept = []
    for line in lines:
        row = _row_of(line)
        if row is not None and row["nimg"] <= nimg:
            kept.append(line.rstrip("\n") + "\n")
    if kept != lines:
        with atomic_write(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")


def _lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)


def _row_of(line: str) -> dict[str, Any] | None:
    row = None
    with contextlib.suppress(UserError), parsing("row"):
        row = json.loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("nimg"), int | float):
        return None
    return row if 0 <= row["nimg"] < 2**63 else None  # nor NaN


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
