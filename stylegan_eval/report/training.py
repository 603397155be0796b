"""Charts of trainings: distances and path lengths over kimg, losses, scores."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stylegan_eval.plotting import number_in, running_mean, window_of
from stylegan_eval.report.charts import Curve, curves, seen
from stylegan_eval.report.measured import Measured, from_log, higher_is_better
from stylegan_eval.report.runs import METRICS
from stylegan_eval.report.subjects import Subject
from stylegan_eval.words import with_error

_LOSSES = ("loss_D", "loss_G", "r1", "gp")
_SCORES = ("score_real", "score_fake")
_Key = tuple[str, ...]


def metric_charts(subjects: Sequence[Subject], styles: Mapping[str, int]) -> list[str]:
    """A chart for each metric and protocol that trainings measured, a line for each, as HTML.

    Parameters
    ----------
    subjects : sequence of Subject
        Those with a training are shown.
    styles : mapping
        Number of the colour of each by label.
    """
    found: dict[_Key, dict[str, list[tuple[float, Measured]]]] = {}
    for subject in subjects:
        for row, measured in _measured(subject):
            lines = found.setdefault((measured.metric, *measured.defining), {})
            lines.setdefault(subject.label, []).append((row["nimg"] / 1000, measured))
    drawn = []
    for at, ((metric, *_), lines) in enumerate(found.items()):
        given = [_curve(label, styles[label], points) for label, points in lines.items()]
        log = not higher_is_better(metric)
        drawn.append(curves(f"metric-{at}", f"{metric} over training", given, log=log))
    return drawn


def _measured(subject: Subject) -> list[tuple[Mapping[str, Any], Measured]]:
    if subject.run is None:
        return []
    source = subject.run.folder / METRICS
    rows = [(row, from_log(row, source)) for row in subject.run.metrics]
    return [(row, result) for row, result in rows if result is not None and not result.part_of]


def _curve(label: str, style: int, points: Sequence[tuple[float, Measured]]) -> Curve:
    errors = [math.nan if row.stderr is None else row.stderr for _, row in points]
    return Curve(
        label=label,
        style=style,
        x=[kimg for kimg, _ in points],
        y=[row.value for _, row in points],
        error=errors if any(map(math.isfinite, errors)) else (),
    )


def best_of(subjects: Sequence[Subject]) -> list[str]:
    """For each training and metric the best value on its way, in words."""
    said = []
    for subject in subjects:
        by_metric: dict[str, list[tuple[float, Measured]]] = {}
        for row, measured in _measured(subject):
            if math.isfinite(measured.value):
                points = by_metric.setdefault(measured.metric, [])
                points.append((row["nimg"] / 1000, measured))
        for metric, points in by_metric.items():
            sign = -1 if higher_is_better(metric) else 1
            kimg, best = min(points, key=lambda point: sign * point[1].value)
            words = with_error(best.value, best.stderr)
            said.append(
                f"{subject.label}: best {metric} {words} at {kimg:.5g} kimg, measured"
                f" {len(points)} times up to {points[-1][0]:.5g} kimg."
            )
    return said


def loss_charts(subjects: Sequence[Subject]) -> list[str]:
    """For each training losses with penalties, and scores, as HTML; empty where none is logged."""
    drawn = []
    for at, subject in enumerate(subjects):
        if subject.run is None or not subject.run.log:
            continue
        for keys, title in ((_LOSSES, "losses and penalty"), (_SCORES, "mean scores of D")):
            given = _terms(subject.run.log, keys)
            if given:
                window = window_of(subject.run.log)
                over = f", mean of {window} ticks" if window > 1 else ""
                words = f"{subject.label}: {title}{over}"
                drawn.append(curves(f"loss-{at}-{keys[0].replace('_', '-')}", words, given))
    return drawn


def _terms(log: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Curve]:
    """The terms that are in the log, smoothed."""
    given = []
    kimg = [row["nimg"] / 1000 for row in log]
    for style, key in enumerate(keys):
        values = seen([number_in(row, key) for row in log]).tolist()
        if any(map(math.isfinite, values)):
            smooth = running_mean(values, window_of(values))
            given.append(Curve(label=key, style=style, x=kimg, y=smooth))
    return given
