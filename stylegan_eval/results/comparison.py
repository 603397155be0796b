"""Compare results of several tables, and explain which cannot be compared.

Two numbers of one metric are compared when everything that defines it is equal: protocol, number
of images, network and weights, real images, arithmetic. Generator, seed, device, versions and
dates may differ: these are what one compares, or what must not matter.
"""

import csv
import io
import itertools
import math
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import csv_text, from_csv_text, one_line, parsing
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import shortest, table_text, with_error
from stylegan_eval.results.paired import (
    apart,
    check_errors,
    freedom_of_difference,
    generator_of,
    reals,
    redrawn,
    same_images,
    stderr_of_difference,
    variances,
)
from stylegan_eval.results.planning import settling
from stylegan_eval.results.results import COLUMNS, DEFINING, newest, note_lines, read_table
from stylegan_eval.results.significance import differs, known

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A table of results and what was left out of it."""

    table: "pd.DataFrame"
    """One row per metric: for each file the value and its standard error; with two files the
    difference and by how many of its standard errors it differs from 0."""
    refused: tuple[str, ...]  # For each metric left out, which files differ in what
    notes: tuple[str, ...] = ()
    """Of the results in the table: of which metric in which files, and what."""


def compare_tables(paths: Sequence[Path], allow: Sequence[str] = ()) -> Comparison:
    """Compare the newest row of each metric in each of several tables, or of one's generators.

    `allow`: columns of `DEFINING` that may differ.
    """
    unknown = sorted(set(allow) - set(DEFINING))
    if unknown:
        raise UserError(f"--allow {unknown[0]}: expected one of {', '.join(DEFINING)}")
    tables = {str(path): read_results(path) for path in paths}
    if len(tables) < len(paths):
        raise UserError("the same table is named twice: name two tables, or one with both rows")
    columns = _columns(tables)
    metrics = list(dict.fromkeys(metric for rows in columns.values() for metric in rows))
    kept, refused, notes = [], [], []
    for metric in metrics:
        rows = {name: rows[metric] for name, rows in columns.items() if metric in rows}
        if len(rows) < 2:
            continue
        problems = [
            problem
            for column in DEFINING
            if column not in allow
            for problem in _differences(rows, column)
        ]
        if problems:
            refused.append(f"{metric}: {'; '.join(problems)}")
        else:
            kept.append(comparison_line(metric, rows, list(columns)))
            notes += [(f"{metric} in {name}", row["note"]) for name, row in rows.items()]
            notes.append((metric, chosen_apart(rows.values())))
            shared = drawn_alike(rows)
            notes.append((metric, shared))
            if len(columns) == 2 and not shared:
                notes.append((metric, _undecided(*rows.values())))
    if not kept and not refused:
        raise UserError(f"no metric is in two of: {', '.join(columns)}")
    if len(tables) > 1:
        shown = {str(line["metric"]) for line in kept}
        notes += [(name, _of_several(rows, shown)) for name, rows in tables.items()]
    import pandas as pd

    return Comparison(
        table=pd.DataFrame(kept), refused=tuple(refused), notes=tuple(note_lines(notes))
    )


def _columns(
    tables: Mapping[str, Sequence[Mapping[str, str]]],
) -> dict[str, dict[str, Mapping[str, str]]]:
    """For each thing to compare, by name, its newest row of each metric.

    With several files a column is a file; with one file it is a generator within it.
    """
    if len(tables) > 1:
        return {name: _newest(rows) for name, rows in tables.items()}
    [rows] = tables.values()
    names = _names(rows)
    by_generator: dict[str, list[Mapping[str, str]]] = {name: [] for name in names.values()}
    for row in rows:
        by_generator[names[_file_of(row)]].append(row)
    return {name: _newest(rows) for name, rows in by_generator.items()}


def _newest(rows: Iterable[Mapping[str, str]]) -> dict[str, Mapping[str, str]]:
    """The newest row of each metric."""
    return newest(rows, lambda row: row["metric"])


def _file_of(row: Mapping[str, str]) -> tuple[str, str]:
    return generator_of(row), row["generator_digest"]


def _names(rows: Iterable[Mapping[str, str]]) -> dict[tuple[str, str], str]:
    """Names of generators; with the digest where several files had one name in turn."""
    files = dict.fromkeys(map(_file_of, rows))
    again = Counter(name for name, _ in files)
    return {
        (name, digest): name if again[name] == 1 else f"{name} {digest[:6]}".rstrip()
        for name, digest in files
    }


def _of_several(rows: Sequence[Mapping[str, str]], shown: Collection[str]) -> str:
    """A note where a table's results of the metrics shown are of several generators."""
    named = [row for row in rows if row["metric"] in shown and row["generator"]]
    if len({row["generator_digest"] or row["generator"] for row in named}) < 2:
        return ""
    names, metrics = _names(named), dict[str, dict[str, None]]()
    for metric, row in _newest(named).items():
        metrics.setdefault(names[_file_of(row)], {})[metric.partition("/")[0]] = None
    words = "; ".join(f"{', '.join(of)} of {name}" for name, of in metrics.items())
    return (
        "holds several generators, and the newest result of each metric is shown:"
        f" {words}; compare this table alone, or give each generator its own"
    )


