import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.metrics.frechet import FrechetTo, frechet_distance

FOLDER = Path(__file__).parents[1] / "golden"
ARRAYS = np.load(FOLDER / "fid.npz")
VALUES = json.loads((FOLDER / "fid.json").read_text())


def gaussian(mean, cov, count=1000):
    return FeatureStats(
        count=count,
        mean=np.asarray(mean, dtype=float),
        scatter=np.asarray(cov, dtype=float) * (count - 1),
        detector="d",
    )


def features(seed, count, dim):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, dim)) @ rng.standard_normal((dim, dim)) + rng.random(dim)


def covariance(seed, dim):
    return np.cov(features(seed, 3 * dim, dim), rowvar=False)


@pytest.mark.parametrize("name", ["full", "singular"])
def test_equals_the_official_value(name):
    real, fake = (FeatureStats.of(ARRAYS[f"{name}_{side}"], "d") for side in ("real", "fake"))
    value = frechet_distance(fake, real)
    assert value == pytest.approx(VALUES[name]["exact"], rel=1e-9)
    assert value == pytest.approx(VALUES[name]["official"], rel=1e-6)


def test_covariance_equals_the_official_one():
    cov = FeatureStats.of(ARRAYS["full_real"], "d").cov
    np.testing.assert_allclose(cov, ARRAYS["full_real_cov"], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["full", "singular"])
def test_distance_to_itself_is_zero(name):
    # The official value for the singular case is -1e-6.
    stats = FeatureStats.of(ARRAYS[f"{name}_real"], "d")
    assert 0 <= frechet_distance(stats, stats) < 1e-10 * stats.cov.trace()


def test_diagonal_covariances():
    a, b = np.array([1.0, 4.0, 0.0, 9.0]), np.array([9.0, 1.0, 4.0, 0.0])
    mean = np.array([0.5, -1.0, 2.0, 0.0])
    expected = np.square(mean).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    value = frechet_distance(gaussian(np.zeros(4), np.diag(a)), gaussian(mean, np.diag(b)))
    assert value == pytest.approx(expected, rel=1e-12)


def test_commuting_covariances():
    rotation = scipy.linalg.qr(features(0, 6, 6))[0]
    a, b = np.arange(1.0, 7.0), np.arange(6.0, 0.0, -1.0)
    one, other = ((rotation * values) @ rotation.T for values in (a, b))
    value = frechet_distance(gaussian(np.zeros(6), one), gaussian(np.zeros(6), other))
    assert value == pytest.approx(np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-12)


def test_scaled_covariance():
    cov = covariance(3, 8)
    value = frechet_distance(gaussian(np.zeros(8), cov), gaussian(np.zeros(8), 9 * cov))
    assert value == pytest.approx(4 * np.trace(cov), rel=1e-12)


def test_equals_the_textbook_matrix_root():
    one, other = covariance(1, 12), covariance(2, 12)
    root = scipy.linalg.sqrtm(one @ other)
    expected = np.trace(one + other - 2 * root.real)
    value = frechet_distance(gaussian(np.zeros(12), one), gaussian(np.zeros(12), other))
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("smallest", [1e-2, 1e-5, 1e-9, 1e-13, 0.0])
def test_any_conditioning_is_exact(smallest):
    # Rotated, so that no shortcut for diagonal matrices helps; the answer stays closed-form.
    rotation = scipy.linalg.qr(features(4, 10, 10))[0]
    a, b = np.geomspace(1, 1e-2, 10), np.ones(10)
    a[-3:] = smallest
    one, other = ((rotation * values) @ rotation.T for values in (a, b))
    value = frechet_distance(gaussian(np.zeros(10), one), gaussian(np.zeros(10), other))
    assert value == pytest.approx(np.square(np.sqrt(a) - 1).sum(), abs=1e-9)


@given(st.integers(0, 999), st.integers(2, 14), st.integers(2, 14))
def test_symmetric_and_unmoved_by_rotation(seed, count_a, count_b):
    x, y = features(seed, count_a, 8), features(seed + 1, count_b, 8)
    a, b = FeatureStats.of(x, "d"), FeatureStats.of(y, "d")
    scale = frechet_distance(a, b) + np.trace(a.cov + b.cov)
    rotation = scipy.linalg.qr(features(seed + 2, 8, 8))[0]
    turned = frechet_distance(
        FeatureStats.of(x @ rotation, "d"), FeatureStats.of(y @ rotation, "d")
    )
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), abs=1e-9 * scale)
    assert turned == pytest.approx(frechet_distance(a, b), abs=1e-9 * scale)


def test_features_that_never_fire_do_not_matter():
    x, y = features(0, 60, 5), features(1, 60, 5)
    padded = [FeatureStats.of(np.pad(values, ((0, 0), (0, 3))), "d") for values in (x, y)]
    plain = [FeatureStats.of(values, "d") for values in (x, y)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(*plain), rel=1e-11)


def test_constant_images_have_a_distance():
    ones, twos = (FeatureStats.of(np.full((5, 4), value), "d") for value in (1.0, 2.0))
    assert frechet_distance(ones, twos) == 4.0


def test_unlike_features_are_refused():
    a, b = gaussian(np.zeros(3), np.eye(3)), gaussian(np.zeros(4), np.eye(4))
    with pytest.raises(ValueError, match="cannot compare 3 features of d with 4"):
        frechet_distance(a, b)
    with pytest.raises(ValueError, match="other"):
        frechet_distance(a, FeatureStats.of(features(0, 9, 3), "other"))


