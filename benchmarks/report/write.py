"""Write a report as CSV, Markdown and one HTML page."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from benchmarks.outcomes import Outcome
from benchmarks.report.findings import family, findings
from benchmarks.report.pictures import Pictures, distance_chart, draw_pictures, loss_charts, slugs
from benchmarks.report.tables import (
    Cell,
    Column,
    Section,
    TableRow,
    cell_troubles,
    cell_value,
    facts,
    legend,
    notes,
    sections,
)
from stylegan_eval.engine.device import pick_device
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import csv_text
from stylegan_eval.report import shell
from stylegan_eval.report.curves import SMOOTHED
from stylegan_eval.report.shell import charts, without_private_folders

if TYPE_CHECKING:
    import pandas as pd

_RESULT_COLUMNS = (
    *("table", "scale", "dataset", "kimg", "data", "line", "label", "space", "metric"),
    *("condition", "seed", "state", "reason", "value", "stderr", "measured_as", "protocol", "note"),
    *("published", "training", "network", "trained_kimg", "training_seconds", "machine"),
)
_COUNTED = ("undefined", "failed", "running", "waiting")  # states without a number
_SUMMARY_COLUMNS = (
    *("table", "scale", "dataset", "kimg", "line", "label", "space", "metric", "condition"),
    *("measured_as", "mean", "std", "n", "measuring_stderr", "published", "published_unit"),
    *(*_COUNTED, "reason"),
)
_INTRO = """<p class="note">Karras, Laine, Aila: <cite>A Style-Based Generator Architecture for \
Generative Adversarial Networks</cite>, CVPR 2019. Click a column's heading to sort by it.</p>"""
_FOOTER = """<p>The same in tables.csv (one row per cell), results.csv (one row per cell and seed) \
and report.md.</p>"""


def results_frame(outcomes: Sequence[Outcome]) -> "pd.DataFrame":
    """Every cell of every seed, one row each, in the order given."""
    import pandas as pd

    return pd.DataFrame([_result(outcome) for outcome in outcomes], columns=list(_RESULT_COLUMNS))


def _result(o: Outcome) -> dict[str, object]:
    of_request = ("table", "scale", "dataset", "kimg", "data")
    row: dict[str, object] = {name: vars(o.request)[name] for name in of_request}
    row |= {name: value for name, value in vars(o).items() if name in _RESULT_COLUMNS}
    row["training"] = "" if o.training is None else o.training.name
    if o.training is not None:
        row["network"] = o.training.network
        row["trained_kimg"] = o.training.kimg
        row["training_seconds"] = o.training.seconds
        row["machine"] = o.training.machine
    return row


def tables_frame(parts: Sequence[Section]) -> "pd.DataFrame":
    """One row per cell: mean and spread over seeds beside the published number."""
    import pandas as pd

    rows = [
        _summary(part, line, column, cell)
        for part in parts
        for line in part.lines
        for column, cell in zip(part.columns, line.cells, strict=True)
        if cell is not None
    ]
    return pd.DataFrame(rows, columns=list(_SUMMARY_COLUMNS))


def _summary(part: Section, line: TableRow, column: Column, cell: Cell) -> dict[str, object]:
    sample, request = cell.sample, part.request
    row: dict[str, object] = {
        "table": request.table,
        "scale": request.scale,
        "dataset": request.dataset,
        "kimg": request.kimg,
        "line": line.key,
        "label": line.label,
        "space": line.space,
        "metric": column.metric,
        "condition": column.condition,
        "measured_as": "; ".join(dict.fromkeys(o.measured_as for o in cell.done)),
        "n": 0 if sample is None else len(sample.values),
        "published": cell.published,
        "published_unit": column.published_unit,
        "reason": "; ".join(
            [*dict.fromkeys(o.reason for o in cell.outcomes if o.reason), *_no_mean(cell)]
        ),
    }
    row |= {state: len(cell.seeds(state)) for state in _COUNTED}
    if sample is not None:
        row |= {"mean": sample.mean, "std": sample.std, "measuring_stderr": sample.measuring}
    return row


