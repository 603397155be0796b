"""Dot plots with error bars as inline SVG: a chart for each metric, a row for each generator.

Lengths across are shares of the width, so that words keep their size on any page.
"""

import math
from collections.abc import Mapping, Sequence

from stylegan_eval.metrics import higher_is_better
from stylegan_eval.report.shell import text
from stylegan_eval.report.tables import Line, line_names, value
from stylegan_eval.results.measured import Measured
from stylegan_eval.results.plotting import STYLES

_ROW, _TOP, _BOTTOM = 36, 6, 24  # pixels: of a generator, above all, of the axis
_INSET = 4.0  # percent of the width left free at either side
_LONGEST = 26  # letters of a name
_TICKS = 4


def dot_plots(lines: Sequence[Line], styles: Mapping[str, int]) -> list[str]:
    """A figure, as HTML, for each line that two generators or more have a number in."""
    return [
        _plot(f"dots-{at}", name, line, styles)
        for at, (name, line) in enumerate(zip(line_names(lines), lines, strict=True))
        if len(line.ranked) > 1
    ]


def _plot(at: str, name: str, line: Line, styles: Mapping[str, int]) -> str:
    ranked = line.ranked
    low, high, ticks = axis_of([line.cells[label] for label in ranked])
    height = _TOP + _ROW * len(ranked) + _BOTTOM
    better = "higher" if higher_is_better(line.metric) else "lower"
    words = [f"{label} {value(line.cells[label])}" for label in ranked]
    drawn = [_axis(ticks, low, high, height)]
    for row, label in enumerate(ranked):
        drawn.append(_row(label, line, styles[label], (low, high), _TOP + _ROW * row))
    return (
        f'<figure class="dots"><figcaption>{text(name)} <span>{better} is better</span>'
        f'</figcaption><svg role="img" aria-labelledby="{at}-title {at}-desc" width="100%"'
        f' height="{height}" fill="currentColor"><title id="{at}-title">{text(name)},'
        f' {better} is better</title><desc id="{at}-desc">From the best: {text("; ".join(words))}.'
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
