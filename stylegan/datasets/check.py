"""Dry run of a preparation: decode every image, write nothing, report each file's fault."""

import csv
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from stylegan.datasets.prepare import LabelSource
from stylegan.datasets.resize import fits
from stylegan.datasets.sources import open_source
from stylegan.datasets.survey import Choices, Plan, make_plan, summary
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.names import csv_text
from stylegan_eval.engine.progress import follow
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header
from stylegan_eval.images.parallel import map_ordered
from stylegan_eval.images.source import Source

COLUMNS = ("file", "bytes", "width", "height", "mode", "trouble")


@dataclass(frozen=True)
class Row:
    """One image: its name, size in bytes, header if it has one, and trouble or ""."""

    name: str
    size: int
    header: Header | None
    trouble: str = ""


@dataclass(frozen=True)
class Report:
    """What a dry run found."""

    rows: tuple[Row, ...]  # One for each image, in order
    plan: Plan | None
    """What would be done if those with trouble were absent; None if no image is usable."""

    @property
    def troubled(self) -> tuple[Row, ...]:
        """The images that stand in the way."""
        return tuple(row for row in self.rows if row.trouble)


def check(
    source: Source, choices: Choices, *, workers: int | None = None, progress: bool = True
) -> Report:
    """Decode all images and compare their sizes with what is asked for."""
    threads = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        rows = map_ordered(
            pool, lambda index: _row(source, index), range(len(source)), ahead=4 * threads
        )
        found = list(follow(rows, "check", len(source), shown=progress))
    headers = tuple(row.header for row in found if row.header is not None and not row.trouble)
    if not headers:
        return Report(tuple(found), None)
    names = [row.name for row in found if not row.trouble]
    plan = make_plan(source, summary(names, headers), replace(choices, skip_small=True))
    skip = choices.skip_small or plan.crop == "lsun-wide"
    if not skip:
        found = [_sized(row, plan) for row in found]
    return Report(tuple(found), plan)


def write_report(path: Path, report: Report) -> None:
    """Write the rows as CSV, with the header `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in report.rows:
        header = row.header or Header(0, 0, "")
        name = csv_text(row.name)
        writer.writerow((name, row.size, header.width, header.height, header.mode, row.trouble))
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", errors="backslashreplace")


def check_set(
    src: Path | str,
    choices: Choices,
    *,
    labels: LabelSource = "source",
    report: Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[str]:
    """Check a set of any kind, write the report if asked, and say what would be made, in lines."""
    source = open_source(src, folder_classes=labels == "folders")
    try:
        found = check(source, choices, workers=workers, progress=progress)
    finally:
        source.close()
    if report is not None:
        write_report(report, found)
    if found.troubled or found.plan is None:
        first = found.troubled[0]
        more = f"see {report}" if report is not None else "list them with --report FILE.csv"
        raise UserError(
            f"{src}: {len(found.troubled)} of {len(found.rows)} images cannot be used,"
            f" {first.name} first: {first.trouble}; {more}"
        )
    plan = found.plan
    size = f"{plan.resolution}x{plan.resolution}"
    used = choices.resample if plan.filtered else "none"
    return [
        f"{src}: {source.kind}, all {len(found.rows)} images can be read",
        f"  would make: {len(plan.kept)} images of {size}, crop {plan.crop}, filter {used}",
    ]


def _row(source: Source, index: int) -> Row:
    name = source.names[index]
    header = None
    size = 0
    try:
        size = source.size(index)
        header = source.header(index)
        source.read(index)
    except UserError as error:
        trouble = " ".join(str(error).removeprefix(f"{source.path}: {name}: ").split())
        return Row(name, size, header, trouble)
    return Row(name, size, header)


def _sized(row: Row, plan: Plan) -> Row:
    header = row.header
    if row.trouble or header is None:
        return row
    if fits(plan.crop, header.width, header.height, plan.resolution):
        return row
    return replace(row, trouble=f"too small for {plan.resolution}")
