"""Separability by attribute: the results of single attributes, and their part of the page."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stylegan_eval.report import shell
from stylegan_eval.report.charts import Values, bars, seen
from stylegan_eval.report.subjects import Subject
from stylegan_eval.report.tables import protocol
from stylegan_eval.results.measured import Measured

_SPACE = re.compile(r"ls_([zw])")


SPACES = ("z", "w")


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Attributes measured under one protocol."""

    protocol: Measured  # One of the results
    names: tuple[str, ...]  # The attributes, those least separable in w first
    results: Mapping[tuple[str, str, str], Measured]
    """By label of the generator, space and attribute."""

    @property
    def labels(self) -> list[str]:
        """The generators."""
        return list(dict.fromkeys(label for label, _, _ in self.results))

    @property
    def spaces(self) -> list[str]:
        """Which of z and w were measured."""
        measured = {space for _, space, _ in self.results}
        return [space for space in SPACES if space in measured]

    def entropy(self, label: str, space: str, name: str) -> float:
        """Conditional entropy in bits, [0, 1]; NaN where there is none."""
        row = self.results.get((label, space, name))
        return math.nan if row is None else row.value

    @property
    def troubles(self) -> list[str]:
        """Why some have no number."""
        said: dict[str, None] = {}
        for (label, space, name), row in self.results.items():
            if not math.isfinite(row.value):
                why = row.details.get("error", "not known").replace("-", " ")
                said[f"{name} in {space} of {label}: {why}"] = None
        return list(said)


def attributes_of(subjects: Sequence[Subject]) -> list[Attributes]:
    """Results of single attributes, one group for each protocol."""
    groups: dict[tuple[str, ...], dict[tuple[str, str, str], Measured]] = {}
    for subject in subjects:
        for row in subject.results:
            match = _SPACE.match(row.part_of)
            if match is not None:
                key = (row.part_of[match.end() :], *row.defining)
                groups.setdefault(key, {})[subject.label, match[1], row.part] = row
    return [_group(results) for results in groups.values()]


def _group(results: Mapping[tuple[str, str, str], Measured]) -> Attributes:
    names = list(dict.fromkeys(name for _, _, name in results))
    last = "w" if any(space == "w" for _, space, _ in results) else "z"

    def uncertainty(name: str) -> float:
        values = [
            row.value
            for (_, space, other), row in results.items()
            if (space, other) == (last, name) and math.isfinite(row.value)
        ]
        return -math.fsum(values) / len(values) if values else math.inf

    return Attributes(
        protocol=next(iter(results.values())),
        names=tuple(sorted(names, key=uncertainty)),
        results=results,
    )


def charts_of(group: Attributes, name: str, styles: Mapping[str, int]) -> list[str]:
    """Bars of each space, as HTML, with the same attributes and the same axis.

    `name`: begins the ids in the figures.
    """
    known = seen([row.value for row in group.results.values()])
    largest = float(max(np.nanmax(known, initial=0.0), 0.0)) or 1.0
    return [
        bars(
            f"{name}-{space}",
            f"Attributes in {space}",
            group.names,
            [
                Values(
                    label=label,
                    style=styles[label],
                    numbers=np.array([group.entropy(label, space, each) for each in group.names]),
                )
                for label in group.labels
            ],
            largest * 1.03,
        )
        for space in group.spaces
    ]


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
        shown.append(shell.charts(charts_of(group, f"attributes-{at}", styles)))
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
