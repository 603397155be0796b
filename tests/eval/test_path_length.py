"""The arithmetic of path length against the official code, closed forms and simulation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.path_length import crop_and_shrink, lerp, perceptual_size, slerp
from stylegan_eval.metrics.trimmed_mean import trimmed_mean

GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = json.loads((GOLDEN / "path_length.json").read_text())
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "path_length.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize("function", [slerp, lerp])
@pytest.mark.parametrize("step", [0.0, 1e-4])
def test_interpolation_is_the_official_one(golden, function, dtype, step):
    name = function.__name__
    a, b, ts = (
        torch.from_numpy(golden[key]).to(DTYPES[dtype])
        for key in (f"{name}_a", f"{name}_b", "interp_t")
    )
    expected = golden[f"{name}_t{'_plus_eps' if step else ''}_{dtype}"]
    tolerance = np.full(len(a), 2e-7 if dtype == "float32" else 1e-14)
    if name == "slerp":
        tolerance[4] *= 25  # nearly parallel: the direction from one to the other is rounding
    for t, values in zip(ts + step, expected, strict=True):
        errors = np.abs(function(a, b, t.reshape(1)).numpy() - values).reshape(len(a), -1)
        assert (errors.max(axis=1) <= tolerance).all()


@pytest.mark.parametrize("name", ["ppl_distances", "ppl_distances_odd"])
def test_trimmed_mean_is_the_official_one(golden, name):
    found = trimmed_mean(golden[name])
    expected = NUMBERS[name]
    assert found.kept == expected["kept"]
    assert found.mean == pytest.approx(expected["ppl_float64_mean"], rel=1e-12)
    assert found.untrimmed == pytest.approx(expected["unfiltered_mean"], rel=1e-12)


@pytest.mark.parametrize("resolution", [int(size) for size in NUMBERS["ppl_face_crop"]])
def test_crop_is_the_official_one(resolution):
    expected = NUMBERS["ppl_face_crop"][str(resolution)]
    rows, columns = expected["rows"], expected["cols"]
    factor, size = expected["box_downsample_factor"], expected["output_size"]
    image = torch.rand(1, 1, resolution, resolution, generator=torch.Generator().manual_seed(0))
    kept = image[:, :, rows[0] : rows[1], columns[0] : columns[1]]
    boxes = kept.reshape(1, 1, size, factor, size, factor).mean(dim=(3, 5))
    found = crop_and_shrink(image, "face", "v1", resolution)
    assert torch.allclose(found, boxes, atol=1e-6)
    assert perceptual_size("face", "v1", resolution) == size


@pytest.mark.parametrize(
    ("crop", "rule", "resolution", "size"),
    [
        ("face", "v1", 1024, 256),
        ("face", "ada", 1024, 128),
        ("face", "v1", 512, 256),
        ("face", "ada", 512, 128),
        ("face", "ada", 256, 128),
        ("none", "v1", 1024, 256),
        ("none", "ada", 1024, 256),
        ("none", "v1", 384, 384),
        ("none", "ada", 64, 64),
    ],
)
def test_rules_differ_where_both_crop_and_shrink_apply(crop, rule, resolution, size):
    images = torch.zeros(1, 1, resolution, resolution)
    assert crop_and_shrink(images, crop, rule, resolution).shape == (1, 1, size, size)
    assert perceptual_size(crop, rule, resolution) == size


vectors = st.lists(st.floats(-5, 5), min_size=4, max_size=4).filter(
    lambda v: sum(x * x for x in v) > 0.1
)


@given(vectors, vectors, st.floats(0, 1))
@settings(deadline=None, derandomize=True)
def test_slerp_moves_evenly_on_the_unit_sphere(first, second, share):
    a, b = torch.tensor([first, second], dtype=torch.float64)
    cosine = float(torch.nn.functional.cosine_similarity(a, b, dim=0))
    if abs(cosine) > 0.999:
        return
    t = torch.tensor([share], dtype=torch.float64)
    point = slerp(a, b, t)
    assert float(point.norm()) == pytest.approx(1, abs=1e-12)
    angle = float(torch.arccos((point @ a / a.norm()).clamp(-1, 1)))
    assert angle == pytest.approx(share * np.arccos(cosine), abs=1e-6)
    torch.testing.assert_close(point, slerp(b, a, 1 - t), rtol=0, atol=1e-9)
    torch.testing.assert_close(point, slerp(3 * a, b / 7, t), rtol=0, atol=1e-9)


@given(
    st.lists(st.floats(0, 1e6), min_size=2, max_size=400),
    st.floats(0.01, 100),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, derandomize=True)
def test_trimmed_mean_scales_and_ignores_order(values, scale, order):
    found = trimmed_mean(np.array(values))
    assert found.kept >= 0.97 * len(values) - 2
    low, high = min(values), max(values)
    assert low - 1e-6 * high <= found.mean <= high + 1e-6 * high
    shuffled = list(values)
    order.shuffle(shuffled)
    scaled = trimmed_mean(np.array(shuffled) * scale)
    assert scaled.mean == pytest.approx(found.mean * scale, rel=1e-9, abs=1e-9)
    assert scaled.stderr == pytest.approx(found.stderr * scale, rel=1e-6, abs=1e-6)


def test_trimming_equals_scipys_where_both_cut_whole_numbers():
    x = np.random.default_rng(0).lognormal(size=5001)  # cuts after the 50th from either end
    assert trimmed_mean(x).mean == pytest.approx(trim_mean(x, 50 / 5001), rel=1e-12)
    assert trimmed_mean(x).kept == 5001 - 100


def test_standard_error_is_the_spread_over_repetitions():
    # Distances are skewed like a lognormal: the percent that is cut on the right weighs most.
    rng = np.random.default_rng(1)
    found = [trimmed_mean(rng.lognormal(0, 1.2, size=2000)) for _ in range(2000)]
    spread = np.std([one.mean for one in found], ddof=1)
    claimed = np.sqrt(np.mean([one.stderr**2 for one in found]))
    # Of 2,000 repetitions the spread itself is known to 1.6 %.
    assert claimed == pytest.approx(spread, rel=0.06)


def test_standard_error_agrees_with_the_jackknife():
    x = np.random.default_rng(2).lognormal(size=4000)
    parts = x.reshape(100, 40)
    left_out = [trimmed_mean(np.delete(parts, k, axis=0).ravel()).mean for k in range(100)]
    jackknife = np.sqrt(99 / 100 * np.sum((left_out - np.mean(left_out)) ** 2))
    assert trimmed_mean(x).stderr == pytest.approx(jackknife, rel=0.2)


def test_an_error_that_rests_on_few_distances_is_told():
    rng = np.random.default_rng(3)
    for draw, pairs, few in [
        (lambda n: rng.standard_normal(n), 100, False),
        (lambda n: rng.lognormal(0, 0.5, n), 400, False),
        (lambda n: rng.lognormal(0, 2, n), 100, True),
        (lambda n: rng.pareto(1.5, n), 100, True),
        (lambda n: rng.pareto(1.5, n), 5000, False),
        (lambda n: rng.standard_normal(n), 10, True),
    ]:
        found = [trimmed_mean(draw(pairs)).carriers for _ in range(50)]
        assert (np.median(found) < 10) == few, pairs
    assert trimmed_mean(np.ones(50)).carriers == 50


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="path lengths are not finite"):
        trimmed_mean(np.array([1.0, np.nan, 2.0]))
