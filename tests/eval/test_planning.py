"""How many images a wished error takes: by measuring that many."""

import numpy as np
import pytest
from click.testing import CliRunner

import stylegan_eval as se
from stylegan_eval.cli import main
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.frechet import FrechetTo
from stylegan_eval.results.comparison import compare_tables, read_results
from stylegan_eval.results.planning import for_difference, for_error, images_for, settling
from stylegan_eval.results.results import append_csv
from stylegan_eval.results.results import cells as cells_of
from stylegan_eval.results.significance import difference_error, differs
from tests.eval.report_fakes import row
from tests.eval.test_paired import cells, kept, measured, result


def run(*args):
    return CliRunner().invoke(main, ["plan-samples", *map(str, args)])


def count(words):
    return int(words.split()[0].replace(",", ""))


def named(value, name, **more):
    about = {"metric": "fd_x", "generator": name, "generator_digest": name}
    of_network = dict.fromkeys(("detector", "weights_sha256", "precision", "date"), "x")
    return cells(value, **more) | about | of_network


def test_images_for_an_error_are_those_whose_variance_it_is():
    num = images_for(0.1, grows=0.04, stays=0.002, num=1000)
    assert 0.04 * 1000 / num + 0.002 == pytest.approx(0.1**2)
    assert images_for(0.1, 0.04, 0.011, 1000) == np.inf
    assert images_for(1e300, 0.04, 0.011, 1000) == 2
    assert difference_error(2.8) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("redrawn", [False, True])
def test_repeated_samples_of_the_number_planned_have_the_wished_error(redrawn):
    rng = np.random.default_rng(0)

    def fake(num):
        return 1.3 * rng.standard_normal((num, 8)) + 0.5

    y = rng.standard_normal((400, 8))
    quick, _ = measured(fake(400), y)
    (line,) = for_error([named(quick, "a", reals="random")], 0.1)
    fixed, both = (count(line[key]) for key in ("images for ± 0.1", "real ones redrawn"))
    assert 400 < fixed < both
    values = []
    for _ in range(150):
        num = both if redrawn else fixed
        real = FeatureStats.of(rng.standard_normal((num, 8)) if redrawn else y, "d")
        values.append(FrechetTo(real)(FeatureStats.of(fake(num), "d")))
    # 20 groups know an error to 16 %, 150 repetitions to 6 %.
    assert np.std(values, ddof=1) == pytest.approx(0.1, rel=0.3)


def test_no_metric_is_planned_on_less_than_two_images():
    assert images_for(10.0, 1e-9, 0.0, 100) == 2


def test_a_difference_is_found_in_eight_of_ten_repetitions():
    rng = np.random.default_rng(1)
    y = rng.standard_normal((400, 8))
    rows = []
    for name in "ab":
        value, _ = measured(1.3 * rng.standard_normal((400, 8)) + 0.5, y)
        rows.append(named(value, name, reals="random"))
    (line,) = for_difference(rows, 0.5)
    num = count(line["images for 0.5"])
    _, of, measured_text, *_ = line.values()
    assert of == "a and b"
    error = float(measured_text.partition("± ")[2].split()[0])
    scaled = error * np.sqrt(400 / num)
    draws = 0.5 + scaled * np.random.default_rng(2).standard_normal(2000)
    assert np.mean([differs(x, scaled) for x in draws]) == pytest.approx(0.8, abs=0.06)
    # One result stands for two like it.
    (alone,) = for_difference(rows[:1], 0.5)
    assert alone["of"] == "a and another"
    assert 0.5 < count(alone["images for 0.5"]) / num < 1.5


def test_the_command_plans_from_tables(tmp_path):
    path = tmp_path / "quick.csv"
    full = {"protocol": {"reals": "full"}}
    append_csv(
        path,
        [
            result("A", 9.0, {}),  # an older one
            result("A", 10.0, kept(0)),
            row("B", "kid5k", 1.0, 0.1, num=5000, protocol={"subsets": "100x1000"}, details={}),
            row("A", "pr5k3_recall", 0.5, None, num=5000),
            result("C", 10.0, kept(1), **full),
        ],
    )
    done = run(path, "--error", 0.1)
    assert done.exit_code == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "metric of measured images for ± 0.1 real ones redrawn"
    assert lines[1].endswith("A 10.00 ± 0.30 (5,000) 45,000 of each side 130,000 of each side")
    assert "5,000, --subsets 100" in lines[2]
    assert lines[3].endswith("45,000 more real images")
    assert len(lines) == 4
    assert "note: pr5k3_recall: no standard error is known" in done.stderr
    differences = run(path, "--difference", 2)
    assert differences.exit_code == 0
    assert len(differences.stdout.splitlines()) == 4
    assert len(read_results(path)) == 5


