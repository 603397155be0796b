"""Comparisons of a report against scipy, closed forms and laws."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from stylegan_eval.results.significance import (
    Comparison,
    Sample,
    agreement,
    all_pairs,
    compare,
    compare_groups,
    holm,
    known,
    pooled_pairs,
    pooled_spread,
)

numbers = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))
seeds = st.lists(numbers, min_size=2, max_size=6)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def sample(*values, stderr=None):
    return Sample(values=tuple(values), stderrs=(stderr,) * len(values))


def untested(p):
    return Comparison(
        a="a", b="b", difference=1.0, stderr=1.0, p=p, corrected=p, basis="measurement"
    )


@given(seeds, seeds)
def test_seeds_are_compared_by_welchs_t(a, b):
    assume(min(np.std(a), np.std(b)) > 1e-2)
    expected = stats.ttest_ind(b, a, equal_var=False)
    found = compare(("a", sample(*a)), ("b", sample(*b)))
    assert found.basis == "seeds"
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.freedom == pytest.approx(expected.df, rel=1e-6)
    assert found.difference == pytest.approx(np.mean(b) - np.mean(a), abs=1e-9)


def of(prefix, *values):
    return Sample(
        values=tuple(values),
        stderrs=(None,) * len(values),
        units=tuple(f"{prefix}{at}" for at in range(len(values))),
    )


@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6), st.randoms())
def test_lines_of_the_same_trainings_are_compared_by_the_paired_t(pairs, random):
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    assume(np.std(np.subtract(b, a), ddof=1) > 1e-2)
    expected = stats.ttest_rel(b, a)
    order = list(range(len(pairs)))
    random.shuffle(order)  # pairs are of the same training, in whatever order
    second = of("F", *b)
    second = Sample(
        values=tuple(second.values[at] for at in order),
        stderrs=second.stderrs,
        units=tuple(second.units[at] for at in order),
    )
    found = compare(("a", of("F", *a)), ("b", second))
    assert (found.basis, found.freedom) == ("paired", len(pairs) - 1)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.difference == pytest.approx(np.mean(b) - np.mean(a), abs=1e-9)


def test_pairs_find_what_independent_seeds_do_not():
    z, w = (10.0, 12.0, 14.1), (10.6, 12.5, 14.7)
    assert compare(("z", of("F", *z)), ("w", of("F", *w))).p == pytest.approx(0.0034, abs=1e-4)
    assert compare(("z", of("F", *z)), ("w", of("G", *w))).p > 0.7
    # Of one training, or of others in part, there are no pairs.
    assert compare(("z", of("F", *z)), ("w", of("F", *w[:2]))).basis == "seeds"
    assert compare(("z", of("F", 1.0)), ("w", of("F", 2.0))).basis == "unknown"
    # Differences that all agree say nothing of the noise.
    assert compare(("z", of("F", 1.0, 2.0)), ("w", of("F", 2.0, 3.0))).basis == "unknown"


def test_lines_of_the_same_trainings_count_once_in_a_pooled_spread():
    other = of("G", 3.0, 5.0, 6.0)
    both = {"z": of("F", 1.0, 2.0, 4.0), "w": of("F", 2.0, 3.0, 5.0), "g": other}
    one = {"z": both["z"], "g": other}  # z and w have the same spread
    assert pooled_spread(both) == pytest.approx(pooled_spread(one))
    assert [(pair.a, pair.b) for pair in pooled_pairs(both)] == [("z", "g"), ("w", "g")]


def test_one_line_may_have_no_spread():
    """Then the other's alone counts: a t-test against a fixed number."""
    found = compare(("a", sample(1.0, 2.0, 4.0)), ("b", sample(9.0, 9.0)))
    assert found.p == pytest.approx(stats.ttest_1samp([1.0, 2.0, 4.0], 9.0).pvalue)
    assert found.freedom == pytest.approx(2)


def test_equal_lines_of_one_seed_with_errors_from_ten_groups_seldom_differ():
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(300):
        groups = rng.standard_normal((10, 10))  # of ten lines
        means, errors = groups.mean(axis=1), groups.std(axis=1, ddof=1) / 10**0.5
        lines = {
            str(at): Sample(values=(mean,), stderrs=(error,), freedoms=(9,))
            for at, (mean, error) in enumerate(zip(means, errors, strict=True))
        }
        called += any(pair.real for pair in holm(all_pairs(lines)))
    assert called / 300 < 0.06  # 0.11 by normal tests


@given(seeds, seeds)
def test_the_other_way_round_is_the_opposite_with_the_same_p(a, b):
    one = compare(("a", sample(*a)), ("b", sample(*b)))
    other = compare(("b", sample(*b)), ("a", sample(*a)))
    assert one.difference == -other.difference
    assert one.p == pytest.approx(other.p, abs=1e-12)


