"""The sentences on top of a report: they claim what the tests of the table find, and no more."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.report.parts import summary_part
from stylegan_eval.report.tables import lines_of, order
from stylegan_eval.report.verdict import verdict
from tests.eval.report_fakes import row, subjects


def said(tmp_path, *rows):
    return verdict(lines_of(subjects(tmp_path, *rows)))


def test_one_generator_alone_is_compared_with_nothing(tmp_path):
    first, second, third = said(
        tmp_path, row("F", value=9.0, stderr=0.5), row("F", "is_x", 2.0, None, note="few images")
    )
    assert first == (
        "F alone was measured, so nothing here is a comparison: fid50k 9.00 ± 0.50, is_x 2.000."
    )
    assert (
        second == "A standard error is known of 1 of 2 values; the least certain is fid50k, to 6%."
    )
    assert third.startswith("Not to be quoted without its note below: is_x; another training")


def test_of_two_the_better_is_named_where_the_difference_is_beyond_noise(tmp_path):
    rows = [
        row("A", value=10.0),
        row("B", value=30.0),
        row("A", "is_x", 2.0),
        row("B", "is_x", 2.1),
    ]
    first, second, third = said(tmp_path, *rows)
    assert (
        first == "By more than the noise of measuring, A is the better in fid50k (1 of 2 metrics)."
    )
    assert second == "Within the noise of the best: is_x."
    assert third.startswith("Another training of the same network may differ by more")


def test_within_noise_there_is_no_winner(tmp_path):
    first, second, _ = said(tmp_path, row("A", value=10.0), row("B", value=10.5))
    assert first == (
        "No generator is the better by more than the noise of measuring in the one metric compared."
    )
    assert second == "Within the noise of the best: fid50k."


def test_without_an_error_there_is_no_winner(tmp_path):
    rows = [row("A", value=1.0, stderr=None), row("B", value=99.0), row("A", "is_x", 3.0)]
    first, second, _ = said(tmp_path, *rows)
    assert first.startswith("No generator is the better")
    assert second == (
        "No generator is ahead where the noise is unknown: fid50k; not compared, as one generator"
        " alone has it: is_x."
    )


def test_of_five_each_winner_has_its_metrics(tmp_path):
    rows = [row(name, value=10.0 + 20 * at) for at, name in enumerate("ABCDE")]
    rows += [row(name, "is_x", 10.0 + 20 * at) for at, name in enumerate("ABCDE")]
    first, second, _ = said(tmp_path, *rows)
    assert first == (
        "By more than the noise of measuring, A is the best in fid50k; E is the best in is_x"
        " (2 of 2 metrics)."
    )
    assert second == "Every comparison with the best is beyond that noise."


def test_those_that_may_be_the_best_are_named_or_counted(tmp_path):
    rows = [row(name, value=x) for name, x in zip("ABC", (10.0, 11.0, 99.0), strict=True)]
    assert said(tmp_path / "few", *rows)[1] == "Within the noise of the best: fid50k (A, B)."
    rows = [row(name, value=10.0 + 90 * (name == "F")) for name in "ABCDEF"]
    assert said(tmp_path / "many", *rows)[1] == "Within the noise of the best: fid50k (5 of 6)."


def test_many_names_are_cut_short(tmp_path):
    rows = [row(name, f"fd_{at}", 10.0 + 50 * (name == "B")) for at in range(9) for name in "AB"]
    first = said(tmp_path, *rows)[0]
    assert "A is the better in fd_0, fd_1, fd_2 and 6 more (9 of 9 metrics)" in first


@pytest.mark.parametrize("metric", ["ct500[resize:clean]", "of_a_plugin_that_is_gone"])
def test_a_metric_with_no_better_direction_has_no_winner(tmp_path, metric):
    """C_T far above 0, as of noise, is no better than far below, as of copies."""
    rows = [row(name, metric, x) for name, x in (("A", 90.0), ("B", 0.1), ("C", -30.0))]
    first, second, _ = said(tmp_path, *rows)
    assert first.startswith("No generator is the best by more than the noise of measuring")
    assert second == f"No direction is known to be better: {metric}."
    [line] = lines_of(subjects(tmp_path, *rows))
    assert (line.best, order(line), line.ranked) == ([], "", ["C", "B", "A"])
    assert line.differ("A", "B")
    page = summary_part(subjects(tmp_path, *rows), [line], {"A": 0, "B": 1, "C": 2})
    assert "no better direction" in page
    assert "From the least: C" in page
    assert not re.search(r"<b><span class=\"value|is better<", page)


def test_protocols_and_units_are_not_to_be_mixed(tmp_path):
    rows = [row("A", "fd_x"), row("B", "fd_x"), row("A", "fd_x", num=7)]
    _, second, third = said(tmp_path, *rows)
    assert "fd_x (protocol b)" in second
    assert "as if in the unit of the paper: fd_x" in third
    assert "across protocols: fd_x" in third
    assert verdict([]) == []
    assert "nothing can be compared" in said(tmp_path / "x", row("A"), row("B", num=7))[0]
    assert said(tmp_path / "nan", row("A", value=math.nan))[0] == "A has no number yet."
    none = said(tmp_path / "none", row("A", value=math.nan), row("B", value=math.nan))
    assert none[:2] == [
        "No metric was measured of two generators in one way: nothing can be compared.",
        "No generator has a number yet.",
    ]


def test_the_best_of_a_few_is_not_said_to_be_the_best_of_all(tmp_path):
    rows = [row(name, value=x) for name, x in zip("ABC", (10.0, 50.0, 99.0), strict=True)]
    rows += [row("A", "is_x", 2.0), row("B", "is_x", 99.0)]
    assert said(tmp_path, *rows)[0] == (
        "By more than the noise of measuring, A is the best in fid50k; B is the best in is_x (of 2"
        " that have it) (2 of 2 metrics)."
    )


def test_the_least_certain_is_named_with_its_protocol(tmp_path):
    rows = [row("F", value=10.0, stderr=4.0), row("F", value=10.0, stderr=0.01, num=7)]
    assert said(tmp_path / "x", *rows)[1].endswith("certain is fid50k (protocol a), to 40%.")
    assert said(tmp_path / "y", rows[1])[1].endswith("certain is fid50k, to less than 1%.")


def test_other_real_images_go_into_the_warning(tmp_path):
    """Chosen by unlike seeds, and no error that holds the choice."""
    protocol = {"reals": "random"}
    rows = [row("A", protocol=protocol, seed=1), row("B", value=99.0, protocol=protocol, seed=2)]
    assert "without its note below: fid50k" in said(tmp_path, *rows)[2]


@pytest.mark.parametrize("count", [2, 5])
@given(data=st.data())
def test_a_winner_is_beyond_noise_of_every_other(count, data, tmp_path_factory):
    numbers = st.floats(1, 30)
    names = [f"N{at}" for at in range(count)]
    rows = [
        row(name, metric, data.draw(numbers), 1.0, generator_digest=f"{at:064d}")
        for metric in ("fd_x", "is_x")
        for at, name in enumerate(names)
    ]
    lines = lines_of(subjects(tmp_path_factory.mktemp("verdict"), *rows))
    first = verdict(lines)[0]
    for line in lines:
        best = line.ranked[0]
        beyond = all(pair.real for pair in line.pairs if best in (pair.a, pair.b))
        won = [part for part in first.split("; ") if line.metric in part]
        assert bool(won) == beyond
        assert all(f"{best} is the" in part for part in won)