def read_results(path: Path) -> list[dict[str, str]]:
    """Rows of a result table, each cell as it is written."""
    text = read_table(path)
    if not text:
        raise UserError(f"{path}: no results in it")
    rows: list[dict[str, str]] = []
    lines = csv.DictReader(io.StringIO(text), strict=True)
    while True:
        what = f"result {len(rows) + 1} cannot be read"
        with parsing(path, what, "mend or remove its line"):
            row = next(lines, None)
            if row is None:
                break
            if None in row or None in row.values():
                raise ValueError(f"not {len(COLUMNS)} cells")
            float(row["value"] or "nan")
            check_errors(row)
            row["value"] = row["value"] or "nan"
            rows.append({name: from_csv_text(cell) for name, cell in row.items()})
    if not rows:
        raise UserError(f"{path}: no results in it")
    return rows


def _differences(rows: Mapping[str, Mapping[str, str]], column: str) -> list[str]:
    values = {name: row[column] for name, row in rows.items()}
    if len(set(values.values())) < 2:
        return []
    shown = ", ".join(f"{_short(value, column)} in {name}" for name, value in values.items())
    return [f"{column} is {shown}"]


def chosen_apart(rows: Collection[Mapping[str, str]]) -> str:
    """A note where the rows are of other real images, which their usual errors hold fixed."""
    if not apart(rows):
        known = variances(*rows) if len(rows) == 2 else None
        held = known is not None and known[1] is None
        return "the error of the difference holds the real images fixed" if held else ""
    chosen = dict.fromkeys(found[2] for row in rows if (found := reals(row)) is not None)
    how = f"were chosen by seeds {', '.join(chosen)}" if len(chosen) > 1 else "are not the same"
    if any(redrawn(row) is None for row in rows):
        return (
            f"the real images {how}: the errors leave out how far that moves the values; one seed"
            " and data set give the same ones to all"
        )
    return f"the real images {how}: the errors are those with the real images redrawn"


def drawn_alike(rows: Mapping[str, Mapping[str, str]]) -> str:
    """A note where rows measure the same generated images, so that they share their noise."""
    alike = [
        f"{a} and {b}"
        for (a, first), (b, second) in itertools.combinations(rows.items(), 2)
        if same_images(first, second)
    ]
    if not alike:
        return ""
    return (
        f"of the same generated images, by one generator and seed: {', '.join(alike)}; the error of"
        " their difference takes them for independent and holds for none: measure another"
        " generator, or this one with another --seed"
    )


def _undecided(a: Mapping[str, str], b: Mapping[str, str]) -> str:
    """A note where two rows do not differ beyond noise."""
    error, difference = stderr_of_difference(a, b), float(b["value"]) - float(a["value"])
    if error is None or differs(difference, error, freedom_of_difference(a, b)):
        return ""
    advice = settling(a, b)
    return f"no difference beyond noise{': ' if advice else ''}{advice}"


def _short(value: str, column: str) -> str:
    if column in ("weights_sha256", "data_digest"):
        return value[:12] or "none"
    return value or "none"


