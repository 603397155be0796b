"""Histograms of path lengths."""

from collections.abc import Mapping, Sequence

import numpy as np

from stylegan_eval.distances import Distances
from stylegan_eval.metrics.path_length import trimmed_mean
from stylegan_eval.report import shell
from stylegan_eval.report.charts import Values, histogram
from stylegan_eval.report.parts import code
from stylegan_eval.report.subjects import Subject
from stylegan_eval.words import number


def length_charts(
    subjects: Sequence[Subject], distances: Sequence[Distances], styles: Mapping[str, int]
) -> list[str]:
    """A histogram for each metric, as HTML; an upright line is the trimmed mean.

    Parameters
    ----------
    subjects : sequence of Subject
        The generators.
    distances : sequence of Distances
        A file belongs to the generator whose digest it has.
    styles : mapping
        Number of the colour of each generator by label.
    """
    found: dict[str, dict[str, Values]] = {}
    labels = {subject.digest: subject.label for subject in subjects if subject.digest}
    for at, one in enumerate(distances):
        label = labels.get(one.generator_digest, one.generator)
        for metric, numbers in one.lengths.items():
            style = styles.get(label, len(styles) + at)
            found.setdefault(metric, {})[label] = Values(label=label, style=style, numbers=numbers)
    drawn = []
    for at, (metric, given) in enumerate(found.items()):
        means = {label: trimmed_mean(values.numbers).mean for label, values in given.items()}
        drawn.append(histogram(f"lengths-{at}", metric, list(given.values()), means))
    return drawn


def tails(subjects: Sequence[Subject], distances: Sequence[Distances]) -> str:
    """A table of how much of each sum the longest paths are, as HTML."""
    labels = {subject.digest: subject.label for subject in subjects if subject.digest}
    rows = []
    for one in distances:
        label = labels.get(one.generator_digest, one.generator)
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
