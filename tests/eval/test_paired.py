"""The error of a difference of two results that were measured on the same real images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.cmmd import cmmd
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.fid import fid
from stylegan_eval.metrics.kid import kernel_distance
from stylegan_eval.report.tables import lines_of, order, undecided
from stylegan_eval.results.comparison import compare_tables, read_results
from stylegan_eval.results.paired import (
    PROJECTED,
    of_shared,
    projected,
    stderr_of_difference,
    variances,
)
from stylegan_eval.results.planning import images_to_settle
from stylegan_eval.results.results import append_csv
from stylegan_eval.results.significance import differs
from stylegan_eval.settings.image_metrics import FidSettings
from tests.eval.fakes import PixelDetector
from tests.eval.report_fakes import row, subjects


def seen(**found):
    return ImageFeatures(detector=PixelDetector(), **found)


def cells(value, *, reals="all", seed=0, data="ab" * 32, num=400):
    """What a table holds of a value."""
    return {
        "value": repr(value.value),
        "stderr": repr(value.stderr),
        "details": " ".join(f"{key}={text}" for key, text in value.details.items()),
        "protocol": f"resize=tf1 reals={reals}",
        "data_digest": data,
        "data_count": "400",
        "seed": str(seed),
        "num": str(num),
    }


def measured(x, y):
    """Rows of the distance and of its limit."""
    fake = seen(blocks=[FeatureStats.of(part, "d") for part in np.split(x, 20)])
    real = seen(blocks=[FeatureStats.of(y, "d")], sample=y[:150].astype(np.float32))
    return fid(FidSettings(num=len(x), features="efficientnet-lite0"), fake, real)


@pytest.mark.parametrize(
    ("a", "b", "counts"),
    [
        ((1.0, 0.0), (1.0, 0.0), (400, 400)),
        ((1.3, 0.5), (1.3, 0.55), (400, 400)),
        ((1.0, 0.0), (1.3, 0.5), (400, 400)),
        ((1.1, 0.2), (1.3, 0.5), (1000, 200)),
    ],
)
def test_errors_of_differences_are_those_of_repeated_samples(a, b, counts):
    """All images of both generators and the real ones redrawn, the same real ones for both."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(150):
        y = rng.standard_normal((counts[1], 8))
        both = [measured(s * rng.standard_normal((counts[0], 8)) + m, y) for s, m in (a, b)]
        for first, second in zip(*both, strict=True):
            error = stderr_of_difference(cells(first), cells(second))
            found.append((second.value - first.value, error))
    for start in (0, 1):  # the distance, and its limit
        differences, errors = np.transpose(found[start::2])
        # 150 repetitions know a standard deviation to 6 %.
        assert 0.85 < np.mean(errors) / np.std(differences, ddof=1) < 1.15


def distance_of_kernels(x, y):
    subsets = {"subsets": 10, "subset_size": 50, "rng": np.random.default_rng(5)}
    found = kernel_distance(torch.from_numpy(x), torch.from_numpy(y), **subsets)
    return found.mean, found.stderr, found.projected


def distance_of_directions(x, y):
    x, y = (torch.nn.functional.normalize(torch.from_numpy(each)) for each in (x, y))
    value, stderr, _, text = cmmd(x, y)
    return value, stderr, text


@pytest.mark.parametrize("distance", [distance_of_kernels, distance_of_directions])
@pytest.mark.parametrize(
    ("a", "b", "counts"),
    [((1.1, 0.1), (1.1, 0.15), (150, 150)), ((1.1, 0.2), (1.3, 0.5), (250, 80))],
)
def test_so_are_those_of_differences_of_kernels(distance, a, b, counts):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(100):
        y = rng.standard_normal((counts[1], 8))
        first, second = (
            distance(s * rng.standard_normal((counts[0], 8)) + m, y) for s, m in (a, b)
        )
        shared = of_shared(first[2], second[2])
        found.append((first[0] - second[0], np.sqrt(first[1] ** 2 + second[1] ** 2 + shared)))
    differences, errors = np.transpose(found)
    assert 0.8 < np.mean(errors) / np.std(differences, ddof=1) < 1.25


def test_real_images_of_both_count_less_than_those_of_each():
    """And not at all for two results of the same images."""
    rng = np.random.default_rng(2)
    y = rng.standard_normal((200, 8))
    fakes = (1.3 * rng.standard_normal((1000, 8)) + shift for shift in (1.0, 1.3))
    a, b = (cells(measured(x, y)[0]) for x in fakes)
    fakes, shared = variances(a, b)
    _, other = variances(a, b | {"data_digest": "cd" * 32})
    assert 0 < shared < other / 4
    assert variances(a, a)[1] == 0
    assert variances(b, a) == (fakes, shared)
    assert stderr_of_difference(a, b) == pytest.approx(np.sqrt(fakes + shared))


def test_projections_know_the_variance_of_a_difference():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 1000)) * 7
    expected = [x.var(ddof=1) / 50 for x in (a - b, a, b)]
    none = projected(np.zeros(1000), 50, 0.0)
    texts = [(projected(a, 50, 0.0), projected(b + 3, 50, 0.0))]
    texts += [(text, none) for text in texts[0]]
    # 96 projections know a variance to 14 %.
    assert [of_shared(*both) for both in texts] == pytest.approx(expected, rel=0.3)
    assert not set(" =\n") & set(texts[0][0])  # a pair of the column details
    noisy = projected(a, 50, a.var(ddof=1))
    assert of_shared(noisy, none) < expected[1] / 2


