"""Pictures of runs: curves over kimg, the newest sample sheet, and the sheets over time."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stylegan.png import KEYWORD, save_png
from stylegan.sample.canvas import Pixels, captioned, framed
from stylegan.sample.film import check_video, write_video
from stylegan.training.comparison import draw_comparison
from stylegan.training.status import RunStatus
from stylegan_eval.engine.files import atomic_write, check_writable
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.results.plotting import STYLES, empty_figure, number_in, say, title_and_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHEET = re.compile(r"fakes-(\d+)(?:_(\d{3}))?\.png")
ROWS = 12  # of the contact sheet, at most
FPS = 4.0  # of a film
_CELL = 32  # pixels: smaller images are enlarged to about this size


def draw(statuses: Sequence[RunStatus], path: Path, command: str) -> None:
    """Write a picture of a run, or of the curves of several, as PNG; whole or not at all."""
    check_writable(path)
    try:
        figure = empty_figure(15, 8.5)
    except ImportError as error:
        raise UserError(
            "status -o draws with a package that is not installed: pip install matplotlib, or"
            " leave -o out"
        ) from error
    if len(statuses) > 1:
        draw_comparison(statuses, figure)
    else:
        _draw_run(statuses[0], figure)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", metadata={KEYWORD: command})


def _draw_run(status: RunStatus, figure: "Figure") -> None:
    axes = figure.subplots(2, 3)
    _curves(axes[0, 0], status, ("loss_D", "loss_G", "r1", "gp"), "losses and penalty")
    _curves(axes[0, 1], status, ("score_real", "score_fake"), "mean scores of D")
    _metric(axes[0, 2], status)
    _curves(axes[1, 0], status, ("img_per_s",), "images per second")
    _curves(axes[1, 1], status, ("peak_memory_mib",), "peak memory, MiB")
    axes[1, 1].set_ylim(bottom=0)
    _sheet(axes[1, 2], status)
    total = status.config.schedule.total_kimg
    figure.suptitle(
        f"{status.folder.absolute().name}: configuration {status.config.name},"
        f" {status.config.resolution}x{status.config.resolution}, kimg {status.nimg / 1000:.1f} of"
        f" {total:g}, {status.state}"
    )


def _curves(axes: "Axes", status: RunStatus, keys: Sequence[str], title: str) -> None:
    """One line per column of the log that is there."""
    kimg = [row["nimg"] / 1000 for row in status.rows]
    drawn = 0
    for key, (colour, dashes) in zip(keys, STYLES, strict=False):
        values = [number_in(row, key) for row in status.rows]
        if not all(map(math.isnan, values)):
            marker = "o" if len(values) < 3 else ""
            axes.plot(kimg, values, dashes, color=colour, label=key, lw=1.3, marker=marker)
            drawn += 1
    _furnish(axes, status, title)
    if drawn > 1:
        axes.legend(fontsize=8)
    elif not drawn:
        say(axes, "nothing logged yet")


def _metric(axes: "Axes", status: RunStatus) -> None:
    """Curve of the metric that decides which checkpoint is the best, or of the first measured."""
    if not status.metrics:
        _furnish(axes, status, "metrics")
        say(axes, "none measured")
        return
    name = (status.best or status.metrics[0]).get("metric")
    rows = [row for row in status.metrics if row.get("metric") == name]
    colour, _ = STYLES[0]
    values = [number_in(row, "value") for row in rows]
    axes.plot([row["nimg"] / 1000 for row in rows], values, "-o", color=colour, ms=4)
    if status.best is not None:
        label = f"best, {status.best['value']:.4g}"
        axes.plot(
            [status.best["kimg"]], [status.best["value"]], "*", color=STYLES[1][0], ms=14,
            label=label,
        )  # fmt: skip
        axes.legend(fontsize=8)
    _furnish(axes, status, str(name))


def _furnish(axes: "Axes", status: RunStatus, title: str) -> None:
    """Title, grid, and fades as grey bands with the resolution they lead to."""
    title_and_grid(axes, title)
    end = max(status.nimg / 1000, 1e-3)
    axes.set_xlim(0, end * 1.02)
    for phase in status.phases:
        start = phase.cost.point.nimg / 1000
        if phase.cost.fades and start < end:
            stop = min(start + phase.cost.images / 1000, end)
            axes.axvspan(start, stop, color="0.9", zorder=0)
            axes.annotate(
                f"{phase.cost.point.resolution}", (start, 0.99), fontsize=7, color="0.4",
                xycoords=("data", "axes fraction"), va="top", xytext=(2, 0),
                textcoords="offset points",
            )  # fmt: skip


def _sheet(axes: "Axes", status: RunStatus) -> None:
    axes.set_axis_off()
    for _, path in reversed(sheets_in(status.folder)):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGBA"))
        except OSError:  # damaged, or pruned this very moment
            continue
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(path.name, fontsize=10)
        return
    say(axes, "no sample sheet")


def sheets_in(folder: Path) -> list[tuple[float, Path]]:
    """Sheets of a run by kimg, oldest first."""
    names = [(_SHEET.fullmatch(path.name), path) for path in folder.glob("fakes-*.png")]
    return sorted((int(m[1]) + int(m[2] or 0) / 1000, path) for m, path in names if m is not None)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, evenly spread, with the first and the last.

    >>> evenly(3, 12), evenly(10, 4)
    ([0, 1, 2], [0, 3, 6, 9])
    """
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def write_sheets(status: RunStatus, path: Path, command: str) -> None:
    """Write a run's sheets to a PNG, a row for each snapshot, or a film of whole sheets."""
    check_writable(path)
    sheets = sheets_in(status.folder)
    if not sheets:
        raise UserError(f"{status.folder} has no sample sheets (fakes-*.png) yet")
    size = status.config.resolution
    scale = max(1, math.ceil(_CELL / size))
    if path.suffix.lower() == ".png":
        chosen = [sheets[k] for k in evenly(len(sheets), ROWS)]
        rows = [_read(sheet, size)[:size] for _, sheet in chosen]
        texts = [f"kimg {kimg:.1f}" for kimg, _ in chosen]
        save_png(path, framed(np.concatenate(rows), [], texts, scale), command)
        return
    check_video(path, FPS)

    def frames() -> Iterator[Pixels]:
        for kimg, sheet in sheets:
            yield captioned(_read(sheet, size), f"kimg {kimg:.1f}", scale)

    write_video(path, frames(), fps=FPS, loop=True, command=command)


def _read(path: Path, size: int) -> Pixels:
    """A sheet [H, W, C] of images of `size` pixels."""
    with parsing(path, "no sample sheet", "delete it"), Image.open(path) as image:
        pixels = np.asarray(image)
        if min(pixels.shape[:2]) < size or pixels.shape[1] % size:
            raise UserError(f"it has {image.width}x{image.height} pixels, not {size}x{size} images")
    return pixels if pixels.ndim == 3 else pixels[:, :, None]