def test_one_seed_is_compared_by_the_errors_of_measuring():
    found = compare(("a", sample(10.0, stderr=3.0)), ("b", sample(2.0, stderr=4.0)))
    assert (found.basis, found.stderr, found.difference) == ("measurement", 5.0, -8.0)
    assert found.p == pytest.approx(math.erfc(8 / 5 / math.sqrt(2)))


@given(seeds, numbers)
def test_one_seed_against_several_is_compared_by_their_spread(a, b):
    """Student's t with one spread for both, which is that of a regression on the line."""
    assume(np.std(a) > 1e-2)
    expected = stats.linregress([0.0] * len(a) + [1.0], [*a, b])
    found = compare(("a", sample(*a, stderr=1e-3)), ("b", sample(b, stderr=1e-3)))
    assert (found.basis, found.freedom) == ("seeds", len(a) - 1)
    assert found.stderr == pytest.approx(expected.stderr, rel=1e-6)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-9)
    other = compare(("b", sample(b, stderr=1e-3)), ("a", sample(*a, stderr=1e-3)))
    assert (other.p, other.difference) == (found.p, -found.difference)


def test_seeds_that_agree_are_no_spread_for_a_single_one():
    found = compare(("a", sample(1.0, 1.0, stderr=0.3)), ("b", sample(2.0, stderr=0.4)))
    assert found.basis == "measurement"


def test_without_any_error_nothing_is_claimed():
    found = compare(("a", sample(1.0)), ("b", sample(100.0, stderr=1.0)))
    assert (found.basis, found.p, found.stderr, found.real) == ("unknown", None, None, False)


@pytest.mark.parametrize("other", [1.0, 2.0])
def test_seeds_that_agree_exactly_say_nothing_of_the_noise(other):
    found = compare(("a", sample(1.0, 1.0)), ("b", sample(other, other)))
    assert (found.basis, found.p, found.real) == ("unknown", None, False)
    rounded = compare(("a", sample(1.0, 1.0 + 1e-12)), ("b", sample(other, other)))
    assert rounded.p is None
    measured = compare(("a", sample(1.0, 1.0, stderr=0.1)), ("b", sample(other, other, stderr=1)))
    assert measured.basis == "measurement"


@pytest.mark.parametrize("stderr", [0.0, 3.9e-16, math.nan, math.inf, -1.0])
def test_an_error_that_is_none_makes_no_difference_real(stderr):
    """Of rounding, or not a number: what older versions and other programs write."""
    found = compare(("a", sample(0.1, stderr=stderr)), ("b", sample(0.2, stderr=0.001)))
    assert (found.basis, found.p, found.real) == ("unknown", None, False)
    assert known(stderr, 0.1) is None
    assert known(1e-6, 0.1) == 1e-6
    assert known(1e-6, 0.0) == 1e-6


def test_spread_over_seeds_is_numpys():
    values = (3.0, 4.5, 9.0)
    assert sample(*values).std == pytest.approx(np.std(values, ddof=1))
    assert sample(3.0).std is None


def test_holm_of_the_textbook():
    """By hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, then not below the one before."""
    found = [pair.corrected for pair in holm(list(map(untested, (0.01, 0.04, 0.03, 0.005))))]
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(p_values)
def test_holm_rejects_what_the_step_down_rule_rejects(values):
    """The rule in its own words: go up from the smallest p until one exceeds 0.05 / (m - k)."""
    rejected, m = set(), len(values)
    for rank, at in enumerate(sorted(range(m), key=lambda at: (values[at], at))):
        if not values[at] * (m - rank) < 0.05:
            break
        rejected.add(at)
    found = holm(list(map(untested, values)))
    assert {at for at, pair in enumerate(found) if pair.real} == rejected


@given(p_values, st.randoms(use_true_random=False))
def test_holm_keeps_the_order_and_never_makes_p_smaller(values, random):
    found = [pair.corrected for pair in holm(list(map(untested, values)))]
    assert all(p <= corrected <= 1 for p, corrected in zip(values, found, strict=True))
    order = list(range(len(values)))
    random.shuffle(order)
    shuffled = [pair.corrected for pair in holm([untested(values[at]) for at in order])]
    assert shuffled == [found[at] for at in order]


def test_what_cannot_be_tested_does_not_count_in_the_correction():
    found = holm([untested(0.02), untested(None), untested(0.5)])
    assert [pair.corrected for pair in found] == [0.04, None, 0.5]


def test_all_pairs_are_compared_in_the_order_of_the_lines():
    lines = {name: sample(float(at), at + 0.5) for at, name in enumerate("CAB")}
    assert [(p.a, p.b) for p in all_pairs(lines)] == [("C", "A"), ("C", "B"), ("A", "B")]


def test_one_spread_for_two_lines_is_students_t():
    a, b = (1.0, 4.0, 2.0), (7.0, 5.5)
    [found] = pooled_pairs({"a": sample(*a), "b": sample(*b)})
    expected = stats.ttest_ind(b, a, equal_var=True)
    assert (found.p, found.freedom) == (pytest.approx(expected.pvalue), expected.df)


