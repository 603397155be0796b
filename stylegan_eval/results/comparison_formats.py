"""A comparison as text: for a terminal, Markdown, LaTeX or CSV."""

import io
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from stylegan_eval.engine.names import one_line
from stylegan_eval.results.comparison import Comparison, csv_table
from stylegan_eval.results.formatting import shortest, table_text, with_error

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
