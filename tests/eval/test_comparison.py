import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.cli.commands import compare
from stylegan_eval.errors import UserError
from stylegan_eval.results.comparison import compare_tables, read_results
from stylegan_eval.results.planning import for_error
from stylegan_eval.results.results import DEFINING, append_csv
from tests.eval.test_results import ROW

OTHER = replace(ROW, value=1.0, generator_digest="cd" * 32)


def table(path, *rows):
    append_csv(path, rows)
    return path


def test_the_newest_rows_stand_side_by_side(tmp_path):
    a = table(tmp_path / "a.csv", replace(ROW, value=9.0), replace(ROW, value=10.0, stderr=0.3))
    b = table(
        tmp_path / "b.csv", replace(ROW, value=12.0, stderr=0.4, seed=9, details={}, device="cuda")
    )
    comparison = compare_tables([a, b])
    assert comparison.refused == ()
    (line,) = comparison.table.to_dict("records")
    assert (line[str(a)], line[str(b)]) == (10, 12)
    assert line["difference"] == 2
    assert line["in standard errors"] == pytest.approx(4)


@pytest.mark.parametrize("none", ["", "0.0", "3.9e-16"])
def test_an_error_that_is_none_tells_nothing_of_a_difference(tmp_path, none):
    """As rounding was once taken for an error."""
    a = table(tmp_path / "a.csv", replace(ROW, value=10.0, stderr=0.125))
    b = table(tmp_path / "b.csv", replace(ROW, value=12.0, stderr=0.4))
    a.write_text(a.read_text().replace(",0.125,", f",{none},"))
    (line,) = compare_tables([a, b]).table.to_dict("records")
    assert line["difference"] == 2
    assert np.isnan([line[f"{a} ±"], line["in standard errors"]]).all()
    assert line[f"{b} ±"] == 0.4


def with_reals(seed, redrawn, **more):
    details = {} if redrawn is None else {"stderr-reals-redrawn": f"{redrawn}"}
    row = replace(ROW, stderr=0.3, seed=seed, details=details, **more)
    return replace(row, protocol=ROW.protocol | {"reals": "random"})


@pytest.mark.parametrize(
    ("seeds", "redrawn", "difference", "note"),
    [
        ((0, 0), (1.2, 1.6), 10 / np.hypot(0.3, 0.3), "difference holds the real images fixed"),
        ((0, 1), (1.2, 1.6), 10 / 2, "by seeds 0, 1: the errors are those with the real images re"),
        ((0, 1), (1.2, None), 10 / np.hypot(0.3, 0.3), "by seeds 0, 1: the errors leave out how"),
    ],
)
def test_the_error_of_a_difference_holds_the_choice_of_real_images_where_it_differs(
    tmp_path, seeds, redrawn, difference, note
):
    paths = [
        table(tmp_path / f"{at}.csv", with_reals(seeds[at], redrawn[at], value=10.0 * at))
        for at in (0, 1)
    ]
    comparison = compare_tables(paths)
    (line,) = comparison.table.to_dict("records")
    assert line["in standard errors"] == pytest.approx(difference)
    assert note in comparison.notes[0]


@pytest.mark.parametrize("column", ["data_count", "data_digest"])
def test_other_real_images_that_are_allowed_count_as_redrawn(tmp_path, column):
    a = table(tmp_path / "a.csv", with_reals(0, 1.2, value=0.0))
    other = {column: 7 if column == "data_count" else "00" * 32}
    b = table(tmp_path / "b.csv", with_reals(0, 1.6, value=10.0, **other))
    comparison = compare_tables([a, b], allow=[column])
    (line,) = comparison.table.to_dict("records")
    assert line["in standard errors"] == pytest.approx(5)
    assert "the real images are not the same: the errors are those" in comparison.notes[0]


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("protocol", {"resize": "clean", "mirror": "no"}),
        ("num", 1000),
        ("detector", "vgg16"),
        ("weights_sha256", "00" * 32),
        ("data_digest", "11" * 32),
        ("data_count", 7),
        ("precision", "bf16"),
    ],
)
def test_unlike_protocols_are_refused_with_the_reason(tmp_path, column, other):
    a = table(tmp_path / "a.csv", ROW)
    b = table(tmp_path / "b.csv", replace(ROW, **{column: other}))
    comparison = compare_tables([a, b])
    assert comparison.table.empty
    (reason,) = comparison.refused
    assert reason.startswith(f"{ROW.metric}: {column} is ")
    assert str(a) in reason
    assert str(b) in reason
    assert compare_tables([a, b], [column]).refused == ()


def test_one_table_compares_its_generators(tmp_path):
    path = table(tmp_path / "a.csv", ROW, replace(ROW, generator="other", value=1.0))
    (line,) = compare_tables([path]).table.to_dict("records")
    assert line["other"] == 1
    assert line[ROW.generator] == ROW.value


