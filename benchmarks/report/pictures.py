"""Sample sheets and training curves of a report, as PNG files and as inline SVG."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.outcomes import Outcome, TrainingState
from benchmarks.report.tables import Section
from stylegan_eval.errors import UserError
from stylegan_eval.report import shell
from stylegan_eval.report.charts import Curve, curves
from stylegan_eval.report.curves import LOSSES, SCORES, terms_of
from stylegan_eval.results.plotting import (
    STYLES,
    empty_figure,
    number_in,
    running_mean,
    say,
    title_and_grid,
    window_of,
)
from stylegan_eval.results.run_folder import LOG, METRICS_FILE, read_rows

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


Rows = Sequence[Mapping[str, Any]]
_LARGEST = 300_000  # bytes of one picture
SEED = 0
IMAGES = 16
COLUMNS = 8
_SIDES = (128, 64, 32)  # pixels of an image on a sheet: the first whose sheet is a small file


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture, or the reason that there is none."""

    name: str  # Its file: letters, digits, '.', '_' and '-'
    caption: str
    alt: str
    """caption, alt: What people read above it and instead of it."""
    png: bytes | None  # None where it could not be drawn; then `alt` says why

    def html(self, kind: str) -> str:
        """The picture under its caption, or why there is none."""
        caption = f"<figcaption>{shell.text(self.caption)}</figcaption>"
        if self.png is None:
            inner = f'<p class="failed">{shell.text(self.alt)}</p>'
        else:
            uri = shell.data_uri(self.png)
            inner = f'<img src="{uri}" alt="{shell.text(self.alt)}" data-zoom>'
        return f'<figure class="{kind}">{caption}{inner}</figure>'


def by_network(trainings: Sequence[TrainingState]) -> dict[str, list[TrainingState]]:
    """Trainings of each network, both in their first order."""
    groups: dict[str, list[TrainingState]] = {}
    for training in trainings:
        groups.setdefault(training.network, []).append(training)
    return groups


def distance_curves(trainings: Sequence[TrainingState]) -> bytes | None:
    """Distance over kimg as PNG: a colour per network, a thin line per seed; None without any."""
    name, lines = distance_lines(trainings)
    if not lines:
        return None
    figure = empty_figure(8, 4.5)
    axes = figure.subplots()
    labelled: set[str] = set()
    for at, network, rows in lines:
        colour, dashes = STYLES[at % len(STYLES)]
        kimg = [row["nimg"] / 1000 for row in rows]
        values = [number_in(row, "value") for row in rows]
        label = "_" if network in labelled else network  # one entry of the legend for all seeds
        labelled.add(network)
        axes.plot(kimg, values, dashes, color=colour, lw=1, marker="o", ms=3, label=label)
    title_and_grid(axes, f"{name} over training, a line per seed")
    axes.set_yscale("log")
    _plain_ticks(axes)
    axes.legend(fontsize=8)
    return _png(figure)


def distance_lines(trainings: Sequence[TrainingState]) -> tuple[str, list[tuple[int, str, Rows]]]:
    """The Fréchet distance that was measured most on the way, for one unit per picture.

    With it, of each training that has any: the network's number, its name, and the rows.
    """
    measured = {training.name: _distances(training) for training in trainings}
    names = [str(row["metric"]) for rows in measured.values() for row in rows]
    name = max(dict.fromkeys(names), key=names.count, default="")
    lines = [
        (at, network, [row for row in measured[training.name] if row["metric"] == name])
        for at, (network, seeds) in enumerate(by_network(trainings).items())
        for training in seeds
    ]
    return name, [line for line in lines if line[2]]


def _distances(training: TrainingState) -> list[dict[str, Any]]:
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


def loss_curves(trainings: Sequence[TrainingState]) -> bytes | None:
    """Losses and scores over kimg as PNG: two plots per network; None when nothing is logged."""
    logs = {t.name: read_rows(t.folder / LOG)[0] for t in trainings}
    terms = {*LOSSES, *SCORES}
    groups = {
        network: [logs[t.name] for t in seeds if any(terms & row.keys() for row in logs[t.name])]
        for network, seeds in by_network(trainings).items()
    }
    groups = {network: runs for network, runs in groups.items() if runs}
    if not groups:
        return None
    figure = empty_figure(9, 0.5 + 2.1 * len(groups))
    axes = figure.subplots(len(groups), 2, squeeze=False, sharex=True)
    for (left, right), (network, runs) in zip(axes, groups.items(), strict=True):
        _terms(left, runs, LOSSES, f"{network}: losses and penalty")
        _terms(right, runs, SCORES, f"{network}: mean scores of D")
    for plot in axes[:-1].flat:
        plot.set_xlabel("")
    return _png(figure)


