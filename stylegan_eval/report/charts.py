"""Charts as inline SVG."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.report.svg import KIND, drawable, inline_svg
from stylegan_eval.results.formatting import number, with_error
from stylegan_eval.results.plotting import STYLES, empty_figure
from stylegan_eval.results.significance import LARGEST, known

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


_WIDTH, _HEIGHT = 4.4, 2.7  # inches; a narrow page shows one of them, a wide one two in a row
_SMALL = 8
_MOST_MARKS = 40  # points of a curve that tell their values
_FEWEST_BINS, _MOST_BINS = 5, 60


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A line of a chart."""

    label: str  # In the legend
    style: int  # Number of its colour and dashes
    x: Sequence[float]
    y: Sequence[float]
    """x, y: Equally many; NaN in `y` is left out."""
    error: Sequence[float] = ()  # Standard errors of `y`; NaN where unknown
    smooth: Sequence[float] = ()
    """`y` smoothed: drawn in its place, above a faint `y`."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """Numbers of one generator in a chart of bars or a histogram."""

    label: str
    style: int
    numbers: NDArray[np.float64]


def seen(numbers: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers that have a place on an axis; NaN instead of all others."""
    given = np.asarray(numbers, np.float64)
    return np.where(np.abs(given) <= LARGEST, given, np.nan)


def curves(name: str, title: str, given: Sequence[Curve], *, log: bool = False) -> str:
    """A figure of curves over kimg, as HTML; of equal labels the legend names one.

    `name` as in `svg.inline_svg`; `log`: a logarithmic upright axis, if all numbers allow it.
    """
    chart = _Chart(title, given)
    axes = chart.axes
    heights = [seen(curve.y) for curve in given]
    finite = np.concatenate([y[np.isfinite(y)] for y in heights])
    log = bool(log and len(finite) and finite.min() > 1 / LARGEST)
    for at, (curve, y) in enumerate(zip(given, heights, strict=True)):
        first = curve.label not in [other.label for other in given[:at]]
        _line(axes, curve, y, at, drawable(curve.label) if first else "_")
        _mark_curve(chart, curve, y)
    axes.set_xlabel("kimg", fontsize=_SMALL)
    if log:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
    return chart.html(name, "Curves")


def _line(axes: "Axes", curve: Curve, y: NDArray[np.float64], at: int, label: str) -> None:
    colour, dashes = _style(curve.style)
    x = seen(curve.x)
    if len(curve.smooth):
        [raw] = axes.plot(x, y, "-", color=colour, lw=0.6, alpha=0.3, gid=f"{KIND}raw-{at}")
        raw.get_path().should_simplify = False  # the page smooths over a number of its points
        y = seen(curve.smooth)
    marker = "o" if len(x) < 30 else ""
    kind = f"{KIND}{'smooth' if len(curve.smooth) else 'line'}-{at}"
    axes.plot(x, y, dashes, color=colour, lw=1.3, marker=marker, ms=3, label=label, gid=kind)
    if curve.error:
        axes.errorbar(x, y, seen(curve.error), fmt="none", ecolor=colour, elinewidth=1)


def _mark_curve(chart: "_Chart", curve: Curve, y: NDArray[np.float64]) -> None:
    """Some points of a curve tell their values."""
    errors = curve.error or [math.nan] * len(y)
    chosen = np.unique(np.linspace(0, len(y) - 1, min(len(y), _MOST_MARKS)).round().astype(int))
    said = [
        f"{curve.label}: {with_error(y[at], known(errors[at], y[at]))} at {curve.x[at]:.5g} kimg"
        for at in chosen
    ]
    chart.mark(seen(curve.x)[chosen], y[chosen], said)


def bars(name: str, title: str, rows: Sequence[str], given: Sequence[Values], end: float) -> str:
    """A figure of horizontal bars, a group of them for each of `rows`, from the top.

    `given`: one number for each group, NaN for no bar; `end`: where the axis ends.
    """
    thick = 0.8 / len(given)
    high = len(rows) * (0.12 + 0.08 * len(given))
    chart = _Chart(title, given, 0.9 + high)
    axes = chart.axes
    for at, values in enumerate(given):
        colour, _ = _style(values.style)
        numbers = seen(values.numbers)
        finite = np.isfinite(numbers)
        y = np.arange(len(rows), dtype=np.float64) - 0.4 + (at + 0.5) * thick
        axes.plot(np.full((~finite).sum(), 0.015 * end), y[~finite], "x", color=colour, ms=3)
        axes.barh(y, np.nan_to_num(numbers), thick, color=colour, label=drawable(values.label))
        said = [
            f"{values.label}, {row}: {number(x)} bits" for row, x in zip(rows, numbers, strict=True)
        ]
        chart.mark(numbers, y, said)
    axes.set_yticks(range(len(rows)), list(map(drawable, rows)), fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, end)
    axes.set_xlabel("conditional entropy in bits; 0 is perfectly separable", fontsize=_SMALL)
    axes.grid(visible=False, axis="y")
    return chart.html(name, "Bars")


