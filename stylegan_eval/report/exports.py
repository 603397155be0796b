"""The table of results as text to copy, in the formats of `stylegan-eval compare`."""

from collections.abc import Sequence

from stylegan_eval.report import shell
from stylegan_eval.report.tables import Line, line_names
from stylegan_eval.results.comparison import Comparison, comparison_line
from stylegan_eval.results.comparison_formats import FORMATS

_NAMES = {"markdown": "Markdown", "latex": "LaTeX", "csv": "CSV"}
_TAKEN = ("metric", "difference", "in standard errors")  # columns of a comparison


def comparison_of(lines: Sequence[Line]) -> Comparison:
    """The lines of a report as a comparison, a column for each generator."""
    import pandas as pd

    labels = list(dict.fromkeys(label for line in lines for label in line.cells))
    columns = {
        label: f"{label} (generator)" if label in _TAKEN or label.endswith(" ±") else label
        for label in labels
    }
    rows = []
    for name, line in zip(line_names(lines), lines, strict=True):
        cells = {columns[label]: row.cells for label, row in line.cells.items()}
        rows.append(comparison_line(name, cells, list(columns.values())))
    return Comparison(table=pd.DataFrame(rows), refused=())


def copies(lines: Sequence[Line]) -> str:
    """Buttons that copy the table, and the texts that they copy, as HTML.

    A browser that does not let a page write to the clipboard shows the text, selected.
    """
    if not lines:
        return ""
    comparison = comparison_of(lines)
    parts = []
    for name, words in _NAMES.items():
        content = FORMATS[name](comparison)
        rows = min(content.count("\n") + 1, 12)
        parts.append(
            f'<label>{words} <textarea readonly rows="{rows}" cols="60" data-copies="{words}"'
            f' spellcheck="false">{shell.text(content)}</textarea></label>'
        )
    return (
        '<details class="copies"><summary>Copy as Markdown, LaTeX or CSV</summary>'
        f"{''.join(parts)}</details>"
    )
