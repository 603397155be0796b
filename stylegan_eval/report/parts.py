"""The results of a report: their table, copies of it, and dot plots with error bars as inline SVG.

In a plot lengths across are shares of the width, so that words keep their size on any page.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stylegan_eval.report import shell
from stylegan_eval.report.shell import code, text
from stylegan_eval.report.subjects import Subject
from stylegan_eval.report.tables import (
    Line,
    apart_note,
    gallery_id,
    letters,
    named,
    order,
    protocol,
    undecided,
    unlike,
    value,
)
from stylegan_eval.results.comparison import FORMATS, Comparison, comparison_line
from stylegan_eval.results.measured import Measured
from stylegan_eval.results.plotting import STYLES
from stylegan_eval.results.significance import LEVEL, SIGNS

_MOST_COLUMNS = 4  # generators that stand side by side


def summary_part(
    subjects: Sequence[Subject],
    lines: Sequence[Line],
    styles: Mapping[str, int],
    galleries: Collection[str] = (),
) -> str:
    """The table of all whole metrics: few generators are its columns, many are its rows.

    `galleries`: digests of the tables of single images that the page shows.
    """
    if not lines:
        return ""
    measured = [subject for subject in subjects if subject.results]
    known = letters(subjects, lines)
    many = len(measured) > _MOST_COLUMNS
    cells = _Cells(measured, frozenset(galleries))
    return shell.section(
        "results",
        "Results",
        shell.note(_reading(lines, several=len(measured) > 1, many=many)),
        _by_generator(lines, cells, known) if many else _by_metric(lines, cells, known),
        copies(lines),
        _dots(lines, styles),
        *map(shell.note, _unlike(lines)),
        _undecided(lines),
        _notes(lines),
        "<h3>Protocols</h3>",
        shell.terms((known[row.defining], protocol(row)) for row in _one_of_each(subjects)),
    )


@dataclass(frozen=True)
class _Cells:
    """Cells of the generators of a table."""

    subjects: Sequence[Subject]
    galleries: Collection[str]  # Digests of the tables of single images that the page shows

    def cell(self, line: Line, subject: Subject, place: str = "") -> str:
        """A value, bold where it is one of the best; `place` is HTML that follows it."""
        row = line.cells.get(subject.label)
        if row is None:
            return shell.cell("", "", "number")
        said = f'<span class="value">{text(value(row))}</span>'
        said = f"<b>{said}</b>" if subject.label in line.best else said
        key = repr(row.value) if subject.label in line.ranked else ""
        return shell.cell(said + place + self._links(row), key, "number")

    def _links(self, row: Measured) -> str:
        """Where the page shows single images of a result."""
        return "".join(
            f'<br><a href="#{gallery_id(option, row.details[option])}">{words}</a>'
            for option, words in _GALLERIES.items()
            if row.details.get(option) in self.galleries
        )


_GALLERIES = {"influence": "images that cost most", "pairs": "nearest training images"}


def _dots(lines: Sequence[Line], styles: Mapping[str, int]) -> str:
    drawn = dot_plots(lines, styles)
    if not drawn:
        return ""
    reading = (
        "A dot is a value, its bar one standard error to either side; the best stands on top. A"
        " hollow dot is beyond noise of the best. The tests of the table decide, not whether bars"
        " touch."
    )
    return f'<h3>Side by side</h3>{shell.note(reading)}<div class="plots">{"".join(drawn)}</div>'


def _by_metric(lines: Sequence[Line], cells: _Cells, known: Mapping[tuple[str, ...], str]) -> str:
    several = len(cells.subjects) > 1
    heads = [shell.head("metric", "text")]
    for subject in cells.subjects:
        words = f"<b>{text(subject.label)}</b><br><span>{text(subject.description)}</span>"
        heads.append(shell.head(words, kind="number", moves=several))
    if several:
        heads.append(shell.head("order, the best first", "text"))
    heads.append(shell.head("protocol", "text"))
    return shell.table("Results", heads, (_line(line, cells, known) for line in lines))


def _by_generator(
    lines: Sequence[Line], cells: _Cells, known: Mapping[tuple[str, ...], str]
) -> str:
    heads = [shell.head("generator", "text")]
    heads += [
        shell.head(
            f"{_name(line)}<br><span>protocol {known[line.any.defining]}</span>", "number", "number"
        )
        for line in lines
    ]
    ranks: list[dict[str, int]] = [
        {}
        if line.higher_is_better is None
        else {label: at for at, label in enumerate(line.ranked, 1)}
        for line in lines
    ]
    rows = []
    for subject in cells.subjects:
        said = f"{text(subject.label)}<br><span>{text(subject.description)}</span>"
        row = [shell.row_name(said, subject.label)]
        for line, rank in zip(lines, ranks, strict=True):
            place = f" <span>{rank[subject.label]}.</span>" if subject.label in rank else ""
            row.append(cells.cell(line, subject, place))
        rows.append(row)
    return shell.table("Results", heads, rows, tall=True)


def _one_of_each(subjects: Sequence[Subject]) -> list[Measured]:
    """One result of each protocol, in the order of their letters."""
    found: dict[tuple[str, ...], Measured] = {}
    for subject in subjects:
        for row in subject.results:
            found.setdefault(row.defining, row)
    return list(found.values())


def _reading(lines: Sequence[Line], *, several: bool, many: bool) -> str:
    said = (
        "Value ± standard error of the measurement, where one is known: of other generated images,"
        " the real ones held fixed."
    )
    if not several:
        return said
    tested = sum(pair.p is not None for line in lines for pair in line.pairs)
    said += " Press a metric to order the generators by it."
    said += " After a value, its place in the order." if many else f" {SIGNS}"
    said += " Bold: the best, and what does not differ from it."
    if tested:
        pairs = f"{tested} pairs" if tested > 1 else "one pair"
        said += f" Beyond noise is p < {LEVEL:g}, by Holm's rule over {pairs} of this table."
    said += (
        " The noise of a difference holds other real images too where it is known, less what they"
        " move alike."
    )
    return said + " Another training of the same network may differ by more."


def _line(line: Line, cells: _Cells, known: Mapping[tuple[str, ...], str]) -> list[str]:
    row = [shell.row_name(_name(line), line.metric, orders=len(line.ranked) > 1)]
    row += [cells.cell(line, subject) for subject in cells.subjects]
    if len(cells.subjects) > 1:
        words = order(line)
        row.append(shell.cell(text(words), words, "order"))
    letter = known[line.any.defining]
    row.append(shell.cell(letter, letter))
    return row


def _name(line: Line) -> str:
    return f'{code(line.metric)}<br><span class="better">{line.sense}</span>'


def _unlike(lines: Sequence[Line]) -> list[str]:
    words = {
        "num": "number of images",
        "weights_sha256": "weights",
        "data_digest": "real images",
        "data_count": "number of real images",
    }
    return [
        f"Measured in unlike ways ({', '.join(words.get(c, c) for c in columns)}), so not compared:"
        f" the lines of {', '.join(metrics)}."
        for columns, metrics in unlike(lines).items()
    ]


def _undecided(lines: Sequence[Line]) -> str:
    words = undecided(lines)
    return f"<h3>What would settle the rest</h3>{shell.items(words)}" if words else ""


def _notes(lines: Sequence[Line]) -> str:
    labels: dict[tuple[str, str], list[str]] = {}
    for name, line in named(lines):
        for label, row in line.cells.items():
            if row["note"]:
                labels.setdefault((name, row["note"]), []).append(label)
        if note := apart_note(line):
            labels.setdefault((name, note), []).extend(line.cells)
    said = (
        f"{name}, {', '.join(dict.fromkeys(of))}: {note}" for (name, note), of in labels.items()
    )
    return f"<h3>Before you quote a number</h3>{shell.items(said)}" if labels else ""


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
    for name, line in named(lines):
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
            f' spellcheck="false">{text(content)}</textarea></label>'
        )
    return (
        '<details class="copies"><summary>Copy as Markdown, LaTeX or CSV</summary>'
        f"{''.join(parts)}</details>"
    )


_ROW, _TOP, _BOTTOM = 36, 6, 24  # pixels: of a generator, above all, of the axis
_INSET = 4.0  # percent of the width left free at either side
_LONGEST = 26  # letters of a name
_TICKS = 4


def dot_plots(lines: Sequence[Line], styles: Mapping[str, int]) -> list[str]:
    """A figure, as HTML, for each line that two generators or more have a number in."""
    return [
        _plot(f"dots-{at}", name, line, styles)
        for at, (name, line) in enumerate(named(lines))
        if len(line.ranked) > 1
    ]


def _plot(at: str, name: str, line: Line, styles: Mapping[str, int]) -> str:
    ranked = line.ranked
    low, high, ticks = axis_of([line.cells[label] for label in ranked])
    height = _TOP + _ROW * len(ranked) + _BOTTOM
    words = [f"{label} {value(line.cells[label])}" for label in ranked]
    first = "least" if line.higher_is_better is None else "best"
    drawn = [_axis(ticks, low, high, height)]
    for row, label in enumerate(ranked):
        drawn.append(_row(label, line, styles[label], (low, high), _TOP + _ROW * row))
    return (
        f'<figure class="dots"><figcaption>{text(name)} <span>{line.sense}</span>'
        f'</figcaption><svg role="img" aria-labelledby="{at}-title {at}-desc" width="100%"'
        f' height="{height}" fill="currentColor"><title id="{at}-title">{text(name)},'
        f' {line.sense}</title><desc id="{at}-desc">From the {first}: {text("; ".join(words))}.'
        f"</desc>{''.join(drawn)}</svg></figure>"
    )


def axis_of(rows: Sequence[Measured]) -> tuple[float, float, list[float]]:
    """Ends of an axis that holds all values with their errors, and its ticks."""
    errors = [row.stderr or 0.0 for row in rows]
    low = min(row.value - error for row, error in zip(rows, errors, strict=True))
    high = max(row.value + error for row, error in zip(rows, errors, strict=True))
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        wide = abs(high) * 0.01 or 1.0
        low, high = low - wide, high + wide
    rough = (high - low) / _TICKS
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * k for k in (1, 2, 5, 10) if unit * k >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return low, high, [k * step for k in range(first, last + 1)]


def _x(number: float, low: float, high: float) -> str:
    share = (number - low) / (high - low)
    return f"{_INSET + share * (100 - 2 * _INSET):.2f}%"


def _axis(ticks: Sequence[float], low: float, high: float, height: int) -> str:
    end = height - _BOTTOM + 4
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    decimals = min(max(-math.floor(math.log10(step) + 1e-9), 0), 12)
    marks = []
    for tick in ticks:
        x, words = _x(tick, low, high), f"{tick:.{decimals}f}"
        words = words if len(words) < 10 else f"{tick:.3g}"
        marks.append(
            f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{end}"/>'
            f'<text class="tick" x="{x}" y="{height - 6}" text-anchor="middle">{words}</text>'
        )
    return "".join(marks)


def _row(label: str, line: Line, style: int, ends: tuple[float, float], y: int) -> str:
    """Name and value, and below them the dot: full where it is the best or may be."""
    row, colour = line.cells[label], STYLES[style % len(STYLES)][0]
    ink = "currentColor" if colour == "#000000" else colour
    error, middle = row.stderr or 0.0, y + 26
    x = _x(row.value, *ends)
    may_be_best = label in line.best or not line.best
    shown = label if len(label) <= _LONGEST else f"…{label[1 - _LONGEST :]}"
    weight = ' font-weight="bold"' if label in line.best else ""
    bar, hollow = "", ' class="hollow"'
    if error:
        x1, x2 = _x(row.value - error, *ends), _x(row.value + error, *ends)
        bar = f'<line x1="{x1}" x2="{x2}" y1="{middle}" y2="{middle}" stroke-width="2"/>'
        bar += "".join(
            f'<line x1="{at}" x2="{at}" y1="{middle - 4}" y2="{middle + 4}" stroke-width="2"/>'
            for at in (x1, x2)
        )
    return (
        f'<g class="mark"><title>{text(f"{label}: {value(row)}")}</title>'
        f'<text x="0" y="{y + 14}"{weight}>{text(shown)}</text>'
        f'<text x="100%" y="{y + 14}" text-anchor="end"{weight}>{text(value(row))}</text>'
        f'<g stroke="{ink}">{bar}<circle cx="{x}" cy="{middle}" r="5" fill="{ink}"'
        f'{"" if may_be_best else hollow} stroke-width="2"/></g></g>'
    )