def comparison_line(
    metric: str, rows: Mapping[str, Mapping[str, str]], names: Sequence[str]
) -> dict[str, float | str]:
    """A row of `Comparison.table`: of each of `names` its value and error, if it has any."""
    line: dict[str, float | str] = {"metric": metric}
    values = {name: float(row["value"] or "nan") for name, row in rows.items()}
    of_both = apart(rows.values()) and None not in map(redrawn, rows.values())
    errors = {
        name: known(float((redrawn(row) if of_both else row["stderr"]) or "nan"), values[name])
        or math.nan
        for name, row in rows.items()
    }
    for name in names:
        line[name] = values.get(name, math.nan)
        line[f"{name} ±"] = errors.get(name, math.nan)
    if len(names) == 2 and len(rows) == 2:
        first, second = names
        difference = values[second] - values[first]
        error = stderr_of_difference(rows[first], rows[second]) or math.nan
        line["difference"] = difference
        line["difference ±"] = error
        line["in standard errors"] = difference / error
    return line


def csv_table(comparison: Comparison) -> "pd.DataFrame":
    """The table with its texts as they are safe in a spreadsheet."""
    table = comparison.table.rename(columns=csv_text)
    if not table.empty:
        table["metric"] = table["metric"].map(csv_text)
    return table


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write the table as CSV, whole or not at all."""
    with atomic_write(path) as temporary:
        csv_table(comparison).to_csv(temporary, index=False)


_DIFFERENCE = "difference"
_IN_ERRORS = "in standard errors"
_LATEX = str.maketrans(
    {each: f"\\{each}" for each in "&%$#_{}"}
    | {each: f"${each}$" for each in "<>|"}
    | {"\\": "$\\backslash$", "~": "$\\sim$", "^": "\\^{}"}
)
_MARKDOWN = str.maketrans({each: f"\\{each}" for each in "|<"})


def to_text(comparison: Comparison) -> str:
    """A table for the terminal; where that is narrower, lines for each metric."""
    heads, rows = _cells(comparison)
    if not rows:
        return "nothing to show: all rows were measured under unlike protocols"
    return table_text(heads, rows, shutil.get_terminal_size().columns)


def to_markdown(comparison: Comparison) -> str:
    """A table of GitHub's Markdown."""
    heads, rows = _cells(comparison)
    ruler = ["---", *["---:"] * (len(heads) - 1)]
    escaped = [[cell.translate(_MARKDOWN) for cell in row] for row in (heads, *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (escaped[0], ruler, *escaped[1:]))


def to_latex(comparison: Comparison) -> str:
    """A tabular with the rules of the package booktabs."""
    heads, rows = _cells(comparison)

    def line(cells: Sequence[str]) -> str:
        texts = (cell.translate(_LATEX).replace("±", "$\\pm$") for cell in cells)
        return f"{' & '.join(texts)} \\\\"

    body = [line(heads), "\\midrule", *map(line, rows), "\\bottomrule", "\\end{tabular}"]
    return "\n".join([f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}", "\\toprule", *body])


def to_csv(comparison: Comparison) -> str:
    """All digits, a column for each error."""
    buffer = io.StringIO()
    csv_table(comparison).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue().removesuffix("\n")


FORMATS: Mapping[str, Callable[[Comparison], str]] = MappingProxyType(
    {"text": to_text, "markdown": to_markdown, "latex": to_latex, "csv": to_csv}
)


def _cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: metric, a value with its error for each name, the difference of two."""
    columns = [name for name in comparison.table.columns if not name.endswith(" ±")]
    own = [name for name in columns if name not in ("metric", _DIFFERENCE, _IN_ERRORS)]
    heads = dict(zip(own, shortest(own), strict=True)) | {_IN_ERRORS: "in errors"}
    rows = []
    for line in comparison.table.to_dict("records"):
        row = []
        for name in columns:
            value = line[name]
            if name == "metric":
                row.append(one_line(str(value)))
            elif math.isnan(value):
                row.append("")
            elif name == _IN_ERRORS:
                row.append(f"{value:.1f}")
            else:
                error = line[f"{name} ±"]
                row.append(with_error(value, None if math.isnan(error) else error))
        rows.append(row)
    return [one_line(heads.get(name, name)) for name in columns], rows
