"""Learning curves of several runs: a table and a picture."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stylegan.training.status import RunStatus, number_text
from stylegan_eval.engine.untrusted import one_line
from stylegan_eval.errors import UserError
from stylegan_eval.results.plotting import (
    STYLES,
    number_in,
    running_mean,
    title_and_grid,
    window_of,
)
from stylegan_eval.results.plotting import say as write
from stylegan_eval.results.run_folder import read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Curves of the log, by key and title.
_CURVES = {
    "loss_D": "loss of D",
    "loss_G": "loss of G",
    "r1": "R1 penalty",
    "fake_spread": "spread of the fakes",
    "img_per_s": "images per second",
}
_UNLIKE = {"version", "execution.at_a_time"}  # settings whose differences say nothing
_SHOWN = 24  # characters of a setting


def check_comparable(statuses: Sequence[RunStatus]) -> None:
    """Refuse the same run twice, and more runs than curves can be told apart."""
    folders = [status.folder.resolve() for status in statuses]
    for status, folder in zip(statuses, folders, strict=True):
        if folders.count(folder) > 1:
            raise UserError(f"{status.folder} is named more than once: name each run once")
    if len(statuses) > len(STYLES):
        raise UserError(f"{len(statuses)} runs: at most {len(STYLES)} are compared at a time")


def shared_metric(statuses: Sequence[RunStatus]) -> str | None:
    """The metric to compare by: one that all have measured, the deciding one of the first before.

    Without one for all, None.
    """
    names = [list(dict.fromkeys(str(r["metric"]) for r in s.metrics)) for s in statuses]
    best = statuses[0].best
    order = [*([str(best["metric"])] if best else []), *names[0]]
    return next((name for name in order if all(name in each for each in names)), None)


def measured_until(status: RunStatus, metric: str, nimg: int) -> Mapping[str, Any] | None:
    """The last measurement of a metric at or before image `nimg`."""
    rows = [row for row in status.metrics if row["metric"] == metric and row["nimg"] <= nimg]
    return rows[-1] if rows else None


def comparison_lines(statuses: Sequence[RunStatus]) -> Iterator[str]:
    """Lines to print: a row for each run, and the settings in which they differ."""
    check_comparable(statuses)
    metric = shared_metric(statuses)
    rows = [["run", "state", "kimg", "img/s", "loss_D", "loss_G"]]
    last = 0
    if metric is not None:
        rows[0] += [metric, "at kimg", "least"]
        last = min(
            max(row["nimg"] for row in status.metrics if row["metric"] == metric)
            for status in statuses
        )
    for status in statuses:
        tick = status.rows[-1] if status.rows else {}
        total = status.config.schedule.total_kimg
        state = f"{status.state}, collapsed" if status.collapse else status.state
        cells = [str(status.folder), state, f"{status.nimg / 1000:.1f} of {total:g}"]
        cells += [number_text(tick, "img_per_s", ".1f")]
        cells += [number_text(tick, key, ".4g") for key in ("loss_D", "loss_G")]
        if metric is not None:
            row = measured_until(status, metric, last) or {}
            known = [number_in(r, "value") for r in status.metrics if r["metric"] == metric]
            least = min((value for value in known if not math.isnan(value)), default=math.nan)
            cells += [number_text(row, "value", ".4g"), number_text(row, "kimg", ".1f")]
            cells += [f"{least:.4g}"]
        rows.append(cells)
    yield from table_of(rows)
    if metric is None:
        yield "no metric was measured in all of them"
    yield ""
    yield from _differences(statuses)


def _differences(statuses: Sequence[RunStatus]) -> Iterator[str]:
    """A row for each setting that is not the same in all runs."""
    settings = [read_run(status.folder).settings for status in statuses]
    keys = dict.fromkeys(key for each in settings for key in each)
    unlike = [k for k in keys if k not in _UNLIKE and len({s.get(k) for s in settings}) > 1]
    if not unlike:
        yield "all settings are the same"
        return
    rows = [["setting", *(str(status.folder) for status in statuses)]]
    rows += [[key, *(_short(each.get(key, "-")) for each in settings)] for key in unlike]
    yield from table_of(rows)


def table_of(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows under a header as lines: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        yield one_line("  ".join([first.ljust(widths[0]), *cells]))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"...{text[3 - _SHOWN :]}"


def draw_comparison(statuses: Sequence[RunStatus], figure: "Figure") -> None:
    """Draw the curves of all runs, one colour a run, over thousands of images."""
    axes = figure.subplots(2, 3)
    metric = shared_metric(statuses)
    title_and_grid(axes[0, 0], metric or "no metric in all of them")
    if metric is not None:
        for status, (colour, dashes) in zip(statuses, STYLES, strict=False):
            rows = [row for row in status.metrics if row["metric"] == metric]
            _curve(axes[0, 0], rows, "value", status, colour=colour, dashes=dashes, marker="o")
    for place, (key, title) in zip(axes.flat[1:], _CURVES.items(), strict=True):
        title_and_grid(place, title)
        for status, (colour, dashes) in zip(statuses, STYLES, strict=False):
            _curve(place, status.rows, key, status, colour=colour, dashes=dashes)
        if not place.lines:
            write(place, "nothing logged")
    handles = next((list(place.lines) for place in axes.flat if place.lines), [])
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9)


def _curve(
    axes: "Axes", rows: Sequence[Mapping[str, Any]], key: str, status: RunStatus, **style: Any
) -> None:
    """Draw one run's curve where it has any numbers, smoothed where it is long."""
    values = [number_in(row, key) for row in rows]
    if all(map(math.isnan, values)):
        return
    kimg = [row["nimg"] / 1000 for row in rows]
    axes.plot(
        kimg,
        running_mean(values, window_of(values)),
        style["dashes"],
        color=style["colour"],
        label=one_line(str(status.folder)),
        lw=1.3,
        ms=4,
        marker=style.get("marker", "o" if len(values) < 3 else ""),
    )
