"""The parts of a report as HTML: what was measured, and what it may be compared with."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylegan_eval.metrics import higher_is_better
from stylegan_eval.report import shell
from stylegan_eval.report.dots import dot_plots
from stylegan_eval.report.exports import copies
from stylegan_eval.report.paper import beside
from stylegan_eval.report.places import sentence
from stylegan_eval.report.shell import code
from stylegan_eval.report.subjects import Subject
from stylegan_eval.report.tables import (
    Attributes,
    Line,
    apart_note,
    attributes_of,
    charts_of,
    gallery_id,
    letters,
    line_names,
    order,
    protocol,
    undecided,
    unlike,
    value,
)
from stylegan_eval.report.verdict import verdict
from stylegan_eval.results.measured import Measured
from stylegan_eval.results.significance import LEVEL, SIGNS


def subject_heads(subjects: Sequence[Subject], *, moves: bool = False) -> list[str]:
    """Headings of the columns of generators."""
    return [
        shell.head(
            f"<b>{shell.text(subject.label)}</b><br><span>{shell.text(subject.description)}</span>",
            kind="number",
            moves=moves,
        )
        for subject in subjects
    ]


def charts(drawn: Sequence[str]) -> str:
    """Figures side by side where there is room."""
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""


_MOST_COLUMNS = 4  # generators that stand side by side


def verdict_part(lines: Sequence[Line], base: Path) -> str:
    """What stands on top of the page."""
    sentences = "".join(f"<p>{shell.text(sentence(words, base))}</p>" for words in verdict(lines))
    return f'<div class="verdict" role="note">{sentences}</div>' if sentences else ""


def summary_part(
    subjects: Sequence[Subject],
    lines: Sequence[Line],
    styles: Mapping[str, int],
    galleries: Collection[str] = (),
) -> str:
    """The table of all whole metrics: few generators are its columns, many are its rows.

    `galleries`: digests of the tables of single images that the page shows.
    """
    if not lines:
        return ""
    measured = [subject for subject in subjects if subject.results]
    known = letters(subjects)
    many = len(measured) > _MOST_COLUMNS
    cells = _Cells(measured, frozenset(galleries))
    return shell.section(
        "results",
        "Results",
        shell.note(_reading(lines, several=len(measured) > 1, many=many)),
        _by_generator(lines, cells, known) if many else _by_metric(lines, cells, known),
        copies(lines),
        _dots(lines, styles),
        *map(shell.note, _unlike(lines)),
        _undecided(lines),
        _notes(lines),
        "<h3>Protocols</h3>",
        shell.terms((known[row.defining], protocol(row)) for row in _one_of_each(subjects)),
    )


@dataclass(frozen=True)
class _Cells:
    """Cells of the generators of a table."""

    subjects: Sequence[Subject]
    galleries: Collection[str]  # Digests of the tables of single images that the page shows

    def cell(self, line: Line, subject: Subject, place: str = "") -> str:
        """A value, bold where it is one of the best; `place` is HTML that follows it."""
        row = line.cells.get(subject.label)
        if row is None:
            return shell.cell("", "", "number")
        said = f'<span class="value">{shell.text(value(row))}</span>'
        said = f"<b>{said}</b>" if subject.label in line.best else said
        key = repr(row.value) if subject.label in line.ranked else ""
        return shell.cell(said + place + self._links(row), key, "number")

    def _links(self, row: Measured) -> str:
        """Where the page shows single images of a result."""
        return "".join(
            f'<br><a href="#{gallery_id(option, row.details[option])}">{words}</a>'
            for option, words in _GALLERIES.items()
            if row.details.get(option) in self.galleries
        )


_GALLERIES = {"influence": "images that cost most", "pairs": "nearest training images"}


def _dots(lines: Sequence[Line], styles: Mapping[str, int]) -> str:
    drawn = dot_plots(lines, styles)
    if not drawn:
        return ""
    text = (
        "A dot is a value, its bar one standard error to either side; the best stands on top. A"
        " hollow dot is beyond noise of the best. The tests of the table decide, not whether bars"
        " touch."
    )
    return f'<h3>Side by side</h3>{shell.note(text)}<div class="plots">{"".join(drawn)}</div>'


def _by_metric(lines: Sequence[Line], cells: _Cells, known: Mapping[tuple[str, ...], str]) -> str:
    several = len(cells.subjects) > 1
    heads = [shell.head("metric", "text"), *subject_heads(cells.subjects, moves=several)]
    if several:
        heads.append(shell.head("order, the best first", "text"))
    heads.append(shell.head("protocol", "text"))
    return shell.table("Results", heads, (_line(line, cells, known) for line in lines))


def _by_generator(
    lines: Sequence[Line], cells: _Cells, known: Mapping[tuple[str, ...], str]
) -> str:
    heads = [shell.head("generator", "text")]
    heads += [
        shell.head(
            f"{_name(line)}<br><span>protocol {known[line.any.defining]}</span>", "number", "number"
        )
        for line in lines
    ]
    ranks = [{label: at for at, label in enumerate(line.ranked, 1)} for line in lines]
    rows = []
    for subject in cells.subjects:
        said = f"{shell.text(subject.label)}<br><span>{shell.text(subject.description)}</span>"
        row = [shell.row_name(said, subject.label)]
        for line, rank in zip(lines, ranks, strict=True):
            place = f" <span>{rank[subject.label]}.</span>" if subject.label in rank else ""
            row.append(cells.cell(line, subject, place))
        rows.append(row)
    return shell.table("Results", heads, rows, tall=True)


def _one_of_each(subjects: Sequence[Subject]) -> list[Measured]:
    """One result of each protocol, in the order of their letters."""
    rows = [row for subject in subjects for row in subject.results]
    found: dict[tuple[str, ...], Measured] = {}
    for row in rows:
        found.setdefault(row.defining, row)
    return list(found.values())


def _reading(lines: Sequence[Line], *, several: bool, many: bool) -> str:
    said = (
        "Value ± standard error of the measurement, where one is known: of other generated images,"
        " the real ones held fixed."
    )
    if not several:
        return said
    tested = sum(pair.p is not None for line in lines for pair in line.pairs)
    said += " Press a metric to order the generators by it."
    said += " After a value, its place in the order." if many else f" {SIGNS}"
    said += " Bold: the best, and what does not differ from it."
    if tested:
        pairs = f"{tested} pairs" if tested > 1 else "one pair"
        said += f" Beyond noise is p < {LEVEL:g}, by Holm's rule over {pairs} of this table."
    said += (
        " The noise of a difference holds other real images too where it is known, less what they"
        " move alike."
    )
    return said + " Another training of the same network may differ by more."


def _line(line: Line, cells: _Cells, known: Mapping[tuple[str, ...], str]) -> list[str]:
    row = [shell.row_name(_name(line), line.metric, orders=len(line.ranked) > 1)]
    row += [cells.cell(line, subject) for subject in cells.subjects]
    if len(cells.subjects) > 1:
        words = order(line)
        row.append(shell.cell(shell.text(words), words, "order"))
    letter = known[line.any.defining]
    row.append(shell.cell(letter, letter))
    return row


def _name(line: Line) -> str:
    arrow = "higher is better" if higher_is_better(line.metric) else "lower is better"
    return f'{code(line.metric)}<br><span class="better">{arrow}</span>'


def _unlike(lines: Sequence[Line]) -> list[str]:
    words = {
        "num": "number of images",
        "weights_sha256": "weights",
        "data_digest": "real images",
        "data_count": "number of real images",
    }
    return [
        f"Measured in unlike ways ({', '.join(words.get(c, c) for c in columns)}), so not compared:"
        f" the lines of {', '.join(metrics)}."
        for columns, metrics in unlike(lines).items()
    ]


def _undecided(lines: Sequence[Line]) -> str:
    words = undecided(lines)
    return f"<h3>What would settle the rest</h3>{shell.items(words)}" if words else ""


def _notes(lines: Sequence[Line]) -> str:
    labels: dict[tuple[str, str], list[str]] = {}
    for name, line in zip(line_names(lines), lines, strict=True):
        for label, row in line.cells.items():
            if row["note"]:
                labels.setdefault((name, row["note"]), []).append(label)
        if note := apart_note(line):
            labels.setdefault((name, note), []).extend(line.cells)
    said = (
        f"{name}, {', '.join(dict.fromkeys(of))}: {note}" for (name, note), of in labels.items()
    )
    return f"<h3>Before you quote a number</h3>{shell.items(said)}" if labels else ""


def paper_part(subjects: Sequence[Subject]) -> str:
    """Results beside the paper's."""
    found = beside(subjects)
    if not found:
        return ""
    heads = [
        shell.head("generator", "text"),
        shell.head("quantity", "text"),
        shell.head("here", "number", "number"),
        shell.head("the paper", "number", "number"),
        shell.head("may they be compared?", "text"),
    ]
    rows = [
        [
            shell.row_name(shell.text(each.subject), each.subject),
            shell.cell(
                f"{shell.text(each.quantity)}<br>{code(each.result.metric)}", each.quantity, "how"
            ),
            shell.cell(shell.text(value(each.result)), repr(each.result.value), "number"),
            shell.cell(
                f"{shell.text(each.published.printed)}<br><span>{shell.text(each.where)}</span>",
                each.published.printed,
                "number how" if each.same else "number how published",
            ),
            shell.cell(shell.text(each.remark), each.remark, "how"),
        ]
        for each in found
    ]
    return shell.section(
        "paper",
        "Beside the paper",
        shell.note(
            "Karras, Laine, Aila: A Style-Based Generator Architecture for Generative Adversarial"
            " Networks, CVPR 2019, and the official README; numbers of the same configuration. A"
            " number in another unit is shown to remind of what the paper measured, no more."
        ),
        shell.table("Results beside the paper's", heads, rows),
    )