def _terms(axes: "Axes", runs: Sequence[Rows], keys: Sequence[str], title: str) -> None:
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
    smoothing = f", running mean of {window} ticks" if window > 1 else ""
    title_and_grid(axes, title + smoothing)
    if axes.lines:
        axes.legend(fontsize=7, framealpha=0.6)
    else:
        say(axes, "not logged")


def _png(figure: "Figure") -> bytes:
    """The figure, coarser where it would be a large file."""
    for dpi in (110, 80, 50):
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=dpi, facecolor="white")
        if file.tell() < _LARGEST:
            break
    return file.getvalue()


def sheets(name: str, outcomes: Sequence[Outcome], device: "torch.device") -> list[Picture]:
    """Samples of each network of the outcomes: of the first seed that is measured.

    A sheet without an image says why in its `alt`.
    """
    chosen: dict[str, TrainingState] = {}
    for outcome in outcomes:
        if outcome.state == "done" and outcome.training is not None:
            chosen.setdefault(outcome.training.network, outcome.training)
    drawn = []
    for at, (network, training) in enumerate(chosen.items()):
        alt, png = f"{IMAGES} samples of {network} in rows of {COLUMNS}, uncurated", None
        try:
            png = as_png(draw_samples(training, device))
        except UserError as error:
            alt = str(error)
        caption = f"{network}, seed {training.seed}, after {training.kimg:.5g} kimg"
        file = f"{name}-samples-{at}-{slug(network)}.png"
        drawn.append(Picture(name=file, caption=caption, alt=alt, png=png))
    return drawn


def draw_samples(training: TrainingState, device: "torch.device") -> "NDArray[np.uint8]":
    """uint8 images [IMAGES, 3, R, R] of the training's G_ema, not truncated.

    Image i depends on (SEED, i) alone, so all networks of one `z_dim` get the same latents.
    """
    from benchmarks.keeping import generator_of
    from stylegan.opening import load_for_evaluation
    from stylegan_eval.engine.sampling import draw, to_uint8

    if not training.folder.is_dir():
        raise UserError(f"the folder of the training {training.name} is not there")
    loaded = load_for_evaluation(generator_of(training.folder), device)
    assert loaded is not None, training.folder
    _, _, images = draw(loaded.generator, SEED, range(IMAGES), device)
    return to_uint8(images).cpu().numpy()


def as_png(images: "NDArray[np.uint8]") -> bytes:
    """Lay images [N, 3, R, R] out in rows of `COLUMNS`, twice as large where they are small."""
    from PIL import Image

    from stylegan.png import image_grid

    rows, side = -(-len(images) // COLUMNS), images.shape[-1]
    sheet = Image.fromarray(image_grid(images, COLUMNS))
    for largest in _SIDES:
        shown = 2 * side if 2 * side <= largest else min(side, largest)
        how = Image.Resampling.NEAREST if shown >= side else Image.Resampling.BOX
        file = io.BytesIO()
        sheet.resize((COLUMNS * shown, rows * shown), how).save(file, "PNG", optimize=True)
        if file.tell() < _LARGEST:
            break
    return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of one section."""

    samples: tuple[Picture, ...]
    curves: tuple[Picture, ...]

    @property
    def drawn(self) -> list[Picture]:
        """Those that are files."""
        return [picture for picture in (*self.samples, *self.curves) if picture.png is not None]


def slug(text: str) -> str:
    """Text as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "x"


def slugs(parts: Sequence[Section]) -> list[str]:
    """A name per section, all different."""
    names: list[str] = []
    for part in parts:
        request = part.request
        name = "-".join(slug(word) for word in (request.table, request.scale, request.dataset))
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names


def draw_pictures(
    section: Section, name: str, outcomes: Sequence[Outcome], device: "torch.device"
) -> Pictures:
    """Samples and curves of a section; each file's name begins with `name`."""
    networks = ", ".join(dict.fromkeys(t.network for t in section.trainings))
    curves = (
        Picture(
            name=f"{name}-distance.png",
            caption="Distance over training; the scale is logarithmic.",
            alt=f"Curves of the distance over kimg of {networks}",
            png=distance_curves(section.trainings),
        ),
        Picture(
            name=f"{name}-losses.png",
            caption="Losses and scores of the discriminator over training.",
            alt=f"Curves of losses and scores over kimg of {networks}",
            png=loss_curves(section.trainings),
        ),
    )
    return Pictures(
        samples=tuple(sheets(name, outcomes, device)),
        curves=tuple(curve for curve in curves if curve.png is not None),
    )


def distance_chart(at: str, trainings: Sequence[TrainingState]) -> list[str]:
    """A chart, as HTML, of the distance over kimg: a colour per network, a line per seed."""
    name, lines = distance_lines(trainings)
    given = [_curve(network, style, rows) for style, network, rows in lines]
    return [curves(f"{at}-distance", f"{name} over training", given, log=True)] if given else []


def _curve(network: str, style: int, rows: Rows) -> Curve:
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
