"""Charts as inline SVG."""

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.report.shell import text
from stylegan_eval.results.measured import LARGEST
from stylegan_eval.results.plotting import STYLES, empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


INK = "#000000"  # becomes the colour of the page's text, whatever that is
_DROPPED = ("metadata", "style", "title")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT_SIZE = re.compile(r"([\d.]+)px")


def inline_svg(figure: "Figure", name: str, label: str) -> str:
    """A figure as an `svg` element that a page with a strict policy may hold.

    Styles become attributes, since the policy allows no others; black becomes the page's ink; words
    stay words; ids are the page's own.

    Parameters
    ----------
    figure : Figure
        Its ground is not drawn.
    name : str
        Begins each id in it: letters, digits and '-', different from other figures'.
    label : str
        What people read instead.
    """
    import matplotlib as mpl

    file = io.BytesIO()
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}),
        warnings.catch_warnings(),
    ):
        # The page's reader has the glyphs that Matplotlib's font lacks, and draws the words.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(file.getvalue())
    _clean(root)
    _name(root, name)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib |= {
        "viewBox": box, "role": "img", "fill": "currentColor",
        "stroke-linejoin": "round", "stroke-linecap": "butt",
    }  # fmt: skip
    drawn = ET.tostring(root, encoding="unicode")
    return drawn.replace("<svg ", f'<svg aria-label="{text(_printable(label))}" ', 1)


def drawable(words: str) -> str:
    """Words that Matplotlib shows as they are: no formulas, nothing hidden or unprintable."""
    shown = _printable(words)
    # A label that begins with an underscore has no place in a legend.
    return f" {shown}".replace("$", r"\$") if shown.startswith("_") else shown.replace("$", r"\$")


def _printable(words: str) -> str:
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in words)


def _clean(element: ET.Element) -> None:
    """Plain names, styles as attributes, and nothing that is not drawn."""
    element.tag = _plain(element.tag)
    for key in list(element.attrib):
        value = element.attrib.pop(key)
        if key == "style":
            element.attrib |= _attributes(value)
        else:
            element.set(_plain(key), value)
    for key, value in element.attrib.items():
        if key in ("fill", "stroke") and value == INK:
            element.set(key, "currentColor")
    for child in list(element):
        if _plain(child.tag) in _DROPPED:
            element.remove(child)
        else:
            _clean(child)


def _plain(name: str) -> str:
    return name.rpartition("}")[2]


def _attributes(style: str) -> dict[str, str]:
    """'fill: none; font: 8px ...' as attributes."""
    found = {}
    for part in style.split(";"):
        key, _, value = (word.strip() for word in part.partition(":"))
        if key == "font":
            size = _FONT_SIZE.search(value)
            found["font-size"] = size[1] if size else "8"
        elif key:
            found[key] = value
    return found


def _name(root: ET.Element, name: str) -> None:
    """Keep the ids that are referred to, and make them the figure's own."""
    used = set()
    for element in root.iter():
        for value in element.attrib.values():
            used |= set(_REFERENCE.findall(value))
            used |= {value[1:]} if value.startswith("#") else set()
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                if value in used:
                    element.set(key, f"{name}-{value}")
                else:
                    del element.attrib[key]
            elif key == "href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            else:
                element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))


_WIDTH, _HEIGHT = 4.4, 2.7  # inches; a narrow page shows one of them, a wide one two in a row
_SMALL = 8
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
    """A figure of curves over kimg, as HTML.

    Parameters
    ----------
    name, title : str
        `name` as in `svg.inline_svg`.
    log : bool
        Whether the upright axis shall be logarithmic, if all numbers allow it.
    """
    title = _whose(title, [curve.label for curve in given])
    figure, axes = _empty(title, _HEIGHT)
    heights = [seen(curve.y) for curve in given]
    for curve, y in zip(given, heights, strict=True):
        colour, dashes = _style(curve.style)
        marker = "o" if len(curve.x) < 30 else ""
        axes.plot(
            seen(curve.x),
            y,
            dashes,
            color=colour,
            lw=1.3,
            marker=marker,
            ms=3,
            label=drawable(curve.label),
        )
        if curve.error:
            x, error = seen(curve.x), seen(curve.error)
            axes.errorbar(x, y, error, fmt="none", ecolor=colour, elinewidth=1)
    axes.set_xlabel("kimg", fontsize=_SMALL)
    known = np.concatenate([y[np.isfinite(y)] for y in heights])
    if log and len(known) and known.min() > 1 / LARGEST:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
    _legend(figure, axes, len(given))
    return _html(figure, name, title, f"Curves of {', '.join(curve.label for curve in given)}")


