"""Separability by attribute: what is left uncertain when one knows the side of the hyperplane."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stylegan_eval.report.charts import Values, bars, seen
from stylegan_eval.report.measured import Measured
from stylegan_eval.report.subjects import Subject

_SPACE = re.compile(r"ls_([zw])")
SPACES = ("z", "w")


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Attributes measured under one protocol.

    Attributes
    ----------
    protocol : Measured
        One of the results.
    names : tuple of str
        The attributes, those least separable in w first.
    results : mapping
        By label of the generator, space and attribute.
    """

    protocol: Measured
    names: tuple[str, ...]
    results: Mapping[tuple[str, str, str], Measured]

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
    """Results of single attributes, one group for each protocol.

    Parameters
    ----------
    subjects : sequence of Subject
        The generators.
    """
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

    Parameters
    ----------
    group : Attributes
        Measured under one protocol.
    name : str
        Begins the ids in the figures.
    styles : mapping
        Number of the colour of each generator.
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