def test_one_spread_for_all_lines_is_the_residual_of_an_analysis_of_variance():
    groups = {"a": (1.0, 3.0), "b": (10.0, 10.5, 12.0), "c": (7.0,)}
    std, freedom = pooled_spread({key: sample(*values) for key, values in groups.items()})
    residual = sum((x - np.mean(values)) ** 2 for values in groups.values() for x in values)
    assert freedom == 3
    assert std == pytest.approx(math.sqrt(residual / 3))


def test_lines_of_one_seed_have_no_spread_to_pool():
    assert pooled_spread({"a": sample(1.0), "b": sample(2.0)}) is None
    assert pooled_pairs({"a": sample(1.0), "b": sample(2.0)}) == []


@given(seeds, seeds)
def test_groups_of_one_line_are_compared_by_welchs_t(a, b):
    assume(min(np.std(a), np.std(b)) > 1e-2)
    found = compare_groups(("a", [sample(*a)]), ("b", [sample(*b)]))
    expected = compare(("a", sample(*a)), ("b", sample(*b)))
    assert found.p == pytest.approx(expected.p, rel=1e-9, abs=1e-12)
    assert (found.difference, found.stderr, found.freedom) == (
        pytest.approx(expected.difference, abs=1e-9),
        pytest.approx(expected.stderr),
        pytest.approx(expected.freedom),
    )


def test_groups_without_a_difference_are_told_apart_once_in_twenty_times():
    """Lines differ from each other, and have seeds of unequal spread."""
    rng = np.random.default_rng(0)
    means, spreads = np.array([5.0, 1.0, 4.0, 3.0, 2.0, 3.0]), np.array([1, 2, 1, 3, 1, 2.0])
    draws = rng.normal(means[:, None], spreads[:, None], (2000, 6, 3))
    wrong = 0
    for lines in draws:
        samples = [sample(*values) for values in lines]
        wrong += compare_groups(("a", samples[:2]), ("b", samples[2:])).real
    assert 0.03 < wrong / 2000 < 0.06


def test_groups_are_compared_in_pairs_of_three_seeds_that_all_lines_have():
    """What a seed does to all lines hides no difference, and finds none where there is none."""
    rng = np.random.default_rng(0)
    spreads, of_lines = np.array([3, 2, 1, 1, 1, 1.0]), np.array([0, 0, 1, 1, 1, 1])

    def groups(draw):
        lines = [
            Sample(values=tuple(values), stderrs=(None,) * 4, seeds=(0, 2, 1, 5)) for values in draw
        ]
        lines[3] = replace(lines[3], values=lines[3].values[2::-1], seeds=(1, 2, 0))
        return ("a", lines[:2]), ("b", lines[2:])

    draws = rng.normal(of_lines[:, None], 1, (6, 4)) + np.array([9.0, 0.0, 4.0, 2.0])
    found = compare_groups(*groups(draws))
    means = [draws[:2, :3].mean(axis=0), draws[2:, :3].mean(axis=0)]
    expected = stats.ttest_rel(means[1], means[0])
    assert (found.p, found.freedom) == (pytest.approx(expected.pvalue), 2)
    assert found.difference == pytest.approx(float(np.mean(means[1] - means[0])))
    draws = rng.normal(0, spreads[:, None], (2000, 6, 4)) + rng.normal(0, 5, (2000, 1, 4))
    wrong = sum(compare_groups(*groups(draw)).real for draw in draws)
    assert 0.03 < wrong / 2000 < 0.07


def test_groups_with_a_line_of_one_seed_are_not_compared():
    two, one = sample(1.0, 2.0), sample(3.0)
    assert compare_groups(("a", [two, one]), ("b", [two])) is None
    assert compare_groups(("a", [sample(1.0, 1.0)]), ("b", [sample(2.0, 2.0)])) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7))
def test_agreement_is_kendalls_tau(both):
    ours = {str(at): float(a) for at, (a, _) in enumerate(both)}
    theirs = {str(at): float(b) for at, (_, b) in enumerate(both)}
    found = agreement(ours, theirs)
    expected = stats.kendalltau(list(ours.values()), list(theirs.values())).statistic
    assert (found.tau is None) == bool(np.isnan(expected))
    if found.tau is not None:
        assert found.tau == pytest.approx(expected)
    turned = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(both, 2))
    assert len(found.reversed) == turned


def test_agreement_is_over_the_lines_that_both_have():
    found = agreement({"A": 3.0, "B": 1.0, "X": 0.0}, {"A": 8.0, "B": 9.0, "C": 1.0})
    assert (found.pairs, found.tau, found.reversed) == (1, -1.0, (("A", "B"),))
    assert agreement({"A": 3.0}, {}).pairs == 0