def histogram(name: str, title: str, given: Sequence[Values], marks: Mapping[str, float]) -> str:
    """A figure of histograms over a logarithmic axis, where only numbers above 0 have a place.

    `marks`: by label, where to draw an upright line.
    """
    chart = _Chart(title, given)
    axes = chart.axes
    visible = [seen(values.numbers) for values in given]
    shown = [numbers[numbers > 1 / LARGEST] for numbers in visible]
    every = np.concatenate(shown) if shown else np.ones(1)
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.5, 2.0)
    # Twice the cube root of their number, by Rice's rule.
    fewest = min((len(numbers) for numbers in shown), default=0)
    bins = min(max(math.ceil(2 * fewest ** (1 / 3)), _FEWEST_BINS), _MOST_BINS)
    edges = np.geomspace(low * 0.99, high * 1.01, bins + 1)
    for values, numbers in zip(given, shown, strict=True):
        colour, dashes = _style(values.style)
        heights = np.histogram(numbers, edges)[0] / max(len(values.numbers), 1)
        axes.stairs(heights, edges, color=colour, ls=dashes, lw=1.3, label=drawable(values.label))
        said = [
            f"{values.label}: {share:.1%} from {number(left)} to {number(right)}"
            for share, (left, right) in zip(heights, itertools.pairwise(edges), strict=True)
        ]
        chart.mark(np.sqrt(edges[1:] * edges[:-1]), heights, said)
        if math.isfinite(mark := marks.get(values.label, math.nan)):
            axes.axvline(mark, color=colour, ls=dashes, lw=0.8)
    axes.set_xscale("log")
    _plain_ticks(axes.xaxis)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("length of a pair's path", fontsize=_SMALL)
    axes.set_ylabel("share of pairs", fontsize=_SMALL)
    return chart.html(name, "Histograms")


class _Chart:
    """A figure, and points in it that tell their values but are not drawn."""

    def __init__(
        self, title: str, given: Sequence[Curve | Values], height: float = _HEIGHT
    ) -> None:
        self.labels = list(dict.fromkeys(each.label for each in given))
        # One by itself has no legend.
        alone = len(self.labels) == 1 and self.labels[0] not in title
        self.title = f"{title}, {self.labels[0]}" if alone else title
        self.words: dict[str, list[str]] = {}  # By the id of a line of markers
        self.figure = empty_figure(_WIDTH, height)
        self.axes = self.figure.subplots()
        self.axes.set_title(drawable(self.title), fontsize=9)
        self.axes.tick_params(labelsize=_SMALL)
        self.axes.grid(visible=True, lw=0.4, color="#7f7f7f", alpha=0.45)
        self.axes.set_axisbelow(True)
        for side in ("top", "right"):
            self.axes.spines[side].set_visible(False)

    def mark(self, x: NDArray[np.float64], y: NDArray[np.float64], words: Sequence[str]) -> None:
        """Let the points (x, y) say `words`; what is not finite has no place."""
        at, shown = f"marks-{len(self.words)}", np.isfinite(x) & np.isfinite(y)
        self.axes.plot(x[shown], y[shown], "o", ms=3, label="_", gid=at)
        self.words[at] = [word for word, here in zip(words, shown, strict=True) if here]

    def html(self, name: str, kind: str) -> str:
        """The figure with its legend; `name` as in `svg.inline_svg`."""
        handles, labels = self.axes.get_legend_handles_labels()
        if len(handles) > 1:
            self.figure.legend(
                handles, labels, loc="outside lower center", ncols=min(len(handles), 3),
                fontsize=_SMALL, frameon=False,
            )  # fmt: skip
        label = f"{self.title}. {kind} of {', '.join(self.labels)}"
        drawn = inline_svg(self.figure, name, label, self.words)
        return f'<figure class="chart">{drawn}</figure>'


def _style(number: int) -> tuple[str, str]:
    return STYLES[number % len(STYLES)]


def _plain_ticks(axis: "Axis") -> None:
    """Plain numbers rather than powers of ten on a logarithmic axis, so few that none overprint."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    axis.set_major_locator(
        MaxNLocator(5)
        if decades < 0.7
        else LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,), numticks=9)
    )
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
