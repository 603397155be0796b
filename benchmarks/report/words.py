"""The report in words: numbers with their errors, what differs by more than noise, what is missing.

Plain text; the page and the Markdown escape it for themselves.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report.noise import (
    LEVEL,
    Agreement,
    Comparison,
    Sample,
    agreement,
    all_pairs,
    holm,
    pooled_pairs,
    pooled_spread,
)
from benchmarks.report.tables import Cell, Column, Section


def number(value: float) -> str:
    """Four significant digits, never an exponent for what people read as a number."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = 3 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(decimals, 0)}f}" if abs(value) >= 1e-4 else f"{value:.3g}"


def with_error(value: float, error: float | None) -> str:
    """Value ± error, both to two significant digits of the error."""
    if error is None:
        return number(value)
    if error == 0 or not math.isfinite(error):
        return f"{number(value)} ± {error:g}"
    decimals = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def probability(p: float) -> str:
    """'p = 0.02', or 'p < 0.0001'."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def duration(seconds: float) -> str:
    """'3.2 h', '12 min', '40 s'."""
    if seconds >= 48 * 3600:
        return f"{seconds / 86400:.1f} days"
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def cell_value(cell: Cell, common_n: int | None = None) -> str:
    """Mean and its error, with n where it is not the common one; empty while there is none."""
    sample = cell.sample
    if sample is None:
        return ""
    n = len(sample.values)
    said = "" if n == common_n else f" (n = {n})"
    if n > 1:
        return with_error(sample.mean, sample.std) + said
    marked = "" if sample.measuring is None else "*"
    return f"{with_error(sample.mean, sample.measuring)}{marked}{said}"


def cell_troubles(cell: Cell) -> list[tuple[str, str]]:
    """What is not there: (state, words), a failure with its reason."""
    troubles = [
        ("failed", f"seed {o.seed} failed: {o.reason or 'no reason was written down'}")
        for o in cell.outcomes
        if o.state == "failed"
    ]
    troubles += [
        ("failed", f"seed {o.seed} gave no number ({o.value})")
        for o in cell.outcomes
        if o.state == "done" and o not in cell.done
    ]
    for state in ("running", "waiting"):
        seeds = cell.seeds(state)
        if seeds:
            plural = "s" if len(seeds) > 1 else ""
            troubles.append((state, f"{state} (seed{plural} {', '.join(map(str, seeds))})"))
    return troubles


def legend(section: Section) -> list[str]:
    """What the numbers of a table mean."""
    cells = [cell for line in section.lines for cell in line.cells if cell is not None]
    sizes = {len(cell.sample.values) for cell in cells if cell.sample is not None}
    said = []
    if max(sizes, default=0) > 1:
        n = section.common_n
        said.append(f"Mean ± standard deviation over {'n' if n is None else f'n = {n}'} seeds.")
    if 1 in sizes:
        said.append(
            "* One seed (n = 1): ± is the standard error of the measurement alone; how much"
            " another seed would give is not known."
        )
    if any(cell.published is not None for cell in cells):
        said.append("Under 'paper': the published value.")
    return said + _units(section.columns)


def _units(columns: Sequence[Column]) -> list[str]:
    """What must be said of a column that is not measured as the paper did."""
    said: dict[str, None] = {}
    for column in columns:
        if not column.published_unit:
            verb = "is" if len(column.names) == 1 else "are"
            said[
                f"{', '.join(column.names)} {verb} not the paper's"
                f" {column.published_heading}: compare the order, not the values."
            ] = None
        if not column.comparable:
            ways = column.protocols if column.unlike else column.measured_as
            said[
                f"{column.heading}: its cells were measured in unlike ways ({'; '.join(ways)}) and"
                " are not compared with each other."
            ] = None
    return list(said)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Sentences on one column.

    Attributes
    ----------
    heading : str
        The column.
    order : str
        Its lines from best to worst.
    sentences : tuple of str
        What differs, and the agreement with the paper.
    """

    heading: str
    order: str
    sentences: tuple[str, ...]


def findings(section: Section) -> list[Findings]:
    """What differs by more than noise, column by column; one correction over the whole table."""
    pooled = _tested(section, pooled_pairs) if _few_seeds(section) else {}
    return [
        _of_column(section, at, pairs, pooled.get(at, []))
        for at, pairs in _tested(section, all_pairs).items()
    ]


def _tested(
    section: Section, pairs_of: Callable[[Mapping[str, Sample]], list[Comparison]]
) -> dict[int, list[Comparison]]:
    """Comparisons by column, corrected over the whole table."""
    compared = [
        (at, comparison)
        for at, column in enumerate(section.columns)
        if column.comparable
        for comparison in pairs_of(section.samples(at))
    ]
    corrected = holm([comparison for _, comparison in compared])
    by_column: dict[int, list[Comparison]] = {}
    for (at, _), comparison in zip(compared, corrected, strict=True):
        by_column.setdefault(at, []).append(comparison)
    return by_column


def _few_seeds(section: Section) -> bool:
    """Whether a comparison has so few degrees of freedom that Welch's test sees little."""
    pairs = [pair for pairs in _tested(section, all_pairs).values() for pair in pairs]
    return any(pair.freedom is not None and pair.freedom < 3 for pair in pairs)