def test_a_table_of_several_generators_says_whose_results_stand_in_its_column(tmp_path):
    other = replace(ROW, generator="runs/other", generator_digest="cd" * 32)
    kid = replace(ROW, metric="kid5k")
    a = table(tmp_path / "a.csv", ROW, kid, replace(other, value=1.0))
    b = table(tmp_path / "b.csv", replace(ROW, generator_digest="ef" * 32), kid)
    comparison = compare_tables([a, b])
    assert comparison.table[str(a)].tolist() == [1.0, ROW.value]
    said = "a.csv: holds several generators, and the newest result of each metric is shown: "
    whose = f"{ROW.metric} of runs/other; kid5k of {ROW.generator}; compare this table alone"
    assert [note for note in comparison.notes if said + whose in note]
    # b holds two generators as well, of one name.
    assert [note for note in comparison.notes if f"of {ROW.generator} efefef;" in note]
    again = replace(kid, generator="another name of the same file")
    one = table(tmp_path / "one.csv", ROW, again)
    last = table(tmp_path / "last.csv", ROW, again, replace(other, metric="fid50k"))
    assert not [note for note in compare_tables([one, last]).notes if "holds several" in note]


def test_networks_of_one_name_are_columns_of_their_own(tmp_path):
    """As a file that was written again: no column mixes the numbers of both."""
    kid = replace(ROW, metric="kid5k")
    later = replace(kid, generator_digest="cd" * 32, value=1.0)
    other = replace(ROW, generator="other", generator_digest="ef" * 32)
    path = table(tmp_path / "a.csv", ROW, later, other, replace(other, metric="kid5k"))
    table_ = compare_tables([path]).table.set_index("metric")
    assert table_.loc[ROW.metric, f"{ROW.generator} ababab"] == ROW.value
    assert table_.loc["kid5k", f"{ROW.generator} cdcdcd"] == 1
    assert table_.isna().loc["kid5k", f"{ROW.generator} ababab"]


def test_the_newest_result_is_that_of_the_latest_date_wherever_it_stands(tmp_path):
    newer = replace(ROW, value=10.0, stderr=0.3, date="2026-05-01T00:00:00+00:00")
    older = replace(newer, value=20.0, date="2025-05-01T00:00:00+00:00")
    a = table(tmp_path / "a.csv", newer, older)
    b = table(tmp_path / "b.csv", replace(ROW, value=1.0))
    assert compare_tables([a, b]).table[str(a)].tolist() == [10]
    (line,) = for_error(read_results(a), 0.1)
    assert line["measured"].startswith("10.00 ±")


def test_good_rows_are_shown_beside_refused_ones(tmp_path):
    other = replace(ROW, metric="fid50k")
    a = table(tmp_path / "a.csv", ROW, other)
    b = table(tmp_path / "b.csv", OTHER, replace(other, precision="bf16"))
    result = CliRunner().invoke(compare, [str(a), str(b), "--csv", str(tmp_path / "out.csv")])
    assert result.exit_code == 1
    assert ROW.metric in result.stdout
    assert "fid50k" not in result.stdout
    assert result.stderr.startswith("refused: fid50k: precision is fp32 in ")
    assert (tmp_path / "out.csv").read_text().count("\n") == 2
    allowed = CliRunner().invoke(compare, [str(a), str(b), "--allow", "precision"])
    assert allowed.exit_code == 0
    assert "fid50k" in allowed.stdout


def test_notes_of_what_is_compared_are_told(tmp_path):
    left_out = replace(ROW, metric="fid50k", note="of a refused row")
    a = table(tmp_path / "a.csv", replace(ROW, note="few images"), left_out)
    b = table(
        tmp_path / "b.csv", replace(OTHER, note="few images"), replace(left_out, precision="bf16")
    )
    result = CliRunner().invoke(compare, [str(a), str(b)])
    told = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    assert told == [f"note: {ROW.metric} in {a}, {ROW.metric} in {b}: few images"]


def test_bad_input_is_one_line(tmp_path):
    a = table(tmp_path / "a.csv", ROW)
    b = table(tmp_path / "b.csv", replace(ROW, metric="kid50k"))
    with pytest.raises(UserError, match="no metric is in two of"):
        compare_tables([a, b])
    with pytest.raises(UserError, match="no metric is in two of"):
        compare_tables([a])
    with pytest.raises(UserError, match="named twice"):
        compare_tables([a, a])
    with pytest.raises(UserError, match=f"--allow seed: expected one of {DEFINING[0]}"):
        compare_tables([a, b], ["seed"])
    (tmp_path / "empty.csv").touch()
    with pytest.raises(UserError, match="no results in it"):
        compare_tables([a, tmp_path / "empty.csv"])
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(UserError, match="columns are x,y"):
        compare_tables([a, tmp_path / "other.csv"])
    odd = table(tmp_path / "odd.csv", replace(ROW, details={"stderr-freedom": "-1"}))
    with pytest.raises(UserError, match="result 1 cannot be read") as failure:
        compare_tables([a, odd])
    assert "\n" not in str(failure.value)


