"""Significant differences in sentences, as plain text."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.report.tables import Column, Section
from benchmarks.tables import TABLES
from stylegan_eval.results.formatting import number, probability, with_error
from stylegan_eval.results.significance import (
    LEVEL,
    SIGNS,
    Agreement,
    Comparison,
    Sample,
    agreement,
    all_pairs,
    compare_groups,
    holm,
    order_words,
    pooled_pairs,
    pooled_spread,
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Sentences on one column."""

    heading: str  # The column
    order: str  # Its lines from best to worst; see `order_words`
    sentences: tuple[str, ...]  # What differs, and the agreement with the paper


def findings(section: Section) -> list[Findings]:
    """Significant differences by column, corrected over the whole table."""
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
    """Description of the tests and of the signs of an order; empty without any."""
    pairs = [pair for pairs in _tested(section, all_pairs).values() for pair in pairs]
    tested = [pair for pair in pairs if pair.p is not None]
    if not tested:
        return f"In the orders {SIGNS}" if pairs else ""
    kinds = {pair.basis for pair in tested}
    samples = [section.samples(at).values() for at in range(len(section.columns))]
    mixed = any(len({len(sample.values) > 1 for sample in column}) > 1 for column in samples)
    alone = "are of one training" if "pooled" in kinds else "have one seed"
    single = " (where one of two lines has one seed, Student's t with the spread of the other)"
    tests = {
        "seeds": f"Welch's t over seeds{single if mixed else ''}",
        "paired": "where two lines are of the same trainings, a paired t over these",
        "pooled": "where both lines have one seed, Student's t with the pooled spread of others",
        "measurement": (
            f"where both lines {alone}, the standard errors of the measurements alone: the noise"
            " between seeds is then unknown"
        ),
    }
    text = (
        f"{'; '.join(words for kind, words in tests.items() if kind in kinds)}. p is corrected for"
        f" every pair of lines of this table ({len(tested)} in all) by Holm's rule; more than noise"
        f" is p < {LEVEL:g}."
    )
    if _few_seeds(section):
        text += " With so few seeds only a very large difference can show itself."
    return f"{text[0].upper()}{text[1:]} In the orders {SIGNS}"


def _of_column(
    section: Section, at: int, pairs: Sequence[Comparison], pooled: Sequence[Comparison]
) -> Findings:
    column, samples = section.columns[at], section.samples(at)
    means = {key: sample.mean for key, sample in samples.items()}
    ranked = sorted(means, key=lambda key: -means[key] if column.higher_is_better else means[key])
    by_pair = {frozenset((pair.a, pair.b)): pair for pair in pairs}
    chosen = [frozenset(both) for both in itertools.pairwise(ranked)]
    keys = [line.key for line in section.lines if line.key in samples]
    for end in (keys[0], keys[-1]):
        chosen += [frozenset((key, end)) for key in keys if key != end]
    sentences = _of_claim(section, samples, column)
    sentences += _same_lines(section, at, samples)
    sentences += [sentence(by_pair[both], column) for both in dict.fromkeys(chosen)]
    sentences += _with_one_spread(samples, pooled, column)
    sentences += _agreement(agreement(means, column.published), by_pair)
    order = order_words(
        ranked,
        lambda a, b: by_pair[frozenset((a, b))].differ,
        higher_is_better=column.higher_is_better,
    )
    return Findings(heading=column.heading, order=order, sentences=tuple(sentences))


def _same_lines(section: Section, at: int, samples: Mapping[str, Sample]) -> list[str]:
    """Which lines are one measurement, and so not compared."""
    return [
        f"{first} stands for {', '.join(line.key for line in others)} too: one network, and one"
        " measurement of it."
        for first, [_, *others] in section.same_lines(at).items()
        if others and first in samples
    ]


def _of_claim(section: Section, samples: Mapping[str, Sample], column: Column) -> list[str]:
    """Whether the seeds support the paper's claim."""
    claim = TABLES[section.request.table].claim
    if claim is None or not samples.keys() >= {*claim.better, *claim.worse}:
        return []
    worse, better = (
        (", ".join(keys), [samples[key] for key in keys]) for keys in (claim.worse, claim.better)
    )
    pair = compare_groups(worse, better)
    if pair is None or pair.p is None:
        return []
    size = with_error(abs(pair.difference), pair.stderr)
    better_here = (pair.difference > 0) == column.higher_is_better
    found = (
        f"{'better' if better_here else 'worse'} by {size} ({probability(pair.p)}): more than noise"
        if pair.real
        else f"no different beyond noise ({size}, {probability(pair.p)})"
    )
    in_pairs = ", a paired t over the seeds that all have" if pair.basis == "paired" else ""
    return [
        (
            f"The paper claims that {claim.text}. Here they are {found}. The test is one of the"
            f" means of both groups' lines{in_pairs}, not corrected."
        )
    ]


def _with_one_spread(
    samples: Mapping[str, Sample], pooled: Sequence[Comparison], column: Column
) -> list[str]:
    """Results of the same tests with a spread between seeds pooled over all lines."""
    spread = pooled_spread(samples)
    if spread is None or len(pooled) < 2:
        return []
    orders = [_better_first(pair, column) for pair in pooled if pair.real]
    better_than = ", ".join(f"{better} than {worse}" for better, worse in orders)
    return [
        f"Were the spread between seeds the same for all lines (pooled: {number(spread[0])} with"
        f" {spread[1]} degrees of freedom), "
        + (
            f"better by more than noise: {better_than}."
            if better_than
            else "no pair would differ by more."
        )
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
    noise = "noise of the measurement" if pair.basis == "measurement" else "noise"
    if pair.real:
        return f"{better} is better than {worse} by {size} ({p}): more than {noise}."
    return f"{better} and {worse} do not differ by more than {noise} ({size}, {p})."


def _agreement(agreed: Agreement, pairs: dict[frozenset[str], Comparison]) -> list[str]:
    if agreed.pairs == 0:
        return []
    tau = "not defined (ties)" if agreed.tau is None else f"{agreed.tau:.2f}"
    sentences = [
        (
            f"Agreement with the paper's order: Kendall's tau {tau};"
            f" {len(agreed.reversed)} of {agreed.pairs} pairs are the other way round."
        )
    ]
    for differ, words in (
        (True, ", beyond noise"),
        (False, ", but not beyond noise"),
        (None, ", by differences whose noise is unknown"),
    ):
        both = [both for both in agreed.reversed if pairs[frozenset(both)].differ is differ]
        if both:
            listed = ", ".join(f"{a} and {b}" for a, b in both)
            sentences.append(f"The other way round{words}: {listed}.")
    return sentences
