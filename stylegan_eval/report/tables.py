"""Lines of a report: the results of one metric and protocol, ranked and tested."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from stylegan_eval.metrics import higher_is_better
from stylegan_eval.report.subjects import Subject
from stylegan_eval.results.comparison import chosen_apart
from stylegan_eval.results.formatting import number, with_error
from stylegan_eval.results.measured import Measured
from stylegan_eval.results.paired import apart, freedom_of_difference, stderr_of_difference
from stylegan_eval.results.planning import settling
from stylegan_eval.results.results import DEFINING
from stylegan_eval.results.significance import (
    LEVEL,
    Comparison,
    Sample,
    all_pairs,
    holm,
    order_words,
    with_stderr,
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One metric under one protocol: all that is in it may be compared."""

    metric: str  # Name
    cells: Mapping[str, Measured]  # For the label of each generator that has it, the result
    pairs: tuple[Comparison, ...] = ()
    """Every pair of generators with a number, by label, corrected over the whole table."""

    @property
    def any(self) -> Measured:
        """One of its results: what defines the line is equal in all."""
        return next(iter(self.cells.values()))

    @property
    def higher_is_better(self) -> bool | None:
        """Whether larger is better; None where no direction is known to be."""
        return higher_is_better(self.metric)

    @property
    def sense(self) -> str:
        """The same in words."""
        words = {True: "higher is better", False: "lower is better", None: "no better direction"}
        return words[self.higher_is_better]

    @property
    def ranked(self) -> list[str]:
        """Labels of those with a number, the best first; the smallest where none is better."""
        known = {key: row.value for key, row in self.cells.items() if math.isfinite(row.value)}
        return sorted(known, key=lambda key: known[key], reverse=bool(self.higher_is_better))

    def differ(self, a: str, b: str) -> bool | None:
        """Whether two differ by more than noise; None where the noise is unknown."""
        return next(pair for pair in self.pairs if {pair.a, pair.b} == {a, b}).differ

    @property
    def best(self) -> list[str]:
        """The best, with those that do not differ from it by more than noise; none if unknown."""
        ranked = self.ranked
        if len(ranked) < 2 or self.higher_is_better is None:
            return []
        differ = {key: self.differ(ranked[0], key) for key in ranked[1:]}
        if None in differ.values():
            return []
        return [ranked[0], *(key for key in ranked[1:] if not differ[key])]


def lines_of(subjects: Sequence[Subject]) -> list[Line]:
    """Sort whole metrics into lines, in their first order; parts of a metric are elsewhere."""
    cells: dict[tuple[str, ...], dict[str, Measured]] = {}
    for subject in subjects:
        for row in subject.results:
            if not row.part_of:
                cells.setdefault((row.metric, *row.defining), {})[subject.label] = row
    names = list(dict.fromkeys(key[0] for key in cells))
    keys = sorted(cells, key=lambda key: names.index(key[0]))  # lines of a metric side by side
    pairs = [_pairs(cells[key]) for key in keys]
    corrected = iter(holm(list(itertools.chain.from_iterable(pairs))))
    return [
        Line(metric=key[0], cells=cells[key], pairs=tuple(itertools.islice(corrected, len(own))))
        for key, own in zip(keys, pairs, strict=True)
    ]


def _pairs(rows: Mapping[str, Measured]) -> list[Comparison]:
    samples = {
        key: Sample(values=(row.value,), stderrs=(row.stderr,))
        for key, row in rows.items()
        if math.isfinite(row.value)
    }
    pairs = []
    for pair in all_pairs(samples):
        both = rows[pair.a].cells, rows[pair.b].cells
        error = stderr_of_difference(*both)
        known = error is not None and pair.basis == "measurement"
        freedom = freedom_of_difference(*both)
        pairs.append(with_stderr(pair, error, freedom) if known and error else pair)
    return pairs


