"""Tables of a report against numbers that can be worked out by hand."""

import io

import pandas as pd
import pytest

from benchmarks.report.findings import findings
from benchmarks.report.pictures import Pictures
from benchmarks.report.tables import cell_troubles, cell_value, legend, notes, sections
from benchmarks.report.write import markdown, page, plain, results_frame, tables_frame
from tests.bench.report_fakes import cells, outcome, request, training

NONE = Pictures(samples=(), curves=())


def test_a_cell_is_the_mean_and_spread_of_its_seeds():
    frame = tables_frame(sections(cells(A=[1.0, 3.0, 8.0], B=[5.0], published={"A": 8.04})))
    assert list(frame["line"]) == ["A", "B"]
    assert list(frame["mean"]) == [4.0, 5.0]
    assert frame["std"][0] == pytest.approx(13**0.5)
    assert pd.isna(frame["std"][1])
    assert list(frame["n"]) == [3, 1]
    assert frame["published"][0] == 8.04


def test_states_are_counted_and_reasons_are_kept():
    made = [
        outcome("A", 0, 2.0),
        outcome("A", 1, state="failed", reason="collapsed"),
        outcome("A", 2, state="failed", reason="collapsed"),
        outcome("A", 3, state="running"),
        outcome("A", 4),
    ]
    row = tables_frame(sections(made)).iloc[0]
    assert (row["n"], row["failed"], row["running"], row["waiting"]) == (1, 2, 1, 1)
    assert row["reason"] == "collapsed"


def test_a_line_that_waits_is_there_without_a_mean():
    frame = tables_frame(sections([outcome("A"), *cells(B=[1.0])]))
    assert pd.isna(frame["mean"][0])
    assert list(frame["n"]) == [0, 1]


def test_every_cell_and_seed_is_a_row_of_the_results(tmp_path):
    trained = training("A", tmp_path)
    made = [outcome("A", 0, 2.5, training=trained, stderr=0.5), outcome("A", 1)]
    frame = pd.read_csv(io.StringIO(results_frame(made).to_csv(index=False)))
    assert list(frame["seed"]) == [0, 1]
    assert list(frame["state"]) == ["done", "waiting"]
    assert (frame["value"][0], frame["stderr"][0]) == (2.5, 0.5)
    assert (frame["training"][0], frame["trained_kimg"][0]) == ("A-s0-00000000", 1.0)
    assert str(tmp_path) not in frame.to_csv()  # paths of one machine say nothing elsewhere


def test_a_number_that_may_mislead_has_its_note_wherever_it_stands():
    few = "fewer than 20 * 512 kept [images]"
    made = [
        outcome("A", 0, 2.5, note=few),
        outcome("A", 1, 2.6, note=few),
        outcome("B", 0, 3.0, note="other"),
        outcome("C", 0, 3.5),
        outcome("D", 0, state="failed", note="of no number"),
    ]
    parts = sections(made)
    name = "fd5k_efficientnet-lite0 of"
    expected = [f"{name} A, seed 0, {name} A, seed 1: {few}", f"{name} B, seed 0: other"]
    assert notes(parts[0]) == expected
    assert list(results_frame(made)["note"]) == [few, few, "other", "", "of no number"]
    text, html = markdown(parts, [NONE]), page(parts, [NONE])
    for shown in (*map(plain, expected), "### Before you quote a number"):
        assert shown in text
    assert f"<li>{expected[0]}</li>" in html
    assert "Before you quote" not in markdown(sections(made[3:]), [NONE])


def test_order_is_that_of_the_outcomes():
    other = request(table="table2")
    made = [outcome("F", request=other), *cells(B=[1.0], A=[2.0]), outcome("E", request=other)]
    first, second = sections(made)
    assert [line.key for line in first.lines] == ["F", "E"]
    assert [line.key for line in second.lines] == ["B", "A"]


def test_cells_of_a_line_stand_under_their_columns():
    made = [
        outcome("E", value=1.0, condition="latents=1"),
        outcome("F", value=2.0, condition="latents=2"),
        outcome("E", value=3.0, condition="latents=2"),
    ]
    [section] = sections(made)
    assert [column.condition for column in section.columns] == ["latents=1", "latents=2"]
    assert section.samples(0).keys() == {"E"}
    assert {key: sample.mean for key, sample in section.samples(1).items()} == {"E": 3.0, "F": 2.0}