def test_one_image_is_refused():
    one = FeatureStats.of(features(0, 1, 3), "d")
    with pytest.raises(ValueError, match="two images or more"):
        frechet_distance(one, one)


@pytest.mark.parametrize("step", [1e-2, 1e-6, 1e-9, 1e-11, 1e-13])
def test_a_sharp_step_in_the_spectrum_costs_little(step):
    # The hardest case for the roots of eigenvalues: many small ones, far from few large ones.
    rotation = scipy.linalg.qr(features(5, 60, 60))[0]
    values = np.where(np.arange(60) < 10, 1.0, step)
    cov = (rotation * values) @ rotation.T
    stats = gaussian(np.zeros(60), (cov + cov.T) / 2)
    assert frechet_distance(stats, stats) < 2e-8 * values.sum()


def test_a_distance_to_one_set_is_the_distance_of_each_pair():
    real, many = FeatureStats.of(features(0, 60, 5), "d"), features(1, 60, 5)
    dead = many.copy()
    dead[:, 2] = 7
    few = FeatureStats.of(many[:3], "d")
    distance = FrechetTo(real)
    for fake in (FeatureStats.of(many, "d"), FeatureStats.of(dead, "d"), few, real):
        assert distance(fake) == frechet_distance(fake, real)


def test_gradient_of_commuting_covariances_has_a_closed_form():
    """A = sqrt(lambda_b / lambda_a) in the common directions; 0 where b has none."""
    rotation = np.linalg.qr(features(0, 5, 5))[0]
    of_a, of_b = np.array([1.0, 4, 9, 0.1, 2]), np.array([4.0, 1, 9, 2, 0])
    a = gaussian(np.ones(5), (rotation * of_a) @ rotation.T)
    b = gaussian(np.zeros(5), (rotation * of_b) @ rotation.T)
    value, gradient = FrechetTo(b).with_gradient(a)
    assert value == pytest.approx(5 + np.square(np.sqrt(of_a) - np.sqrt(of_b)).sum())
    assert np.allclose(gradient.mean, 2)
    slopes = np.diag(rotation.T @ gradient.cov @ rotation)
    assert slopes == pytest.approx(1 - np.sqrt(of_b / of_a))


@pytest.mark.parametrize(("images", "reals"), [(60, 50), (60, 4), (4, 50)])
def test_gradient_is_the_slope_of_the_distance(images, reals):
    """Also where the real or the generated images span a part of the features only."""
    a, b = (FeatureStats.of(features(seed, n, 6), "d") for seed, n in ((0, images), (1, reals)))
    value, gradient = FrechetTo(b).with_gradient(a)
    assert value == pytest.approx(frechet_distance(a, b))
    rng = np.random.default_rng(2)
    step = rng.standard_normal(6)
    root = np.linalg.cholesky(a.cov + 1e-12 * np.eye(6)) @ rng.standard_normal((6, 6))
    change = root @ root.T if images > 6 else a.cov @ a.cov  # within what a spans
    moved = [
        frechet_distance(gaussian(a.mean + s * step, a.cov + s * change, count=a.count), b)
        for s in (1e-5, -1e-5)
    ]
    slope = gradient.mean @ step + (gradient.cov * change).sum()
    assert (moved[0] - moved[1]) / 2e-5 == pytest.approx(slope, rel=1e-4)


def test_features_in_several_tiles_equal_the_plain_product():
    a, b = (FeatureStats.of(features(seed, 800, 300), "d") for seed in (0, 1))
    low_a, low_b = (np.linalg.cholesky(stats.cov) for stats in (a, b))
    root = np.linalg.svd(low_a.T @ low_b, compute_uv=False).sum()
    shift = np.square(a.mean - b.mean).sum()
    expected = shift + np.trace(a.cov) + np.trace(b.cov) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_influence_of_the_second_side_is_the_closed_form_of_axes():
    a, b = np.array([1.0, 4.0, 0.0, 9.0, 1e-12]), np.array([9.0, 1.0, 0.0, 4.0, 1.0])
    mean = np.array([0.5, -1.0, 0.0, 2.0, 0.0])
    shift = np.random.default_rng(0).standard_normal((30, 5)) * np.sqrt(b)
    distance = FrechetTo(gaussian(np.zeros(5), np.diag(b)))
    _, gradient = distance.with_gradient(gaussian(mean, np.diag(a)), shift.astype(np.float32))
    map_back = np.sqrt(np.divide(a, b, out=np.zeros(5), where=b > 0))
    expected = (np.square(shift) * (1 - map_back) - 2 * shift * mean).sum(axis=1)
    np.testing.assert_allclose(gradient.of_b, expected, atol=1e-5)


@pytest.mark.parametrize("steepness", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("count", [300, 30])
def test_influence_of_the_second_side_is_that_of_the_distance_the_other_way_round(steepness, count):
    """Real features have spectra as steep; of 30 vectors the first side spans a part alone."""
    rng = np.random.default_rng(1)
    scale = np.arange(1, 61) ** -steepness
    y = rng.standard_normal((200, 60)) * scale @ np.linalg.qr(rng.standard_normal((60, 60)))[0]
    a = FeatureStats.of(0.3 + 1.4 * rng.standard_normal((count, 60)) * scale, "d")
    b = FeatureStats.of(y, "d")
    _, gradient = FrechetTo(b).with_gradient(a, y)
    _, other = FrechetTo(a).with_gradient(b)
    shift = y - b.mean
    expected = shift @ other.mean + np.einsum("ni,ij,nj->n", shift, other.cov, shift)
    np.testing.assert_allclose(gradient.of_b, expected, atol=1e-5 * expected.std())