def order(line: Line) -> str:
    """Generators from best to worst: '<' or '>' beyond noise, '≈' within it, '?' where unknown.

    Only neighbours are said: of three, the first and the last may differ although neither differs
    from the one between.
    """
    ranked, higher = line.ranked, line.higher_is_better
    if len(ranked) < 2 or higher is None:
        return ""
    return order_words(ranked, line.differ, higher_is_better=higher)


def undecided(lines: Sequence[Line]) -> list[str]:
    """Advice on how many images would separate neighbours that noise leaves undecided."""
    level = LEVEL / max(sum(pair.p is not None for line in lines for pair in line.pairs), 1)
    found = []
    for line in lines:
        for a, b in itertools.pairwise(line.ranked):
            if line.differ(a, b) is False:
                words = settling(line.cells[a].cells, line.cells[b].cells, level)
                found += [f"{line.metric}, {a} ≈ {b}: {words}."] if words else []
    return found


def value(row: Measured) -> str:
    """The number with its standard error; digits that say nothing are left out."""
    if not math.isfinite(row.value):
        return "none"
    if row.stderr is not None:
        return with_error(row.value, row.stderr)
    said = number(row.value)
    return said.rstrip("0") if said.startswith(("0.", "-0.")) else said


def apart_note(line: Line) -> str:
    """Note if the results of a line were measured against different real images; "" if not."""
    rows = [row.cells for row in line.cells.values()]
    return chosen_apart(rows) if apart(rows) else ""


def gallery_id(option: str, digest: str) -> str:
    """Id of the part of the page that shows a table of single images."""
    return f"{option}-{re.sub(r'[^0-9a-f]', '', digest)}"


def named(lines: Sequence[Line]) -> list[tuple[str, Line]]:
    """Lines by their metric, with the letter of the protocol where several are of one."""
    again = Counter(line.metric for line in lines)
    known = _letters(line.any.defining for line in lines)
    return [
        (
            line.metric
            if again[line.metric] == 1
            else f"{line.metric} (protocol {known[line.any.defining]})",
            line,
        )
        for line in lines
    ]


def letters(subjects: Sequence[Subject], lines: Sequence[Line]) -> dict[tuple[str, ...], str]:
    """A letter for each set of values of `results.DEFINING`, in the order of the lines."""
    parts = [row.defining for subject in subjects for row in subject.results]
    return _letters([line.any.defining for line in lines] + parts)


def _letters(protocols: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    return {defining: _letter(at) for at, defining in enumerate(dict.fromkeys(protocols))}


def _letter(at: int) -> str:
    """'a' to 'z', then 'aa' and so on."""
    rest, last = divmod(at, len(ascii_lowercase))
    return (_letter(rest - 1) if rest else "") + ascii_lowercase[last]


def protocol(row: Measured) -> str:
    """The definition of a result, in words: the columns of `results.DEFINING`."""
    kind = "pairs of images" if row.metric.startswith("ppl_") else "generated images"
    said = [
        f"{_count(row['num'])} {kind}",
        *(pair.replace("=", " ") for pair in row["protocol"].split()),
    ]
    if row["detector"]:
        said.append(f"seen by {row['detector']} {row['weights_sha256'][:8]} in {row['precision']}")
    if row["data"] or row["data_digest"]:
        said.append(f"{_count(row['data_count'])} real images {row['data_digest'][:8]}")
    return ", ".join(said)


def _count(digits: str) -> str:
    return f"{int(digits):,}" if digits.isdigit() else digits


def unlike(lines: Sequence[Line]) -> dict[tuple[str, ...], list[str]]:
    """Metrics of several lines, by which of `results.DEFINING` tell their lines apart."""
    by_metric: dict[str, list[Line]] = {}
    for line in lines:
        by_metric.setdefault(line.metric, []).append(line)
    found: dict[tuple[str, ...], list[str]] = {}
    for metric, several in by_metric.items():
        columns = tuple(
            column for column in DEFINING if len({line.any[column] for line in several}) > 1
        )
        if columns:
            found.setdefault(columns, []).append(metric)
    return found
