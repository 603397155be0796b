"""Writes a report: CSV, Markdown, one page and its pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.outcomes import Outcome
from benchmarks.report.frames import results_frame, tables_frame
from benchmarks.report.markdown import markdown
from benchmarks.report.page import page
from benchmarks.report.pictures import draw_pictures, slugs
from benchmarks.report.tables import sections
from stylegan_eval.files import atomic_write
from stylegan_eval.loading import pick_device
from stylegan_eval.names import csv_text

if TYPE_CHECKING:
    import pandas as pd


def write_report(outcomes: Sequence[Outcome], out: Path) -> list[Path]:
    """Write the report of these outcomes into a folder; an earlier report there is replaced.

    Parameters
    ----------
    outcomes : sequence of Outcome
        In order: tables, lines as in the paper, cells, seeds.
    out : Path
        Folder; made when absent.

    Returns
    -------
    list of Path
        The files written: results.csv, tables.csv, report.md, index.html, then the pictures.

    Raises
    ------
    UserError
        The folder cannot be written.
    """
    device = pick_device("auto")
    parts = sections(outcomes)
    pictures = [
        draw_pictures(part, name, [o for o in outcomes if o.request == part.request], device)
        for part, name in zip(parts, slugs(parts), strict=True)
    ]
    files = {
        "results.csv": _csv(results_frame(outcomes)),
        "tables.csv": _csv(tables_frame(parts)),
        "report.md": markdown(parts, pictures).encode(),
        "index.html": page(parts, pictures).encode(),
    }
    for drawn in pictures:
        files |= {picture.name: picture.png for picture in drawn.drawn if picture.png is not None}
    written = []
    for name, content in files.items():
        with atomic_write(out / name) as temporary:
            temporary.write_bytes(content)
        written.append(out / name)
    for kind in ("*-samples-*.png", "*-distance.png", "*-losses.png"):  # of an earlier report
        for path in out.glob(kind):
            if path.name not in files:
                path.unlink()
    return written


def _csv(frame: "pd.DataFrame") -> bytes:
    """A frame as CSV; rows are called '+ Add noise inputs', which a spreadsheet would run."""
    safe = frame.map(lambda cell: csv_text(cell) if isinstance(cell, str) else cell)
    return safe.to_csv(index=False).encode()