@pytest.mark.parametrize(
    ("metric", "name", "same"),
    [
        ("fid", "fid50k", True),
        ("fid", "fid10k", False),
        ("fid", "fd50k_efficientnet-lite0", False),
        ("ppl_full", "ppl_wfull", True),
        ("ppl_end", "ppl_zend[st-lpips-alex,nocrop]", False),
        ("separability", "ls_w", True),
        ("separability", "ls_w[attributes:6-named]", False),
    ],
)
def test_only_the_papers_unit_has_the_papers_name(metric, name, same):
    [section] = sections([outcome("A", value=1.0, metric=metric, measured_as=name)])
    [column] = section.columns
    assert column.published_unit == same
    assert column.heading[1:] == (column.published_heading[1:] if same else column.names[0][1:])


def test_z_and_w_are_compared_and_unlike_metrics_are_not():
    def column(*names):
        made = [
            outcome(str(at), value=1.0, metric="ppl_full", measured_as=name, space=name[4])
            for at, name in enumerate(names)
        ]
        return sections(made)[0].columns[0]

    assert column("ppl_zfull[st]", "ppl_wfull[st]").comparable
    assert not column("ppl_zfull", "ppl_wfull[st]").comparable


def test_unlike_protocols_of_one_space_are_not_compared():
    def column(*both, **changed):
        path_length = {"metric": "ppl_full", "measured_as": "ppl_zfull"} | changed
        made = [outcome(s + p, value=1.0, space=s, protocol=p, **path_length) for s, p in both]
        return sections(made)[0].columns[0]

    assert column(("z", "in z"), ("w", "in w")).comparable
    assert not column(("w", "in w"), ("w", "mirrored")).comparable
    # An FID knows no latent space.
    assert not column(("z", "a"), ("w", "b"), metric="fid", measured_as="fid50k").comparable


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("weights_sha256", ("251185bc" * 8, "1fd81c50" * 8)),
        ("data_digest", ("c877a5c3" * 8, "332e4ea8" * 8)),
        ("detector", ("classifiers-small", "classifiers-large")),
        ("precision", ("fp32", "bf16")),
    ],
)
def test_seeds_measured_under_unlike_conditions_have_no_mean(column, values):
    """Of one line, and of lines in unlike latent spaces."""
    made = [
        outcome("A", seed, 2.5 + seed, conditions=((column, value),), space=space, metric=metric)
        for metric in ("separability", "ppl_full")
        for space in "zw"
        for seed, value in enumerate(values)
    ]
    one_line = [o for o in made if o.space == "z" and o.metric == "separability"]
    [section] = sections(one_line)
    [cell] = section.lines[0].cells
    assert cell.sample is None
    assert cell_value(cell) == ""
    [(_, trouble)] = cell_troubles(cell)
    words = f"{column} {values[0][:12]} or {values[1][:12]}" if len(values[0]) == 64 else column
    assert trouble.startswith("no mean: measured in unlike ways (")
    assert words in trouble
    assert trouble.endswith("seed 0 2.500, seed 1 3.500")
    frame = tables_frame([section])
    assert pd.isna(frame["mean"][0])
    assert frame["n"][0] == 0
    assert words in frame["reason"][0]
    assert any(words in text for text in legend(section))

    two_lines = [outcome(o.space, 0, o.value, conditions=o.conditions) for o in (made[0], made[3])]
    [section] = sections(two_lines)
    assert not section.columns[0].comparable
    assert findings(section) == []


def test_seeds_of_unlike_metrics_have_no_mean():
    made = [outcome("A", at, 1.0, measured_as=name) for at, name in enumerate(("fid64", "fid50k"))]
    [section] = sections(made)
    [cell] = section.lines[0].cells
    assert (cell.sample, section.columns[0].comparable) == (None, False)


def test_what_an_older_table_does_not_say_is_not_unlike():
    made = [
        outcome("A", 0, 1.0, conditions=(("precision", "fp32"),)),
        outcome("A", 1, 2.0, conditions=()),
    ]
    [section] = sections(made)
    assert section.columns[0].comparable
    assert section.lines[0].cells[0].sample.values == (1.0, 2.0)