def bars(name: str, title: str, rows: Sequence[str], given: Sequence[Values], end: float) -> str:
    """A figure of horizontal bars, a group of them for each of `rows`, from the top.

    Parameters
    ----------
    given : sequence of Values
        One number for each group, NaN for no bar.
    end : float
        Where the axis ends.
    """
    thick = 0.8 / len(given)
    high = len(rows) * (0.12 + 0.08 * len(given))
    title = _whose(title, [values.label for values in given])
    figure, axes = _empty(title, 0.9 + high)
    for at, values in enumerate(given):
        colour, _ = _style(values.style)
        numbers = seen(values.numbers)
        known = np.isfinite(numbers)
        y = np.arange(len(rows)) - 0.4 + (at + 0.5) * thick
        axes.plot(np.full((~known).sum(), 0.015 * end), y[~known], "x", color=colour, ms=3)
        axes.barh(y, np.nan_to_num(numbers), thick, color=colour, label=drawable(values.label))
    axes.set_yticks(range(len(rows)), list(map(drawable, rows)), fontsize=7.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, end)
    axes.set_xlabel("conditional entropy in bits; 0 is perfectly separable", fontsize=_SMALL)
    axes.grid(visible=False, axis="y")
    _legend(figure, axes, len(given))
    return _html(figure, name, title, f"Bars of {', '.join(values.label for values in given)}")


def histogram(name: str, title: str, given: Sequence[Values], marks: Mapping[str, float]) -> str:
    """A figure of histograms over a logarithmic axis.

    Parameters
    ----------
    given : sequence of Values
        Numbers; those that are not above 0 have no place on the axis.
    marks : mapping
        By label, where to draw an upright line.
    """
    title = _whose(title, [values.label for values in given])
    figure, axes = _empty(title, _HEIGHT)
    visible = [seen(values.numbers) for values in given]
    shown = [numbers[numbers > 1 / LARGEST] for numbers in visible]
    known = np.concatenate(shown) if shown else np.ones(1)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.5, 2.0)
    # Twice the cube root of their number, by Rice's rule.
    fewest = min((len(numbers) for numbers in shown), default=0)
    bins = min(max(math.ceil(2 * fewest ** (1 / 3)), _FEWEST_BINS), _MOST_BINS)
    edges = np.geomspace(low * 0.99, high * 1.01, bins + 1)
    for values, numbers in zip(given, shown, strict=True):
        colour, dashes = _style(values.style)
        heights = np.histogram(numbers, edges)[0] / max(len(values.numbers), 1)
        axes.stairs(heights, edges, color=colour, ls=dashes, lw=1.3, label=drawable(values.label))
        if math.isfinite(mark := marks.get(values.label, math.nan)):
            axes.axvline(mark, color=colour, ls=dashes, lw=0.8)
    axes.set_xscale("log")
    _plain_ticks(axes.xaxis)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("length of a pair's path", fontsize=_SMALL)
    axes.set_ylabel("share of pairs", fontsize=_SMALL)
    _legend(figure, axes, len(given))
    return _html(figure, name, title, f"Histograms of {', '.join(v.label for v in given)}")


def _style(number: int) -> tuple[str, str]:
    return STYLES[number % len(STYLES)]


def _empty(title: str, height: float) -> "tuple[Figure, Axes]":
    figure = empty_figure(_WIDTH, height)
    axes = figure.subplots()
    axes.set_title(drawable(title), fontsize=9)
    axes.tick_params(labelsize=_SMALL)
    axes.grid(visible=True, lw=0.4, color="#7f7f7f", alpha=0.45)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


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


def _legend(figure: "Figure", axes: "Axes", count: int) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:  # one by itself stands in the title
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(count, 3), fontsize=_SMALL,
            frameon=False,
        )  # fmt: skip


def _whose(title: str, labels: Sequence[str]) -> str:
    """The title, with the only label where there is no legend."""
    return title if len(labels) > 1 or labels[0] in title else f"{title}, {labels[0]}"


def _html(figure: "Figure", name: str, title: str, label: str) -> str:
    drawn = inline_svg(figure, name, f"{title}. {label}")
    return f'<figure class="chart">{drawn}</figure>'
