"""What pictures of curves share: colours, an empty figure, numbers of a row."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people tell apart; dashes help in print.
STYLES = (
    *(("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":")),
    *(("#56B4E9", "-"), ("#E69F00", "--"), ("#000000", "-."), ("#7F7F7F", ":")),
)


def empty_figure(width: float, height: float) -> "Figure":
    """A figure of this size in inches that draws without a window, wherever this runs.

    Raises
    ------
    ImportError
        Matplotlib is not installed.
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


def title_and_grid(axes: "Axes", title: str) -> None:
    """The frame of a plot over kimg."""
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("kimg", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, lw=0.3)


def say(axes: "Axes", text: str) -> None:
    """Words where there is nothing to draw."""
    axes.text(0.5, 0.5, text, ha="center", va="center", color="0.4", transform=axes.transAxes)