@pytest.mark.parametrize("without", ["details", "digest", "stderr"])
def test_what_is_not_kept_leaves_the_errors_with_fixed_real_images(without):
    rng = np.random.default_rng(4)
    y = rng.standard_normal((400, 8))
    a, b = (cells(measured(rng.standard_normal((400, 8)) + m, y)[0]) for m in (0.1, 0.5))
    changed = {
        "details": {"details": "stderr=reals-fixed"}, "digest": {"data_digest": ""},
        "stderr": {"stderr": ""},
    }[without]  # fmt: skip
    found = variances(a | changed, b | changed)
    if without == "stderr":
        assert found is None
        assert stderr_of_difference(a | changed, b) is None
    else:
        fixed = float(a["stderr"]) ** 2 + float(b["stderr"]) ** 2
        assert found == (pytest.approx(fixed), None)


def result(name, value, details, **more):
    reals = {"protocol": {"reals": "random"}, "data_digest": "ab" * 32, "data_count": 5000}
    return row(name, "fid5k", value, 0.3, details=details, num=5000, **{**reals, **more})


def kept(seed):
    influence = np.random.default_rng(seed).standard_normal(500) * 30
    return {PROJECTED: projected(influence, 5000, 0.0), "stderr-reals-redrawn": "0.5"}


def test_compare_uses_it_and_says_how_many_images_would_settle(tmp_path):
    path = tmp_path / "results.csv"
    append_csv(path, [result("A", 10.0, kept(0)), result("B", 11.0, kept(1))])
    a, b = read_results(path)
    error = stderr_of_difference(a, b)
    assert 0.6**2 * 2 - 0.01 > error**2 > 0.3**2 * 2 + 0.1
    (line,) = compare_tables([path]).table.to_dict("records")
    assert line["difference ±"] == pytest.approx(error)
    assert line["in standard errors"] == pytest.approx(1 / error)
    done = CliRunner().invoke(main, ["compare", str(path)])
    assert done.exit_code == 0
    assert "note: fid5k: no difference beyond noise: about " in done.stderr
    assert "images of each and as many real ones instead of 5,000 would settle it" in done.stderr
    # With as many, eight differences in ten are found.
    num = images_to_settle(a, b)
    draws = 1 + error * np.sqrt(5000 / num) * np.random.default_rng(0).standard_normal(2000)
    found = [differs(x, error * np.sqrt(5000 / num)) for x in draws]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)
    decided = result("B", 15.0, kept(1))
    append_csv(tmp_path / "far.csv", [result("A", 10.0, kept(0)), decided])
    assert compare_tables([tmp_path / "far.csv"]).notes == ()


def test_errors_from_few_groups_are_not_taken_for_known_ones(tmp_path):
    """A normal test would find this difference, Student's t does not: then it takes more images."""
    a = row("A", value=0.0, stderr=1.0, num=1000, data="")
    b = row("B", value=2.9, stderr=1.0, num=1000, data="")
    details = {"stderr-freedom": "9"}
    append_csv(tmp_path / "known.csv", [a, b])
    assert compare_tables([tmp_path / "known.csv"]).notes == ()
    append_csv(tmp_path / "few.csv", [replace(each, details=details) for each in (a, b)])
    (note,) = compare_tables([tmp_path / "few.csv"]).notes
    assert "no difference beyond noise: about " in note
    assert images_to_settle(*read_results(tmp_path / "few.csv")) > 2000


def test_a_distance_says_from_how_many_groups_its_error_comes():
    rng = np.random.default_rng(0)
    values = measured(rng.standard_normal((400, 8)), rng.standard_normal((400, 8)))
    assert [value.details["stderr-freedom"] for value in values] == ["19", "19"]


def test_generated_images_alone_may_not_settle_it(tmp_path):
    path = tmp_path / "results.csv"
    full = {"protocol": {"reals": "full"}}
    append_csv(path, [result("A", 10.0, kept(0), **full), result("B", 10.2, kept(1), **full)])
    assert images_to_settle(*read_results(path)) == np.inf
    (note,) = compare_tables([path]).notes
    assert note.endswith("no number of generated images would settle it: that takes more real ones")


def test_the_report_uses_it(tmp_path):
    near = (result("A", 10.0, kept(0)), result("B", 10.9, kept(0)), result("C", 11.8, kept(2)))
    (line,) = lines_of(subjects(tmp_path, *near))
    by_names = {(pair.a, pair.b): pair for pair in line.pairs}
    alike, unlike = by_names["A", "B"], by_names["B", "C"]
    assert alike.stderr == pytest.approx(0.3 * np.sqrt(2))
    assert unlike.stderr > 1.3 * alike.stderr
    assert order(line) == "A ≈ B ≈ C"
    first, second = undecided([line])
    assert first.startswith("fid5k, A ≈ B: about ")
    assert images_of(first) < images_of(second)
    out = tmp_path / "report.html"
    args = ["report", str(tmp_path / "results.csv"), "--samples", "0", "-o", str(out)]
    assert CliRunner().invoke(main, args).exit_code == 0
    page = out.read_text().partition("What would settle the rest")[2]
    assert page.index(first) < page.index(second)


def images_of(sentence):
    return int(sentence.partition(": about ")[2].split()[0].replace(",", ""))


@pytest.mark.parametrize("text", ["x", "1,2", "1,2,AAAA", "nan,0,AAAA", "1,0," + "A" * 128 + "A"])
def test_a_damaged_cell_is_one_line(tmp_path, text):
    path = tmp_path / "results.csv"
    append_csv(path, [replace(result("A", 1.0, {}), details={PROJECTED: text})])
    with pytest.raises(UserError, match=r"result 1 cannot be read .*: mend or remove its line"):
        read_results(path)