@pytest.fixture
def two(tmp_path):
    """Tables of two networks with long names, one metric with errors and one without."""
    kid = replace(ROW, metric="kid_5", stderr=None, value=0.01234567)
    a = table(tmp_path / "a.csv", replace(ROW, value=1.5146, stderr=0.0234), kid)
    return a, table(tmp_path / "b.csv", replace(ROW, value=2.0, stderr=0.1), kid)


def shown(two, *args, columns=80):
    done = CliRunner().invoke(compare, [*map(str, two), *args], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_a_value_has_the_digits_that_its_error_leaves_and_lines_fit_the_terminal(two):
    text = shown(two)
    assert "1.515 ± 0.023" in text
    assert "2.00 ± 0.10" in text
    heads = text.splitlines()[0].split()
    assert heads == ["metric", "a.csv", "b.csv", "difference", "in", "errors"]
    narrow = shown(two, columns=40)
    assert max(map(len, narrow.splitlines())) <= 40
    for word in (ROW.metric, "1.515 ± 0.023", "a.csv", "difference"):
        assert word in narrow


def test_tables_of_other_programs_hold_the_same_numbers(two):
    rows = [
        line.strip("| ").split(" | ") for line in shown(two, "--format", "markdown").split("\n")
    ]
    assert rows[1] == ["---", *["---:"] * 4]
    assert rows[2][:3] == [ROW.metric, "1.515 ± 0.023", "2.00 ± 0.10"]
    latex = shown(two, "--format", "latex")
    assert "1.515 $\\pm$ 0.023 & 2.00 $\\pm$ 0.10" in latex
    assert "kid\\_5 & 0.01235 & 0.01235" in latex
    frame = pd.read_csv(io.StringIO(shown(two, "--format", "csv")))
    pd.testing.assert_frame_equal(frame, compare_tables(two).table)


def test_results_of_the_same_generated_images_are_noted(tmp_path):
    """Their noise is one and the same: the error of the difference, of two samples, is not theirs.

    Of a whole folder of images no seed draws others.
    """
    a = table(tmp_path / "a.csv", ROW)
    said = f"of the same generated images, by one generator and seed: {a} and "
    folder = {"description": "images", "seed": ROW.seed + 1}
    for name, row, same in (
        ("again", replace(ROW, value=1.0), True),
        ("seed", replace(ROW, value=1.0, seed=ROW.seed + 1), False),
        ("digest", OTHER, False),
        ("unknown", replace(ROW, value=1.0, generator_digest=""), False),
        ("folder", replace(ROW, value=1.0, **folder), False),
    ):
        b = table(tmp_path / f"{name}.csv", row)
        notes = compare_tables([a, b]).notes
        assert [bool(said + str(b) in note) for note in notes if "generated" in note] == [
            True
        ] * same
        assert not (same and [note for note in notes if "beyond noise" in note])
    whole = [
        table(tmp_path / f"{seed}.csv", replace(ROW, description="images", seed=seed))
        for seed in (0, 1)
    ]
    assert [note for note in compare_tables(whole).notes if "same generated images" in note]


@pytest.mark.parametrize("command", ["compare", "plan-samples"])
@pytest.mark.parametrize("odd", ["1e200", "1e308", "nan", "inf", "-1", "much"])
@pytest.mark.parametrize("column", ["stderr", "stderr-reals-redrawn"])
def test_an_error_that_no_measurement_has_is_refused_with_its_place(tmp_path, command, odd, column):
    good = replace(ROW, value=10.0, stderr=0.125, details={"stderr-reals-redrawn": "0.25"})
    a = table(tmp_path / "a.csv", OTHER, good)
    b = table(tmp_path / "b.csv", good)
    old, new = (",0.125,", f",{odd},") if column == "stderr" else ("redrawn=0.25", f"redrawn={odd}")
    a.write_text(a.read_text().replace(old, new))
    args = [command, str(a), *([str(b)] if command == "compare" else ["--error", "0.1"])]
    done = CliRunner().invoke(main, args)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"{a}: result 2 cannot be read ({column} is '{odd}'; expected a" in done.stderr
    assert done.stderr.endswith("mend or remove its line\n")


def test_errors_whose_squares_vanish_are_none(tmp_path):
    tiny = [replace(row, value=0.0, stderr=0.125, details={}) for row in (ROW, OTHER)]
    paths = [table(tmp_path / f"{at}.csv", row) for at, row in enumerate(tiny)]
    for path in paths:
        path.write_text(path.read_text().replace(",0.125,", ",1e-200,"))
    (line,) = compare_tables(paths).table.to_dict("records")
    assert np.isnan([line["difference ±"], line["in standard errors"]]).all()
