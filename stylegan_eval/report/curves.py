"""Training curves and histograms of path lengths."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stylegan_eval.metrics import higher_is_better
from stylegan_eval.metrics.trimmed_mean import trimmed_mean
from stylegan_eval.report import shell
from stylegan_eval.report.charts import Curve, Values, curves, histogram, seen
from stylegan_eval.report.shell import code, place
from stylegan_eval.report.subjects import Subject
from stylegan_eval.results.formatting import number, with_error
from stylegan_eval.results.measured import Measured, from_run
from stylegan_eval.results.path_length_file import Distances
from stylegan_eval.results.plotting import number_in, running_mean, window_of

LOSSES = ("loss_D", "loss_G", "r1", "gp")
SCORES = ("score_real", "score_fake")
_MOST_POINTS = 1000  # of a curve; no page shows more
SMOOTHED = (
    "Thin: what was logged (of very long logs, means of neighbouring ticks). Thick: its mean over"
    " 5 % of the training around each point."
)
_Key = tuple[str, ...]


def length_charts(
    subjects: Sequence[Subject], distances: Sequence[Distances], styles: Mapping[str, int]
) -> list[str]:
    """A histogram for each metric, as HTML; an upright line is the trimmed mean.

    `distances`: a file belongs to the generator whose digest it has.
    """
    found: dict[str, dict[str, Values]] = {}
    for at, one in enumerate(distances):
        label = _owner(subjects, one)
        for metric, numbers in one.lengths.items():
            style = styles.get(label, len(styles) + at)
            found.setdefault(metric, {})[label] = Values(label=label, style=style, numbers=numbers)
    drawn = []
    for at, (metric, given) in enumerate(found.items()):
        means = {label: trimmed_mean(values.numbers).mean for label, values in given.items()}
        drawn.append(histogram(f"lengths-{at}", metric, list(given.values()), means))
    return drawn


def _owner(subjects: Sequence[Subject], distances: Distances) -> str:
    """Label of the generator that path lengths are of; by its file where it is not reported."""
    labels = {subject.digest: subject.label for subject in subjects if subject.digest}
    return labels.get(distances.generator_digest) or place(distances.generator, Path())


def tails(subjects: Sequence[Subject], distances: Sequence[Distances]) -> str:
    """A table of how much of each sum the longest paths are, as HTML."""
    rows = []
    for one in distances:
        label = _owner(subjects, one)
        for metric, numbers in one.lengths.items():
            share = float(np.sort(numbers)[-max(len(numbers) // 10, 1) :].sum() / numbers.sum())
            values = (float(np.median(numbers)), trimmed_mean(numbers).mean, float(numbers.mean()))
            rows.append(
                [
                    shell.row_name(shell.text(label), label),
                    shell.cell(code(metric), metric, "names"),
                    *(shell.cell(number(x), repr(x), "number") for x in values),
                    shell.cell(f"{share:.0%}", repr(share), "number"),
                ]
            )
    heads = [shell.head("generator", "text"), shell.head("metric", "text")]
    words = ("median", "trimmed mean", "mean", "of which the longest tenth")
    heads += [shell.head(word, "number", "number") for word in words]
    return shell.table("Path lengths", heads, rows)


def metric_charts(subjects: Sequence[Subject], styles: Mapping[str, int]) -> list[str]:
    """A chart for each metric and protocol that trainings measured, a line for each, as HTML."""
    found: dict[_Key, dict[str, list[tuple[float, Measured]]]] = {}
    for subject in subjects:
        for kimg, measured in _measured(subject):
            lines = found.setdefault((measured.metric, *measured.defining), {})
            lines.setdefault(subject.label, []).append((kimg, measured))
    drawn = []
    for at, ((metric, *_), lines) in enumerate(found.items()):
        given = [_curve(label, styles[label], points) for label, points in lines.items()]
        log = higher_is_better(metric) is False
        drawn.append(curves(f"metric-{at}", f"{metric} over training", given, log=log))
    return drawn


def _measured(subject: Subject) -> list[tuple[float, Measured]]:
    """Results of a training, each at its kimg, but for parts of metrics."""
    found = [] if subject.run is None else from_run(subject.run)
    return [(nimg / 1000, result) for nimg, result in found if not result.part_of]


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
    """For each training, metric and protocol the best value on its way, in words."""
    said = []
    for subject in subjects:
        by_line: dict[_Key, list[tuple[float, Measured]]] = {}
        for kimg, measured in _measured(subject):
            if math.isfinite(measured.value):
                points = by_line.setdefault((measured.metric, *measured.defining), [])
                points.append((kimg, measured))
        for (metric, *_), points in by_line.items():
            higher = higher_is_better(metric)
            if higher is None:
                continue
            sign = -1 if higher else 1
            kimg, best = min(points, key=lambda point: sign * point[1].value)
            words = with_error(best.value, best.stderr)
            often = "once" if len(points) == 1 else f"{len(points)} times"
            said.append(
                f"{subject.label}: best {metric} {words} at {kimg:.5g} kimg, measured"
                f" {often} up to {points[-1][0]:.5g} kimg."
            )
    return said


def loss_charts(subjects: Sequence[Subject]) -> list[str]:
    """For each training losses with penalties, and scores, as HTML; empty where none is logged."""
    drawn = []
    for at, subject in enumerate(subjects):
        if subject.run is None or not subject.run.log:
            continue
        for keys, title in ((LOSSES, "losses and penalty"), (SCORES, "mean scores of D")):
            if given := terms_of(subject.run.log, keys):
                name = f"loss-{at}-{keys[0].replace('_', '-')}"
                drawn.append(curves(name, f"{subject.label}: {title}", given))
    return drawn


def terms_of(log: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Curve]:
    """The terms that are in the log, with a smoothed curve where there are enough ticks."""
    given = []
    kimg = binned([row["nimg"] / 1000 for row in log])
    for style, key in enumerate(keys):
        values = binned(seen([number_in(row, key) for row in log]).tolist())
        if any(map(math.isfinite, values)):
            window = window_of(values)
            smooth = running_mean(values, window) if window > 1 else ()
            given.append(Curve(label=key, style=style, x=kimg, y=values, smooth=smooth))
    return given


def binned(values: Sequence[float], most: int = _MOST_POINTS) -> list[float]:
    """At most `most` values: each the mean of equally many neighbours, the last of the rest.

    >>> binned([1.0, 3.0, 5.0, 5.0, 9.0], 3)
    [2.0, 5.0, 9.0]
    """
    size = -(-len(values) // most)
    if size < 2:
        return list(values)
    parts = [values[at : at + size] for at in range(0, len(values), size)]
    finite = [[x for x in part if math.isfinite(x)] for part in parts]
    return [math.fsum(part) / len(part) if part else math.nan for part in finite]