def attributes_part(subjects: Sequence[Subject], styles: Mapping[str, int]) -> str:
    """Separability by attribute."""
    groups = attributes_of(subjects)
    if not groups:
        return ""
    shown = []
    for at, group in enumerate(groups):
        if len(groups) > 1:
            shown.append(f"<h3>{shell.text(', '.join(group.labels))}</h3>")
        shown.append(shell.note(protocol(group.protocol)))
        shown.append(charts(charts_of(group, f"attributes-{at}", styles)))
        shown.append(_attribute_table(group))
        if group.troubles:
            shown.append(shell.note(f"No number: {'; '.join(group.troubles)}."))
    apart = (
        "Groups were measured by unlike classifiers or protocols and are not compared."
        if len(groups) > 1
        else ""
    )
    return shell.section(
        "attributes",
        "Separability by attribute",
        shell.note(
            "Bits that remain unknown of the classifier's verdict when one knows on which side of a"
            " hyperplane the latent lies: 0 is perfectly separable, a cross is no number. A space's"
            " score is 2 to the sum over attributes."
        ),
        shell.note(apart),
        *shown,
    )


def _attribute_table(group: Attributes) -> str:
    columns = [(label, space) for label in group.labels for space in group.spaces]
    heads = [shell.head("attribute", "text")]
    heads += [
        shell.head(f"<b>{shell.text(label)}</b><br><span>in {space}</span>", "number", "number")
        for label, space in columns
    ]
    rows = []
    for name in group.names:
        cells = [shell.row_name(shell.text(name), name)]
        for label, space in columns:
            row = group.results.get((label, space, name))
            if row is None or not math.isfinite(row.value):
                cells.append(shell.cell("none" if row else "", "", "number"))
                continue
            accuracy = row.details.get("accuracy", "")
            said = f"{row.value:.3f} <span>({shell.text(accuracy)})</span>"
            cells.append(shell.cell(said, repr(row.value), "number"))
        rows.append(cells)
    caption = "Bits, and in brackets the accuracy of the hyperplane."
    return shell.note(caption) + shell.table("Separability by attribute", heads, rows)
