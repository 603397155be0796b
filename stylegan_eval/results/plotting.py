"""Shared by plots of curves: colours, an empty figure, numbers of a row."""

import math
from collections.abc import Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people tell apart, the light ones darkened so that all
# stand out from a white and from a dark ground; black is the ink of a page. Dashes help in print,
# and where colours are alike.
STYLES = (
    *(("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#C56C9C", ":")),
    *(("#2E8FC4", "--"), ("#A87C00", "-"), ("#000000", ":"), ("#7F7F7F", "-.")),
)
_SMOOTHED_OVER = 40  # a curve's windows: one is its length over this


def empty_figure(width: float, height: float) -> "Figure":
    """A figure of this size in inches that draws without a window.

    ImportError where Matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def number_in(row: Mapping[str, Any], key: str) -> float:
    """A row's number; NaN where it has none."""
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def window_of(values: Sized) -> int:
    """Over how many values a curve of this length is smoothed: odd, 1 for a short one."""
    return len(values) // _SMOOTHED_OVER * 2 + 1


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Centred mean over `window` (odd) values, over fewer at the ends; NaN takes no part."""
    array = np.asarray(values, np.float64)
    known = np.isfinite(array)
    ones = np.ones(window)
    counts = np.convolve(known, ones)[window // 2 :][: len(array)]
    sums = np.convolve(np.where(known, array, 0.0), ones)[window // 2 :][: len(array)]
    return [
        float(total / count) if count else math.nan
        for total, count in zip(sums, counts, strict=True)
    ]


def title_and_grid(axes: "Axes", title: str) -> None:
    """The frame of a plot over kimg."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("kimg", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, lw=0.3)


def say(axes: "Axes", text: str) -> None:
    """Words where there is nothing to draw."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color="0.4", transform=axes.transAxes)
