"""Sentences of a report: 'more than noise' exactly where the corrected test says so."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.report.findings import family, findings, sentence
from benchmarks.report.tables import (
    Column,
    cell_troubles,
    cell_value,
    facts,
    legend,
    sections,
)
from stylegan_eval.results.formatting import duration, number, with_error
from stylegan_eval.results.significance import Comparison, all_pairs
from tests.bench.report_fakes import cells, outcome, training

FID = Column(metric="fid", condition="")
RECALL = Column(metric="recall", condition="")


def pair(difference, corrected, basis="seeds"):
    return Comparison(
        a="A",
        b="F",
        difference=difference,
        stderr=8.1,
        p=corrected,
        corrected=corrected,
        basis=basis,
    )


def said(outcomes):
    return [text for column in findings(sections(outcomes)[0]) for text in column.sentences]


def test_sentences_of_a_finding():
    assert sentence(pair(-61.2, 0.02), FID) == (
        "F is better than A by 61.2 ± 8.1 (p = 0.02): more than noise."
    )
    assert sentence(pair(3.1, 0.7), FID) == (
        "A and F do not differ by more than noise (3.1 ± 8.1, p = 0.7)."
    )
    assert sentence(pair(0.5, 0.01), RECALL).startswith("F is better than A")
    assert "more than noise of the measurement." in sentence(pair(-61.2, 0.02, "measurement"), FID)


@given(st.floats(0, 1), st.floats(-100, 100).filter(bool))
def test_more_than_noise_is_said_exactly_when_the_test_says_so(corrected, difference):
    text = sentence(pair(difference, corrected), FID)
    assert text.endswith(": more than noise.") == (corrected < 0.05)
    assert ("do not differ by more than noise" in text) == (corrected >= 0.05)


def test_correction_is_over_the_whole_table():
    """p = 0.03 alone, but of two columns with one pair each the corrected one is 0.06."""
    apart = 2.17 * 2**0.5  # z of p = 0.03
    one = [outcome("A", value=0.0, stderr=1.0), outcome("B", value=apart, stderr=1.0)]
    two = [outcome(o.line, value=o.value, stderr=1.0, condition="psi=0.7") for o in one]
    assert any(": more than noise" in text for text in said(one))
    assert not any(": more than noise" in text for text in said(one + two))


def test_neighbours_by_mean_and_the_ends_of_the_table_are_compared():
    made = cells(A=[9.0, 9.1], B=[5.0, 5.1], C=[7.0, 7.1], F=[1.0, 1.1])
    texts = [text for text in said(made) if re.match(r"\w (is|and)", text)]
    pairs = {frozenset(re.findall(r"\b[A-F]\b", text)[:2]) for text in texts}
    assert pairs == {frozenset(both) for both in ("FB", "BC", "CA", "AB", "AF", "CF")}
    [column] = findings(sections(made)[0])
    assert column.order == "F < B < C < A"


@pytest.mark.parametrize(
    ("lines_of_style", "found"),
    [
        ([1.0, 1.2], "better by 6.10 ± "),
        ([20.0, 20.2], "worse by 12.90 ± "),
        ([5.0, 9.2], "no different beyond noise (0.1 ± "),
    ],
)
def test_the_papers_claim_is_tested_on_all_lines_of_both_groups(lines_of_style, found):
    made = cells(A=[8.0, 8.2], B=[6.0, 6.6], **dict.fromkeys("CDEF", lines_of_style))
    [text] = [text for text in said(made) if text.startswith("The paper claims")]
    assert text.startswith(
        "The paper claims that style-based generators (C to F) are better than traditional ones"
        f" (A, B). Here they are {found}"
    )


def test_the_papers_claim_is_tested_in_pairs_of_three_seeds():
    """Seeds shift all lines alike by more than the groups are apart."""
    values = {key: [8.0, 20.1, 2.2] for key in "AB"} | {key: [7.0, 19.0, 1.3] for key in "CDEF"}
    [text] = [text for text in said(cells(**values)) if text.startswith("The paper claims")]
    assert "Here they are better by 1.000 ± 0.058 (p = 0.0033): more than noise." in text
    assert "lines, a paired t over the seeds that all have, not corrected." in text


def test_a_claim_is_not_tested_without_seeds_of_every_line():
    lines = {key: [1.0, 1.1] for key in "ABCDEF"}
    for missing in ({"F": [1.0]}, {"F": []}):
        assert not any("claims" in text for text in said(cells(**(lines | missing))))


def test_seeds_nobody_trained_are_said_to_be_unknown():
    made = [outcome("A", value=9.0, stderr=1.0), outcome("B", value=2.0, stderr=1.0)]
    [section] = sections(made)
    assert "the noise between seeds is then unknown" in family(section)
    assert any(text.startswith("* One seed") for text in legend(section))
    [text, *_] = said([outcome("A", value=9.0), outcome("B", value=2.0)])
    assert "the noise is unknown" in text
    assert not any(": more than" in text for text in said([outcome("A", value=9.0)] * 2))


def test_a_footnote_has_its_mark():
    """The star stands beside an error of measuring; without one there is none to explain."""
    [marked] = sections([outcome("A", value=9.0, stderr=1.0)])
    [bare] = sections([outcome("A", value=9.0)])
    for section in (marked, bare):
        starred = "*" in cell_value(section.lines[0].cells[0])
        assert any(text.startswith("* ") for text in legend(section)) == starred
    assert "Without ±: one seed (n = 1), and no standard error of the measurement." in legend(bare)


def test_time_is_that_of_as_many_trainings_as_are_done(tmp_path):
    done = [training("A", tmp_path / "a", seed) for seed in range(2)]
    begun = replace(training("A", tmp_path / "a", 2), machine="", seconds=30.0)
    waiting = replace(begun, name="A-s3", seconds=0.0)

    def time(*trainings):
        made = [outcome("A", at, 1.0, training=each) for at, each in enumerate(trainings)]
        return dict(facts(sections(made)[0]))["Time"]

    assert time(*done) == "3 min for 2 trainings, with measuring"
    assert time(*done, begun, waiting) == (
        "4 min for 2 of 4 trainings that are done and the beginning of 1, with measuring"
    )


def test_few_seeds_are_also_tested_with_one_spread_for_all_lines():
    made = cells(A=[100.0, 101.0], B=[50.0, 51.5], C=[50.5, 51.0])
    [section] = sections(made)
    assert "only a very large difference" in family(section)
    [text] = [text for text in said(made) if text.startswith("Were the spread")]
    assert text.endswith("better by more than noise: B than A, C than A.")


def test_lines_of_one_seed_have_the_spread_that_other_lines_show(tmp_path):
    """C and D are 42 errors of their measurements apart, and seeds of A and B further."""
    values = {"A": [100.0, 112.0], "B": [90.0, 80.0], "C": [50.0], "D": [56.0]}
    made = [replace(cell, stderr=0.1) for cell in cells(**values)]
    [section] = sections(made)
    assert "where both lines have one seed, Student's t with the pooled spread" in family(section)
    pairs = {(pair.a, pair.b): pair for pair in all_pairs(section.samples(0))}
    spread = ((12**2 + 10**2) / 4) ** 0.5  # two seeds have half their squared difference
    assert pairs["C", "D"].p == pytest.approx(2 * stats.t.sf(6 / (spread * 2**0.5), 2))
    assert "C and D do not differ by more than noise (6" in " ".join(said(made))
    alone = [cell for cell in made if cell.line in "CD"]
    assert said(alone)[0].endswith("(p < 0.0001): more than noise of the measurement.")
    # Two spaces of one network share its seed: its noise is no part of their difference.
    of_one = [
        replace(cell, training=training("CD", tmp_path)) if cell.line in "CD" else cell
        for cell in made
    ]
    pairs = {(pair.a, pair.b): pair for pair in all_pairs(sections(of_one)[0].samples(0))}
    assert pairs["C", "D"].basis == "measurement"


def depths(folder, metric, measurement, **lines):
    """Lines of Table 4, by (network, space, values): each training has a measurement a space."""
    return [
        outcome(
            line, seed, value, metric=metric, space=space, published=published,
            measured_as=f"ppl_{space}full" if metric == "ppl_full" else "fd",
            measurement=measurement.format(space), training=training(network, folder, seed),
        )
        for published, (line, (network, space, values)) in enumerate(lines.items())
        for seed, value in enumerate(values)
    ]  # fmt: skip


def test_lines_of_one_measurement_are_one_line(tmp_path):
    """An FID knows no latent space: 3 networks are 3 pairs, however many lines they have."""
    lines = {
        "B": ("B", "z", [9.0, 9.4]),
        "8-z": ("8", "z", [7.0, 8.0]),
        "8-w": ("8", "w", [7.0, 8.0]),
        "F": ("F", "w", [3.0, 3.3]),
    }
    made = depths(tmp_path, "fid", "fid-x", **lines)
    [section] = sections(made)
    assert list(section.samples(0)) == ["B", "8-z", "F"]
    assert "(3 in all)" in family(section)
    text = " ".join(said(made))
    assert "8-z stands for 8-w too: one network, and one measurement of it." in text
    assert "8-z and 8-w" not in text
    assert "of 3 pairs" in text
    alone = depths(tmp_path, "fid", "fid-x", **{k: v for k, v in lines.items() if k != "8-w"})
    assert said(alone) == [line for line in said(made) if "stands for" not in line]
    # Seeds that only one of both lines has count as well.
    more = [*made, *(replace(o, seed=2, value=7.4) for o in made if (o.line, o.seed) == ("8-w", 0))]
    more[-1] = replace(more[-1], training=training("8", tmp_path, 2))
    assert sections(more)[0].samples(0)["8-z"].values == (7.0, 8.0, 7.4)


def test_spaces_of_one_network_are_compared_in_pairs(tmp_path):
    z, w = [10.0, 12.0, 14.1], [10.6, 12.5, 14.7]
    made = depths(tmp_path, "ppl_full", "ppl-{}", z=("8", "z", z), w=("8", "w", w))
    [section] = sections(made)
    assert "where two lines are of the same trainings, a paired t over these" in (
        family(section).lower()
    )
    [text] = [text for text in said(made) if " is better than " in text]
    assert text == "z is better than w by 0.567 ± 0.033 (p = 0.0034): more than noise."
    others = depths(tmp_path, "ppl_full", "ppl-{}", z=("8", "z", z), w=("9", "w", w))
    assert "do not differ by more than noise" in " ".join(said(others))


def test_another_order_than_the_papers_is_named():
    published = {"A": 8.0, "B": 5.0, "C": 4.0}
    made = cells(A=[9.0, 9.1, 9.05], B=[1.0, 1.1, 1.05], C=[5.0, 5.1, 5.05], published=published)
    text = " ".join(said(made))
    assert "Kendall's tau 0.33; 1 of 3 pairs are the other way round." in text
    assert "The other way round, beyond noise: B and C." in text
    close = cells(A=[9.0, 9.1, 9.05], B=[5.0, 5.1, 5.05], C=[5.0, 5.2, 5.0], published=published)
    assert "not beyond noise: B and C." in " ".join(said(close))


def test_an_order_says_which_neighbours_differ():
    made = [
        *(outcome("A", value=1.0, stderr=0.1), outcome("B", value=1.05, stderr=0.1)),
        *(outcome("C", value=5.0, stderr=0.1), outcome("D", value=9.0), outcome("E", value=9.5)),
    ]
    [section] = sections(made)
    assert findings(section)[0].order == "A ≈ B < C ? D ? E"
    assert "?: its size is unknown" in family(section)
    unknown = sections([outcome("A", value=1.0), outcome("B", value=2.0, stderr=0.0)])[0]
    assert findings(unknown)[0].order == "A ? B"
    assert "?: its size is unknown" in family(unknown)


def test_a_reversed_pair_of_unknown_noise_is_not_within_noise():
    made = [outcome("A", value=1.0, published=4.0), outcome("B", value=2.0, published=3.0)]
    text = " ".join(said(made))
    assert "The other way round, by differences whose noise is unknown: A and B." in text
    assert "not beyond noise" not in text


def test_another_unit_is_said_plainly():
    [section] = sections(cells(A=[1.0, 2.0]))
    assert (
        "fd5k_efficientnet-lite0 is not the paper's FID: compare the order, not the values."
        in legend(section)
    )
    [section] = sections([outcome("A", value=1.0, measured_as="fid50k")])
    assert not any("compare the order" in text for text in legend(section))


def test_what_was_measured_in_unlike_ways_is_not_compared():
    made = [outcome("A", value=1.0, stderr=1.0), outcome("B", value=9.0, measured_as="fid50k")]
    assert findings(sections(made)[0]) == []
    assert any("unlike ways" in text for text in legend(sections(made)[0]))


def test_a_number_that_is_none_is_not_averaged():
    [section] = sections([outcome("A", 0, 2.0), outcome("A", 1, float("nan"))])
    [cell] = section.lines[0].cells
    assert cell.sample.values == (2.0,)
    assert cell_troubles(cell) == [("failed", "seed 1 gave no number (nan)")]


def test_published_numbers_keep_the_papers_decimals():
    [section] = sections(cells(A=[1.0], F=[2.0], X=[3.0], published={"A": 8.04, "F": 4.4}))
    assert section.columns[0].published_words == {"A": "8.04", "F": "4.40"}


def test_a_cell_says_what_its_error_is_of():
    [section] = sections(cells(A=[1.0, 3.0]))
    assert cell_value(section.lines[0].cells[0]) == "2.0 ± 1.4 (n = 2)"
    assert cell_value(section.lines[0].cells[0], section.common_n) == "2.0 ± 1.4"
    assert "Mean ± standard deviation over n = 2 seeds." in legend(section)
    [mixed] = sections(cells(A=[1.0, 3.0], B=[2.0]))
    assert mixed.common_n is None
    [section] = sections([outcome("A", value=204.0, stderr=1.61)])
    assert cell_value(section.lines[0].cells[0]) == "204.0 ± 1.6* (n = 1)"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(663.1760, 3.2, "663.2 ± 3.2"), (0.09481, 0.0042, "0.0948 ± 0.0042"), (306, 135, "306 ± 135")],
)
def test_a_value_has_the_digits_of_its_error(value, error, text):
    assert with_error(value, error) == text


def test_numbers_are_written_without_exponents():
    assert [number(x) for x in (14750.0, 4.4, 0.0123456, 0.0)] == ["14750", "4.400", "0.01235", "0"]
    assert [duration(s) for s in (40, 1800, 7200, 86400 * 3)] == [
        *("40 s", "30 min", "2.0 h", "3.0 d"),
    ]
