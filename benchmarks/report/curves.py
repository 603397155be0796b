"""Curves of a report: distance, losses and scores over kimg, one PNG each."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.outcomes import Training
from stylegan.training.evaluate import METRICS_FILE
from stylegan_eval.json_lines import read_rows
from stylegan_eval.plotting import (
    STYLES,
    empty_figure,
    number_in,
    running_mean,
    say,
    title_and_grid,
    window_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSSES = ("loss_D", "loss_G", "r1", "gp")
_SCORES = ("score_real", "score_fake")
_LIMIT = 300_000  # bytes of one picture


def by_network(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """Trainings of each network, both in their first order."""
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        groups.setdefault(training.network, []).append(training)
    return groups


def distance_curves(trainings: Sequence[Training]) -> bytes | None:
    """Distance over kimg as PNG: a colour per network, a thin line per seed.

    Returns
    -------
    bytes or None
        None when no training has measured one on its way.
    """
    measured = {t.name: _distances(t) for t in trainings}
    names = [row["metric"] for rows in measured.values() for row in rows]
    if not names:
        return None
    name = max(dict.fromkeys(names), key=names.count)  # one unit per picture
    figure = empty_figure(8, 4.5)
    axes = figure.subplots()
    for at, (network, seeds) in enumerate(by_network(trainings).items()):
        colour, dashes = STYLES[at % len(STYLES)]
        label = network
        for training in seeds:
            rows = [row for row in measured[training.name] if row["metric"] == name]
            if rows:
                kimg = [row["nimg"] / 1000 for row in rows]
                values = [number_in(row, "value") for row in rows]
                axes.plot(kimg, values, dashes, color=colour, lw=1, marker="o", ms=3, label=label)
                label = "_"  # one entry of the legend for all seeds
    title_and_grid(axes, f"{name} over training, a line per seed")
    axes.set_yscale("log")
    _plain_ticks(axes)
    axes.legend(fontsize=8)
    return _png(figure)


def _distances(training: Training) -> list[dict[str, Any]]:
    rows, _ = read_rows(training.folder / METRICS_FILE)
    measured = [row for row in rows if "error" not in row]
    return [row for row in measured if str(row.get("metric", "")).startswith(("fid", "fd"))]


def _plain_ticks(axes: "Axes") -> None:
    """Numbers rather than powers of ten, also between the decades."""
    from matplotlib.ticker import LogLocator, ScalarFormatter

    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which(ScalarFormatter())
    axes.yaxis.set_minor_locator(LogLocator(subs=(2, 3, 5, 7)))
    axes.tick_params(which="minor", labelsize=8)


def loss_curves(trainings: Sequence[Training]) -> bytes | None:
    """Losses and scores over kimg as PNG: a row of two plots per network, a line per seed.

    Returns
    -------
    bytes or None
        None when nothing is logged yet.
    """
    logs = {t.name: read_rows(t.folder / "log.jsonl")[0] for t in trainings}
    groups = {
        network: [logs[t.name] for t in seeds if logs[t.name]]
        for network, seeds in by_network(trainings).items()
    }
    groups = {network: runs for network, runs in groups.items() if runs}
    if not groups:
        return None
    figure = empty_figure(9, 0.5 + 2.1 * len(groups))
    axes = figure.subplots(len(groups), 2, squeeze=False, sharex=True)
    for (left, right), (network, runs) in zip(axes, groups.items(), strict=True):
        _terms(left, runs, _LOSSES, f"{network}: losses and penalty")
        _terms(right, runs, _SCORES, f"{network}: mean scores of D")
    for plot in axes[:-1].flat:
        plot.set_xlabel("")
    return _png(figure)


def _terms(
    axes: "Axes", runs: Sequence[Sequence[Mapping[str, Any]]], keys: Sequence[str], title: str
) -> None:
    """The terms that are in the log; the range shown is that of the smoothed curves."""
    window = 1
    for key, (colour, dashes) in zip(keys, STYLES, strict=False):
        label = key
        for rows in runs:
            values = [number_in(row, key) for row in rows]
            if not any(map(math.isfinite, values)):
                continue
            window = max(window, window_of(values))
            kimg = [row["nimg"] / 1000 for row in rows]
            smooth = running_mean(values, window_of(values))
            axes.plot(kimg, smooth, dashes, color=colour, lw=1.1, label=label)
            label = "_"
    said = f", running mean of {window} ticks" if window > 1 else ""
    title_and_grid(axes, title + said)
    if axes.lines:
        axes.legend(fontsize=7, framealpha=0.6)
    else:
        say(axes, "not logged")


def _png(figure: "Figure") -> bytes:
    """The figure, coarser where it would be a large file."""
    for dpi in (110, 80, 50):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=dpi, facecolor="white")
        if file.tell() < _LIMIT:
            break
    return file.getvalue()
