"""The report as one HTML page that needs no other file and asks nothing of the network."""

from collections.abc import Mapping, Sequence

from benchmarks.report.findings import family, findings
from benchmarks.report.pictures import Pictures, slugs
from benchmarks.report.tables import Cell, Line, Section
from benchmarks.report.words import (
    cell_troubles,
    cell_value,
    facts,
    legend,
    published_words,
)
from stylegan_eval.report import shell

_INTRO = """<p class="note">Karras, Laine, Aila: <cite>A Style-Based Generator Architecture for \
Generative Adversarial Networks</cite>, CVPR 2019. Click a column's heading to sort by it.</p>"""
_FOOTER = """<p>The same in tables.csv (one row per cell), results.csv (one row per cell and seed) \
and report.md.</p>"""


def page(parts: Sequence[Section], pictures: Sequence[Pictures]) -> str:
    """The whole page.

    Parameters
    ----------
    parts : sequence of Section
        Its sections.
    pictures : sequence of Pictures
        Those of each section.
    """
    names = slugs(parts)
    return shell.page(
        "The paper's tables, measured",
        intro=f"{_INTRO}\n{_contents(parts, names)}",
        main="\n".join(map(_section, parts, names, pictures)),
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
        f"<pre><code>{shell.text(request.command)}</code></pre>",
        shell.terms(facts(section)),
        _table(section),
        *map(shell.note, legend(section)),
        _findings(section),
        _samples(pictures),
        _curves(pictures),
    )


def _table(section: Section) -> str:
    shown = [published_words(section, at) for at in range(len(section.columns))]
    heads = [shell.head("line", "number"), shell.head("as the paper calls it", "text")]
    for column, published in zip(section.columns, shown, strict=True):
        heads.append(shell.head(shell.text(column.heading), "number", "number"))
        if published:
            words = shell.text(column.paper_heading)
            heads.append(shell.head(words, "number", "number published"))
    rows = (_row(at, line, shown, section.common_n) for at, line in enumerate(section.lines))
    return shell.table(section.request.title, heads, rows)


def _row(
    at: int, line: Line, shown: Sequence[Mapping[str, str]], common_n: int | None
) -> list[str]:
    space = f" <span>in {shell.text(line.space)}</span>" if line.space else ""
    cells = [
        shell.row_name(shell.text(line.key), str(at)),
        shell.cell(f"{shell.text(line.label)}{space}", line.label, "label"),
    ]
    for cell, published in zip(line.cells, shown, strict=True):
        cells.append(_measured(cell, common_n))
        if published:
            words = published.get(line.key, "")
            cells.append(shell.cell(words, words, "number published"))
    return cells


def _measured(cell: Cell | None, common_n: int | None) -> str:
    if cell is None:
        return shell.cell("", "", "number")
    key = "" if cell.sample is None else repr(cell.sample.mean)
    value = cell_value(cell, common_n)
    said = [f'<span class="value">{shell.text(value)}</span>'] if value else []
    said += [
        f'<span class="{state}">{shell.text(words)}</span>' for state, words in cell_troubles(cell)
    ]
    return shell.cell("".join(said), key, "number")


def _findings(section: Section) -> str:
    found = findings(section)
    if not found:
        return ""
    parts = ["<h3>What differs by more than noise</h3>", shell.note(family(section))]
    for column in found:
        parts.append(f"<h4>{shell.text(column.heading)}</h4>")
        parts.append(f"<p>From best to worst: {shell.text(column.order)}</p>")
        parts.append(shell.items(column.sentences))
    return "\n".join(part for part in parts if part)


def _samples(pictures: Pictures) -> str:
    if not pictures.samples:
        return ""
    shown = "\n".join(shell.figure(picture, "samples") for picture in pictures.samples)
    said = "The same latents for each network, not truncated (psi 1), uncurated."
    return f'<h3>Samples</h3>\n{shell.note(said)}\n<div class="sheets">{shown}</div>'


def _curves(pictures: Pictures) -> str:
    if not pictures.curves:
        return ""
    shown = "\n".join(shell.figure(picture, "curves") for picture in pictures.curves)
    return f"<h3>Training</h3>\n{shown}"
