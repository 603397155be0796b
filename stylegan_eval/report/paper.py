"""Results beside the paper's numbers, compared only where they are the same quantity."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from stylegan_eval.report import shell
from stylegan_eval.report.shell import code, place
from stylegan_eval.report.subjects import Subject
from stylegan_eval.report.tables import value
from stylegan_eval.results.measured import Measured
from stylegan_eval.results.published import (
    PUBLISHED_NUM,
    Place,
    Published,
    has_published_unit,
    published_numbers,
)
from stylegan_eval.results.results import count_of

_OFFICIAL = "classifiers-official"
_MAIN = "FFHQ"  # of the paper's two data sets the one that has all numbers
_PATH_OR_SEPARABILITY = re.compile(r"(ppl|ls)_([zw])(full|end)?(?![a-z])")
_FRECHET = re.compile(r"f(i)?d(?![a-z])")
# Drawn otherwise, or a number made of others: not what the tables hold.
_ELSE = re.compile(r"_floor|_inf|mixing:|psi:|[\[,]exact")
QUANTITIES: Mapping[str, str] = MappingProxyType(
    {
        "fid": "FID",
        "ppl_full": "full path length",
        "ppl_end": "path length of the ends",
        "separability": "separability",
    }
)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A result beside a published number of the same quantity and configuration."""

    subject: str  # Label of the generator
    result: Measured  # What was measured
    published: Published  # What is printed
    same: bool  # Whether it is the paper's unit and protocol; the images are others all the same

    @property
    def quantity(self) -> str:
        """The quantity of both, in words."""
        place = self.published.place
        space = f" in {place.space}" if place.space else ""
        return f"{QUANTITIES[place.metric]}{space}"

    @property
    def where(self) -> str:
        """Where the published number stands."""
        place = self.published.place
        table = "official README" if place.table == "readme" else f"Table {place.table}"
        return f"{place.dataset} at 1024x1024, {table}"

    @property
    def remark(self) -> str:
        """How far the two may be compared."""
        if not self.same:
            return f"not comparable: {self.result.metric} is another unit"
        data = place(self.result["data"], Path()) if self.result["data"] else ""
        said = f"same protocol, other images{f' ({data})' if data else ''}"
        num, published = self.result["num"], PUBLISHED_NUM.get(self.published.place.metric)
        if published is None or num == str(published):
            return said
        return f"{said}, {num} {self._counted} in place of {published}"

    @property
    def _counted(self) -> str:
        return "images" if self.published.place.metric == "separability" else "pairs"


def beside(subjects: Sequence[Subject]) -> list[Beside]:
    """Results for which the paper prints a number of the same configuration.

    Generators of no known configuration have none. Results are by generator, then as
    printed; what may be compared first.
    """
    found = [each for subject in subjects for each in _of_subject(subject)]
    return sorted(found, key=lambda each: not each.same)


def _of_subject(subject: Subject) -> Iterator[Beside]:
    if not subject.config:
        return
    known: set[tuple[str, ...]] = set()
    for published in published_numbers():
        place = published.place
        kind = (place.metric, place.space, place.dataset)
        # Each number once: the tables repeat themselves, and the README repeats them in digits.
        if published.config != subject.config or kind in known or place.table == "lsun":
            continue
        if place.condition not in ("", "latents=1"):
            continue
        known.add(kind)
        for row in _results(subject, place):
            same = _same(place.metric, row)
            yield Beside(subject=subject.label, result=row, published=published, same=same)


def _results(subject: Subject, place: Place) -> list[Measured]:
    """Results of the quantity at a place: those of its unit, else one that may remind of it."""
    found = [
        row
        for row in subject.results
        if quantity_of(row.metric) == (place.metric, place.space) and math.isfinite(row.value)
    ]
    same = [row for row in found if _same(place.metric, row)]
    if same or place.dataset != _MAIN:
        return same
    return sorted(found, key=lambda row: -count_of(row.cells))[:1]


def quantity_of(metric: str) -> tuple[str, str] | None:
    """The paper's name of a metric, and the space, whatever its unit; None if it has none.

    >>> quantity_of("ppl_wfull[st-lpips-vgg]"), quantity_of("fd_dinov2-vitl14")
    (('ppl_full', 'w'), ('fid', ''))
    """
    if _ELSE.search(metric) or "/" in metric:
        return None
    if match := _PATH_OR_SEPARABILITY.match(metric):
        kind, space, sampling = match.groups()
        if (kind == "ppl") == bool(sampling):
            return ("separability" if kind == "ls" else f"ppl_{sampling}"), space
    return ("fid", "") if _FRECHET.match(metric) else None


def _same(metric: str, row: Measured) -> bool:
    if metric == "separability" and row["detector"] != _OFFICIAL:
        return False
    return has_published_unit(metric, row.metric)


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
