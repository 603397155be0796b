"""The report as Markdown, its pictures by relative links."""

import html
import re
from collections.abc import Sequence

from benchmarks.report.findings import family, findings
from benchmarks.report.pictures import Pictures
from benchmarks.report.tables import Cell, Section
from benchmarks.report.words import (
    cell_troubles,
    cell_value,
    facts,
    legend,
    published_words,
)


def markdown(parts: Sequence[Section], pictures: Sequence[Pictures]) -> str:
    """The whole report.

    Parameters
    ----------
    parts : sequence of Section
        Its sections.
    pictures : sequence of Pictures
        Those of each section.
    """
    blocks = ["# The paper's tables, measured"]
    for section, drawn in zip(parts, pictures, strict=True):
        blocks += _section(section, drawn)
    return "\n\n".join(blocks) + "\n"


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also inside a table."""
    one_line = " ".join(text.split())
    marked = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", one_line)
    return html.escape(marked, quote=False)


def _section(section: Section, pictures: Pictures) -> list[str]:
    blocks = [f"## {plain(section.request.title)}", _code(section.request.command)]
    blocks.append("\n".join(f"- {plain(word)}: {plain(said)}" for word, said in facts(section)))
    blocks.append("\n".join(_table(section)))
    blocks.append("\n".join(plain(said) + "  " for said in legend(section)).rstrip())
    found = findings(section)
    if found:
        blocks.append("### What differs by more than noise")
        blocks += [plain(family(section))] if family(section) else []
        for column in found:
            blocks.append(f"**{plain(column.heading)}**, from best to worst: {plain(column.order)}")
            blocks.append("\n".join(f"- {plain(said)}" for said in column.sentences))
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


def _code(command: str) -> str:
    return "\n".join("    " + line for line in command.splitlines())


def _table(section: Section) -> list[str]:
    shown = [published_words(section, at) for at in range(len(section.columns))]
    head = ["", ""]
    for column, published in zip(section.columns, shown, strict=True):
        head += [plain(column.heading), *([plain(column.paper_heading)] if published else [])]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for line in section.lines:
        row = [plain(line.key), plain(line.label + (f", {line.space}" if line.space else ""))]
        for cell, published in zip(line.cells, shown, strict=True):
            row.append(_cell(cell, section.common_n))
            if published:
                row.append(published.get(line.key, ""))
        rows.append(row)
    return ["| " + " | ".join(row) + " |" for row in rows]


def _cell(cell: Cell | None, common_n: int | None) -> str:
    if cell is None:
        return ""
    said = [cell_value(cell, common_n), *(words for _, words in cell_troubles(cell))]
    return "; ".join(plain(words) for words in said if words)
