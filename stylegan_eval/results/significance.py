"""Significance tests: Welch's and the paired t-test, Holm's correction, Kendall's tau. Pure."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Basis = Literal["seeds", "paired", "pooled", "measurement", "unknown"]
LEVEL = 0.05  # family-wise, over the comparisons of a table
_FEWEST_IN_PAIRS = 3  # seeds from which on groups of lines are compared in pairs
POWER = 0.8  # probability that a test finds what is there, where images for it are counted
LARGEST = 1e30  # larger values come from a broken run or file
# What stands between two lines of `order_words`.
SIGNS = (
    "< and >: better by more than that noise; ≈: no difference beyond it; ?: its size is unknown."
)


def known(stderr: float | None, value: float) -> float | None:
    """Standard error of a value, if it is one: finite, of a number, and not its rounding.

    What is above `LARGEST`, or below its inverse, is none.
    """
    if stderr is None or not max(1e-9 * abs(value), 1 / LARGEST) < stderr <= LARGEST:
        return None
    return stderr


def rate_stderr(share: float, count: int) -> float:
    """Standard error of a share of `count` independent cases, never 0.

    Half a case of either kind is added (Jeffreys' prior): none of 1000 is 0 ± 0.0007.
    """
    p = (share * count + 0.5) / (count + 1)
    return math.sqrt(p * (1 - p) / count)


def freedom_of(parts: Iterable[tuple[float, float | None]]) -> float | None:
    """Degrees of freedom of the sum of estimated variances (Welch-Satterthwaite).

    `parts`: variance and its degrees of freedom, None for a variance that counts as known. Returns
    None where all do.
    """
    parts = list(parts)
    squares = math.fsum(variance**2 / free for variance, free in parts if free is not None)
    return math.fsum(variance for variance, _ in parts) ** 2 / squares if squares else None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One cell: a number per seed."""

    values: tuple[float, ...]  # At least one
    stderrs: tuple[float | None, ...]  # Standard error of measuring each; None where unknown
    freedoms: tuple[float | None, ...] = ()
    """Degrees of freedom of each of these errors; none, or None, where they count as known."""
    units: tuple[str, ...] = ()
    """What each value was measured of, a training say: values of the same are not independent.
    Empty where that is not known."""
    seeds: tuple[int, ...] = ()
    """Seed of the training of each value; empty where that is not known."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return math.fsum(self.values) / len(self.values)

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds with n - 1; None for one seed."""
        n = len(self.values)
        if n < 2:
            return None
        return math.sqrt(math.fsum((x - self.mean) ** 2 for x in self.values) / (n - 1))

    @property
    def measuring(self) -> float | None:
        """Standard error of the mean from measuring alone; None where one is unknown."""
        errors = [known(*both) for both in zip(self.stderrs, self.values, strict=True)]
        if None in errors:
            return None
        return math.hypot(*(error for error in errors if error is not None)) / len(errors)

    @property
    def parts(self) -> list[tuple[float, float | None]]:
        """Of `measuring`, for `freedom_of`."""
        freedoms = self.freedoms or (None,) * len(self.values)
        variances = [((error or 0.0) / len(self.values)) ** 2 for error in self.stderrs]
        return list(zip(variances, freedoms, strict=True))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Line b against line a in one column."""

    a: str
    b: str
    """a, b: Keys of the lines."""
    difference: float  # Mean of b minus mean of a
    stderr: float | None = None  # Standard error of the difference; None where unknown
    p: float | None = None  # Two-sided, of no difference
    corrected: float | None = None
    """p after Holm's correction; equal to `p` until `holm` was asked."""
    basis: Basis  # What noise the standard error knows of
    freedom: float | None = None  # Degrees of freedom of t; None for a normal test

    @property
    def differ(self) -> bool | None:
        """Whether the difference is larger than the noise; None where that is unknown."""
        return None if self.corrected is None else self.real

    @property
    def real(self) -> bool:
        """Whether the difference is larger than the noise, at `LEVEL` after the correction."""
        return self.corrected is not None and self.corrected < LEVEL


def compare(
    a: tuple[str, Sample], b: tuple[str, Sample], spread: tuple[float, int] | None = None
) -> Comparison:
    """Compare two lines, each with its key; `spread` is that of their table, `pooled_spread`.

    The paired t where both are of the same trainings, two or more; Welch's t where both have two
    seeds or more; where one of them has, Student's t with its spread for both; where neither has,
    with `spread`, unless both are of one training; else a test with the standard errors of
    measuring alone, which knows nothing of the noise between seeds: Welch's t where their degrees
    of freedom are known, else a normal test.
    """
    (name_a, first), (name_b, second) = a, b
    difference = second.mean - first.mean
    stderr, freedom, basis = _error(first, second, spread)
    pair = Comparison(a=name_a, b=name_b, difference=difference, basis=basis)
    return pair if stderr is None else with_stderr(pair, stderr, freedom)


def _error(
    a: Sample, b: Sample, spread: tuple[float, int] | None
) -> tuple[float | None, float | None, Basis]:
    """Standard error of the difference, degrees of freedom, and basis."""
    largest = max(abs(a.mean), abs(b.mean))
    if (apart := paired_differences(a, b)) is not None:
        n, of_pairs = len(apart.values), known(apart.std, largest)
        if of_pairs is not None:
            return of_pairs / math.sqrt(n), n - 1, "paired"
    elif a.std is not None and b.std is not None:
        of_means = [(x.std or 0.0) ** 2 / len(x.values) for x in (a, b)]
        total = sum(of_means)
        # Seeds that all agree say nothing of how far others would be.
        if known(math.sqrt(total), largest) is not None:
            parts = [(share, len(x.values) - 1) for share, x in zip(of_means, (a, b), strict=True)]
            return math.sqrt(total), freedom_of(parts), "seeds"
    spreads = [x.std for x in (a, b) if x.std is not None]
    # One line has a single seed: the spread of the other is taken for both.
    if len(spreads) == 1 and known(spreads[0], largest) is not None:
        counts = [len(x.values) for x in (a, b)]
        return spreads[0] * math.sqrt(sum(1 / n for n in counts)), sum(counts) - 2, "seeds"
    if spread is not None and not spreads and not (a.units and a.units == b.units):
        return spread[0] * math.sqrt(2), spread[1], "pooled"
    if a.measuring is not None and b.measuring is not None:
        freedom = freedom_of([*a.parts, *b.parts])
        return math.hypot(a.measuring, b.measuring), freedom, "measurement"
    return None, None, "unknown"


def paired_differences(a: Sample, b: Sample) -> Sample | None:
    """b minus a of each unit, where both are of the same units, two or more; else None."""
    if len(set(a.units)) < 2 or sorted(a.units) != sorted(b.units):
        return None
    first, second = (dict(zip(x.units, x.values, strict=True)) for x in (a, b))
    values = tuple(second[unit] - first[unit] for unit in first)
    return Sample(values=values, stderrs=(None,) * len(values))


def with_stderr(pair: Comparison, stderr: float, freedom: float | None = None) -> Comparison:
    """The same comparison by another standard error; not corrected yet."""
    p = _two_sided(pair.difference, stderr, freedom)
    return replace(pair, stderr=stderr, p=p, corrected=p, freedom=freedom)


def differs(difference: float, stderr: float, freedom: float | None = None) -> bool:
    """Whether a single test finds a difference: Student's t with its freedom, else a normal one."""
    return _two_sided(difference, stderr, freedom) < LEVEL


def difference_error(
    difference: float, level: float = LEVEL, freedom: float | None = None
) -> float:
    """Standard error by which such a test finds a difference with probability `POWER`."""
    from scipy import stats

    law = stats.norm if freedom is None else stats.t(freedom)
    return abs(difference) / float(law.isf(level / 2) + law.isf(1 - POWER))


def _two_sided(difference: float, stderr: float, freedom: float | None) -> float:
    from scipy import stats

    ratio = abs(difference) / stderr
    if freedom is None or math.isinf(freedom):
        return float(2 * stats.norm.sf(ratio))
    return float(2 * stats.t.sf(ratio, freedom))


def pooled_spread(samples: Mapping[str, Sample]) -> tuple[float, int] | None:
    """Standard deviation between seeds, taken as one for all lines, and its degrees of freedom.

    Lines of the same trainings count together as one. None where no line has two seeds, or all
    seeds of each line agree.
    """
    variances: dict[tuple[str, ...], list[float]] = {}
    counts: dict[tuple[str, ...], int] = {}
    for key, sample in samples.items():
        if sample.std is not None:
            of = tuple(sorted(sample.units)) or ("", key)
            variances.setdefault(of, []).append(sample.std**2)
            counts[of] = len(sample.values) - 1
    freedom = sum(counts.values())
    squares = math.fsum(
        counts[of] * math.fsum(found) / len(found) for of, found in variances.items()
    )
    largest = max((abs(sample.mean) for sample in samples.values()), default=0.0)
    std = known(math.sqrt(squares / freedom), largest) if freedom else None
    return None if std is None else (std, freedom)


def pooled_pairs(samples: Mapping[str, Sample]) -> list[Comparison]:
    """Every pair of lines with two seeds, by a t-test with the pooled spread; not corrected yet.

    Lines of the same trainings are left out: they are not independent.
    """
    spread = pooled_spread(samples)
    if spread is None:
        return []
    std, freedom = spread
    pairs = []
    for pair in all_pairs({key: s for key, s in samples.items() if s.std is not None}):
        both = [samples[key] for key in (pair.a, pair.b)]
        if paired_differences(*both) is not None:
            continue
        counts = [len(sample.values) for sample in both]
        stderr = std * math.sqrt(sum(1 / count for count in counts))
        pairs.append(with_stderr(pair, stderr, float(freedom)))
    return pairs


def all_pairs(samples: Mapping[str, Sample]) -> list[Comparison]:
    """Every pair of lines of one column, in the order of the lines; not corrected yet.

    All of them, because which ones are reported (neighbours by mean, say) depends on the data:
    the correction must cover what could have been chosen.
    """
    spread = pooled_spread(samples)
    return [compare(a, b, spread) for a, b in itertools.combinations(samples.items(), 2)]


def compare_groups(
    a: tuple[str, Sequence[Sample]], b: tuple[str, Sequence[Sample]]
) -> Comparison | None:
    """Compare the means of two groups of lines, each with its name; lines have the same weight.

    Over the seeds that all lines have, in pairs, where these are three or more: trainings of one
    seed share the order of the images, the latents and D's first weights, and what a seed does to
    all lines is no noise of the difference. Else Welch's t, which takes it for noise.

    Not corrected: for a claim that was there before the data. None where a line has one seed, or
    where all seeds of each line agree.
    """
    (name_a, first), (name_b, second) = a, b
    by_seed = _by_seed(first, second)
    if len(by_seed) >= _FEWEST_IN_PAIRS:
        apart = Sample(values=by_seed, stderrs=(None,) * len(by_seed))
        pair = Comparison(a=name_a, b=name_b, difference=apart.mean, basis="paired")
        spread = known(apart.std, max(abs(sample.mean) for sample in (*first, *second)))
        if spread is None:
            return None
        return with_stderr(pair, spread / math.sqrt(len(by_seed)), len(by_seed) - 1)
    parts = []  # variance of each line's share of the difference, and its degrees of freedom
    for group in (first, second):
        for sample in group:
            if sample.std is None:
                return None
            n = len(sample.values)
            parts.append((sample.std**2 / n / len(group) ** 2, n - 1))
    means = [math.fsum(sample.mean for sample in group) / len(group) for group in (first, second)]
    total = math.fsum(variance for variance, _ in parts)
    stderr = known(math.sqrt(total), max(map(abs, means)))
    if stderr is None:
        return None
    pair = Comparison(a=name_a, b=name_b, difference=means[1] - means[0], basis="seeds")
    return with_stderr(pair, stderr, freedom_of(parts))


def _by_seed(first: Sequence[Sample], second: Sequence[Sample]) -> tuple[float, ...]:
    """Difference of both groups' means for each seed that all lines have."""
    groups = [
        [dict(zip(line.seeds, line.values, strict=False)) for line in group]
        for group in (first, second)
    ]
    seeds = sorted(set[int].intersection(*(set(line) for group in groups for line in group)))
    return tuple(
        math.fsum(line[seed] for line in groups[1]) / len(second)
        - math.fsum(line[seed] for line in groups[0]) / len(first)
        for seed in seeds
    )


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Correct the p-values of a family of comparisons by Holm's step-down rule.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 1979.
    """
    known = sorted(
        (comparison.p, at) for at, comparison in enumerate(comparisons) if comparison.p is not None
    )
    corrected = list(comparisons)
    largest = 0.0
    for rank, (p, at) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        corrected[at] = replace(comparisons[at], corrected=largest)
    return corrected


def order_words(
    ranked: Sequence[str], differ: Callable[[str, str], bool | None], *, higher_is_better: bool
) -> str:
    """Lines from best to worst: '<' or '>' beyond noise, '≈' within it, '?' where it is unknown."""
    beyond = ">" if higher_is_better else "<"
    words = list(ranked[:1])
    for a, b in itertools.pairwise(ranked):
        differs = differ(a, b)
        words += ["?" if differs is None else beyond if differs else "≈", b]
    return " ".join(words)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the order of the means agrees with the published order."""

    tau: float | None  # Kendall's tau-b, in [-1, 1]; None where either side is all ties
    pairs: int  # Pairs of lines that were compared
    reversed: tuple[tuple[str, str], ...]
    """Pairs that are the other way round, in the order of the lines."""


def agreement(means: Mapping[str, float], published: Mapping[str, float]) -> Agreement:
    """Compare two orders over the lines that both have."""
    from scipy import stats

    both = [line for line in means if line in published]
    ours, theirs = [means[line] for line in both], [published[line] for line in both]
    untied = len(set(ours)) > 1 and len(set(theirs)) > 1
    tau = float(stats.kendalltau(ours, theirs).statistic) if untied else None
    pairs = list(itertools.combinations(both, 2))
    turned = [(a, b) for a, b in pairs if (means[a] - means[b]) * (published[a] - published[b]) < 0]
    return Agreement(tau=tau, pairs=len(pairs), reversed=tuple(turned))