def family(section: Section) -> str:
    """How the tests were made; empty where none was."""
    pairs = [pair for pairs in _tested(section, all_pairs).values() for pair in pairs]
    tested = [pair for pair in pairs if pair.p is not None]
    if not tested:
        return ""
    kinds = {pair.basis for pair in tested}
    tests = {
        "seeds": "Welch's t over seeds",
        "measurement": (
            "where a line has one seed, the standard errors of the measurements alone: the noise"
            " between seeds is then unknown"
        ),
    }
    said = (
        f"{'; '.join(words for kind, words in tests.items() if kind in kinds)}. p is corrected for"
        f" all {len(tested)} pairs of lines of this table by Holm's rule; more than noise is"
        f" p < {LEVEL:g}."
    )
    if _few_seeds(section):
        said += " With so few seeds only a very large difference can show itself."
    return said[0].upper() + said[1:]


def _of_column(
    section: Section, at: int, pairs: Sequence[Comparison], pooled: Sequence[Comparison]
) -> Findings:
    column, samples = section.columns[at], section.samples(at)
    means = {key: sample.mean for key, sample in samples.items()}
    ranked = sorted(means, key=lambda key: -means[key] if column.higher_is_better else means[key])
    found = {frozenset((pair.a, pair.b)): pair for pair in pairs}
    chosen = [frozenset(both) for both in itertools.pairwise(ranked)]
    keys = [line.key for line in section.lines if line.key in samples]
    for end in (keys[0], keys[-1]):
        chosen += [frozenset((key, end)) for key in keys if key != end]
    sentences = [sentence(found[both], column) for both in dict.fromkeys(chosen)]
    sentences += _with_one_spread(samples, pooled, column)
    sentences += _agreement(agreement(means, section.published(at)), found)
    return Findings(
        heading=column.heading, order=" < ".join(ranked) if not column.higher_is_better
        else " > ".join(ranked), sentences=tuple(sentences),
    )  # fmt: skip


def _with_one_spread(
    samples: Mapping[str, Sample], pooled: Sequence[Comparison], column: Column
) -> list[str]:
    """What the same tests say when the spread between seeds is taken as one for all lines."""
    spread = pooled_spread(samples)
    if spread is None or len(pooled) < 2:
        return []
    orders = [_better_first(pair, column) for pair in pooled if pair.real]
    found = ", ".join(f"{better} than {worse}" for better, worse in orders)
    return [
        f"Were the spread between seeds the same for all lines (pooled: {number(spread[0])} with"
        f" {spread[1]} degrees of freedom), "
        + (f"better by more than noise: {found}." if found else "no pair would differ by more.")
    ]


def _better_first(pair: Comparison, column: Column) -> tuple[str, str]:
    b_better = (pair.difference > 0) == column.higher_is_better
    return (pair.b, pair.a) if b_better else (pair.a, pair.b)


def sentence(pair: Comparison, column: Column) -> str:
    """One comparison in words; 'more than noise' exactly where the corrected test says so."""
    better, worse = _better_first(pair, column)
    size = with_error(abs(pair.difference), pair.stderr)
    if pair.corrected is None:
        return (
            f"{better} and {worse} are {size} apart; the noise is unknown (one seed, and no"
            " standard error of the measurement)."
        )
    p = probability(pair.corrected)
    noise = "noise" if pair.basis == "seeds" else "noise of the measurement"
    if pair.real:
        return f"{better} is better than {worse} by {size} ({p}): more than {noise}."
    return f"{better} and {worse} do not differ by more than {noise} ({size}, {p})."


def _agreement(found: Agreement, pairs: dict[frozenset[str], Comparison]) -> list[str]:
    if found.pairs == 0:
        return []
    tau = "not defined (ties)" if found.tau is None else f"{found.tau:.2f}"
    said = [
        (
            f"Agreement with the paper's order: Kendall's tau {tau};"
            f" {len(found.reversed)} of {found.pairs} pairs are the other way round."
        )
    ]
    beyond = [both for both in found.reversed if pairs[frozenset(both)].real]
    within = [both for both in found.reversed if not pairs[frozenset(both)].real]
    if beyond:
        said.append(f"The other way round, beyond noise: {_pairs(beyond)}.")
    if within:
        said.append(f"The other way round, but not beyond noise: {_pairs(within)}.")
    return said


def _pairs(both: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{a} and {b}" for a, b in both)


def facts(section: Section) -> list[tuple[str, str]]:
    """What was asked for and what it took: (word, value) pairs, the command apart."""
    request = section.request
    said = [
        ("Scale", f"{request.scale}, {number_plain(request.kimg)} kimg per training"),
        ("Losses and published numbers", {"ffhq": "FFHQ", "celebahq": "CelebA-HQ"}.get(
            request.dataset, request.dataset)),
        ("Data", request.data),
    ]  # fmt: skip
    protocols = list(dict.fromkeys(p for column in section.columns for p in column.protocols))
    if protocols:
        said.append(("Measured", "; ".join(protocols)))
    if section.trainings:
        seconds = math.fsum(training.seconds for training in section.trainings)
        count = len(section.trainings)
        plural = "s" if count > 1 else ""
        said.append(("Time", f"{duration(seconds)} for {count} training{plural}, with measuring"))
        machines = dict.fromkeys(t.machine for t in section.trainings if t.machine)
        said.append(("Machine", "; ".join(machines)))
    return said


def published_words(section: Section, at: int) -> dict[str, str]:
    """The paper's numbers of a column by line, all with the decimals that the longest has."""
    numbers = section.published(at)
    decimals = max((len(f"{x:.10g}".partition(".")[2]) for x in numbers.values()), default=0)
    return {key: f"{value:.{decimals}f}" for key, value in numbers.items()}


def number_plain(value: float) -> str:
    """A number somebody chose, as it was typed: '100', '0.5', '25000'."""
    return f"{value:.10g}"