@pytest.mark.parametrize("num", ["", "0", "²", "many", "9" * 5000])
def test_a_row_without_its_number_of_images_is_passed_over(tmp_path, num):
    path = tmp_path / "results.csv"
    append_csv(path, [result("A", 10.0, kept(0)), result("B", 10.1, kept(1))])
    path.write_text(path.read_text().replace(",0.3,5000,", f",0.3,{num},"))
    for option in ("--error", "--difference"):
        assert "no standard error in" in run(path, option, 1).stderr
    assert settling(*read_results(path)) == ""


def test_what_cannot_be_planned_is_told_in_one_line(tmp_path):
    path = tmp_path / "results.csv"
    append_csv(path, [row("A", stderr=None)])
    for args, code, message in [
        ([path], 2, "give one of --error and --difference"),
        ([path, "--error", 1, "--difference", 1], 2, "give one of"),
        ([path, "--error", 0], 2, "--error"),
        ([path, "--error", "nan"], 2, "no finite number"),
        ([tmp_path / "none.csv", "--error", 1], 2, "none.csv"),
        ([path, "--error", 1], 1, "no standard error in"),
        ([path, "--difference", 1], 1, "measure more images"),
    ]:
        refused = run(*args)
        assert refused.exit_code == code, refused.output
        assert message in refused.stderr
        assert refused.stdout == ""


def test_equal_values_are_settled_by_no_images(tmp_path):
    """No real images are advised where a path length has none."""
    path = tmp_path / "results.csv"
    append_csv(path, [row("A", "ppl_wfull", data=""), row("B", "ppl_wfull", data="")])
    assert settling(*read_results(path)) == ""
    [note] = [note for note in compare_tables([path]).notes if "beyond" in note]
    assert note == "ppl_wfull: no difference beyond noise"


def test_a_row_without_its_value_has_no_error(tmp_path):
    path = tmp_path / "results.csv"
    append_csv(path, [row("A"), row("B")])
    path.write_text(path.read_text().replace(",10.0,1.0,", ",,1.0,", 1))
    (line,) = for_error(read_results(path), 0.1)
    assert line["of"] == "runs/B"
    (line,) = compare_tables([path]).table.to_dict("records")
    assert np.isnan([line["runs/A"], line["runs/A ±"], line["difference"]]).all()
    assert compare_tables([path]).notes == ()


def test_nothing_is_planned_of_a_value_in_standard_deviations(tmp_path):
    own = row("A", "ct500[resize:clean]", -0.3, 0.4, num=500)
    append_csv(tmp_path / "ct.csv", [own])
    for option in ("--error", "--difference"):
        refused = run(tmp_path / "ct.csv", option, 0.1)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("error: C_T is in standard deviations")
        assert len(refused.stderr.splitlines()) == 1
    with pytest.raises(UserError, match="C_T"):
        se.plan_samples([own], error=0.1)
    append_csv(tmp_path / "both.csv", [own, result("B", 10.0, kept(0))])
    done = run(tmp_path / "both.csv", "--error", 0.1)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["metric", "fid5k"]
    assert "note: C_T is in" in done.stderr
    assert "no standard error" not in done.stderr


def test_what_linear_separability_keeps_grows_with_its_images():
    of_ls = {"protocol": {"keep": "1000", "svm": "deterministic"}}
    (line,) = for_error([cells_of(row("A", "ls_w", 8.0, 0.4, num=2000, **of_ls))], 0.2)
    assert line["images for ± 0.2"] == "8,000, --keep 4,000"


def test_in_python_results_are_planned_as_their_table_is(tmp_path):
    rows = [result(name, 3.0 + place, kept(place)) for place, name in enumerate("ab")]
    append_csv(tmp_path / "r.csv", rows)
    for wish in ({"error": 0.02}, {"difference": 0.2}):
        (option, value), *_ = wish.items()
        done = run(tmp_path / "r.csv", f"--{option}", value)
        frame = se.plan_samples(rows, **wish).to_string(index=False)
        assert frame.split() == done.stdout.split()
    for wish in ({}, {"error": 1, "difference": 1}, {"error": 0}, {"error": float("nan")}):
        with pytest.raises(se.UserError, match="plan_samples: "):
            se.plan_samples(rows, **wish)
    with pytest.raises(se.UserError, match="got str; expected results"):
        se.plan_samples(["r.csv"], error=1)
