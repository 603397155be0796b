"""Training curves of a report as inline SVG, in the ink of its page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.folder import TrainingState
from benchmarks.report.pictures import by_network, distances, most_measured
from stylegan_eval.engine.json_lines import read_rows
from stylegan_eval.report.charts import Curve, curves
from stylegan_eval.report.curves import LOSSES, SCORES, terms_of
from stylegan_eval.results.plotting import number_in
from stylegan_eval.results.run_folder import LOG


def distance_chart(at: str, trainings: Sequence[TrainingState]) -> list[str]:
    """A chart, as HTML, of the distance over kimg: a colour per network, a line per seed."""
    measured = {training.name: distances(training) for training in trainings}
    name = most_measured(measured)
    if name is None:
        return []
    given = []
    for style, (network, seeds) in enumerate(by_network(trainings).items()):
        for training in seeds:
            rows = [row for row in measured[training.name] if row["metric"] == name]
            if rows:
                given.append(_curve(network, style, rows))
    return [curves(f"{at}-distance", f"{name} over training", given, log=True)]


def _curve(network: str, style: int, rows: Sequence[Mapping[str, Any]]) -> Curve:
    errors = [number_in(row, "stderr") for row in rows]
    return Curve(
        label=network,
        style=style,
        x=[row["nimg"] / 1000 for row in rows],
        y=[number_in(row, "value") for row in rows],
        error=errors if any(map(math.isfinite, errors)) else (),
    )


def loss_charts(at: str, trainings: Sequence[TrainingState]) -> list[str]:
    """Charts, as HTML, of losses and of scores over kimg: two per network, a line per seed."""
    drawn = []
    for number, (network, seeds) in enumerate(by_network(trainings).items()):
        logs = [read_rows(training.folder / LOG)[0] for training in seeds]
        for keys, title in ((LOSSES, "losses and penalty"), (SCORES, "mean scores of D")):
            given = [curve for log in logs for curve in terms_of(log, keys)]
            if given:
                name = f"{at}-{number}-{keys[0].replace('_', '-')}"
                drawn.append(curves(name, f"{network}: {title}", given))
    return drawn