def _no_mean(cell: Cell) -> list[str]:
    return [f"measured in unlike ways ({'; '.join(cell.unlike)})"] if cell.unlike else []


def markdown(parts: Sequence[Section], pictures: Sequence[Pictures]) -> str:
    """The whole report."""
    blocks = ["# The paper's tables, measured"]
    for section, drawn in zip(parts, pictures, strict=True):
        blocks += _markdown_section(section, drawn)
    return "\n\n".join(blocks) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also inside a table."""
    one_line = " ".join(text.split())
    marked = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", one_line)
    return html.escape(marked, quote=False)


def _markdown_section(section: Section, pictures: Pictures) -> list[str]:
    blocks = [
        f"## {plain(section.request.title)}",
        indent(without_private_folders(section.request.command), "    "),
    ]
    blocks.append("\n".join(f"- {plain(word)}: {plain(text)}" for word, text in facts(section)))
    blocks.append("\n".join(_markdown_table(section)))
    blocks.append("\n".join(plain(text) + "  " for text in legend(section)).rstrip())
    if noted := notes(section):
        blocks += ["### Before you quote a number", "\n".join(f"- {plain(each)}" for each in noted)]
    columns = findings(section)
    if columns:
        blocks.append("### What differs by more than noise")
        blocks += [plain(family(section))] if family(section) else []
        for column in columns:
            blocks.append(f"**{plain(column.heading)}**, from best to worst: {plain(column.order)}")
            blocks.append("\n".join(f"- {plain(text)}" for text in column.sentences))
    if pictures.samples:
        blocks.append("### Samples, the same latents for each network, not truncated")
        for picture in pictures.samples:
            blocks.append(
                f"{plain(picture.caption)}\n\n![{plain(picture.alt)}]({picture.name})"
                if picture.png is not None
                else f"{plain(picture.caption)}: {plain(picture.alt)}"
            )
    if pictures.curves:
        blocks.append("### Training")
        blocks += [f"![{plain(picture.alt)}]({picture.name})" for picture in pictures.curves]
    return [block for block in blocks if block]


def _markdown_table(section: Section) -> list[str]:
    head = ["", ""]
    for column in section.columns:
        head += [
            plain(column.heading),
            *([plain(column.paper_heading)] if column.published else []),
        ]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for line in section.lines:
        row = [plain(line.key), plain(line.label + (f", {line.space}" if line.space else ""))]
        for cell, column in zip(line.cells, section.columns, strict=True):
            row.append(_cell(cell, section.common_n))
            if column.published:
                row.append(column.published_words.get(line.key, ""))
        rows.append(row)
    return ["| " + " | ".join(row) + " |" for row in rows]


def _cell(cell: Cell | None, common_n: int | None) -> str:
    if cell is None:
        return ""
    parts = [cell_value(cell, common_n), *(words for _, words in cell_troubles(cell))]
    return "; ".join(plain(words) for words in parts if words)


def page(parts: Sequence[Section], pictures: Sequence[Pictures]) -> str:
    """The whole page."""
    names = slugs(parts)
    return shell.page(
        "The paper's tables, measured",
        intro=without_private_folders(f"{_INTRO}\n{_contents(parts, names)}"),
        main=without_private_folders("\n".join(map(_section, parts, names, pictures))),
        footer=_FOOTER,
    )


def _contents(parts: Sequence[Section], names: Sequence[str]) -> str:
    if len(parts) < 2:
        return "" if parts else "<p>Nothing is measured yet.</p>"
    entries = (
        (name, f"{shell.text(part.request.title)}, {shell.text(part.request.scale)}")
        for part, name in zip(parts, names, strict=True)
    )
    return shell.contents("Tables", entries)


def _section(section: Section, name: str, pictures: Pictures) -> str:
    request = section.request
    return shell.section(
        name,
        request.title,
        shell.command(request.command),
        shell.terms(facts(section)),
        _table(section),
        *map(shell.note, legend(section)),
        _notes(section),
        _findings(section),
        _samples(pictures),
        _curves(section, name),
    )


def _table(section: Section) -> str:
    heads = [shell.head("line", "number"), shell.head("as the paper calls it", "text")]
    for column in section.columns:
        heads.append(shell.head(shell.text(column.heading), "number", "number"))
        if column.published:
            words = shell.text(column.paper_heading)
            heads.append(shell.head(words, "number", "number published"))
    rows = (_row(at, line, section) for at, line in enumerate(section.lines))
    return shell.table(section.request.title, heads, rows)


def _row(at: int, line: TableRow, section: Section) -> list[str]:
    space = f" <span>in {shell.text(line.space)}</span>" if line.space else ""
    cells = [
        shell.row_name(shell.text(line.key), str(at)),
        shell.cell(f"{shell.text(line.label)}{space}", line.label, "label"),
    ]
    for cell, column in zip(line.cells, section.columns, strict=True):
        cells.append(_measured(cell, section.common_n))
        if column.published:
            words = column.published_words.get(line.key, "")
            cells.append(shell.cell(words, words, "number published"))
    return cells


def _measured(cell: Cell | None, common_n: int | None) -> str:
    if cell is None:
        return shell.cell("", "", "number")
    key = "" if cell.sample is None else repr(cell.sample.mean)
    value = cell_value(cell, common_n)
    parts = [f'<span class="value">{shell.text(value)}</span>'] if value else []
    parts += [
        f'<span class="{state}">{shell.text(words)}</span>' for state, words in cell_troubles(cell)
    ]
    return shell.cell("".join(parts), key, "number")


def _notes(section: Section) -> str:
    noted = notes(section)
    return f"<h3>Before you quote a number</h3>{shell.items(noted)}" if noted else ""


def _findings(section: Section) -> str:
    columns = findings(section)
    if not columns:
        return ""
    parts = ["<h3>What differs by more than noise</h3>", shell.note(family(section))]
    for column in columns:
        parts.append(f"<h4>{shell.text(column.heading)}</h4>")
        parts.append(f"<p>From best to worst: {shell.text(column.order)}</p>")
        parts.append(shell.items(column.sentences))
    return "\n".join(part for part in parts if part)


def _samples(pictures: Pictures) -> str:
    if not pictures.samples:
        return ""
    shown = "\n".join(picture.html("samples") for picture in pictures.samples)
    text = "The same latents for each network, not truncated (psi 1), uncurated."
    return f'<h3>Samples</h3>\n{shell.note(text)}\n<div class="sheets">{shown}</div>'


def _curves(section: Section, name: str) -> str:
    measured = distance_chart(name, section.trainings)
    losses = loss_charts(name, section.trainings)
    if not measured and not losses:
        return ""
    smoothing = f'<p class="note smoothing">{SMOOTHED}</p>' if losses else ""
    return f"<h3>Training, a line per seed</h3>\n{charts(measured)}{smoothing}\n{charts(losses)}"


def write_report(outcomes: Sequence[Outcome], out: Path) -> list[Path]:
    """Write results.csv, tables.csv, report.md, index.html and pictures, replacing a report."""
    before = _pictures_of(out / "report.md")
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
    for name in before - files.keys():
        (out / name).unlink(missing_ok=True)
    return written


def _pictures_of(report: Path) -> set[str]:
    """Names of the pictures of an earlier report; other files of its folder are the user's."""
    text = report.read_text(encoding="utf-8", errors="replace") if report.is_file() else ""
    return set(re.findall(r"\]\(([A-Za-z0-9._-]+\.png)\)", text))


def _csv(frame: "pd.DataFrame") -> bytes:
    """A frame as CSV; rows are called '+ Add noise inputs', which a spreadsheet would run."""
    safe = frame.map(lambda cell: csv_text(cell) if isinstance(cell, str) else cell)
    return safe.to_csv(index=False).encode()
