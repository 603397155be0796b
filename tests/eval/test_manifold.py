import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan_eval.errors import UserError
from stylegan_eval.metrics import precision_recall as manifold
from stylegan_eval.metrics.precision_recall import CLOSED, OPEN, measure, radii
from stylegan_eval.results.significance import rate_stderr


def precision_recall(real, fake, k):
    measured, _ = measure(real, fake, k, CLOSED)
    return measured.precision, measured.recall


def prdc(real, fake, k):
    return measure(real, fake, k, OPEN)[0]


def features(count, dim=16, shift=0.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=rng) + shift


def naive(real, fake, k, inside):
    """From all distances at once, computed by differences."""

    def apart(a, b):
        difference = a.double().numpy()[:, None] - b.double().numpy()[None]
        return np.sqrt(np.square(difference).sum(axis=2)).astype(np.float32)

    real_radii, fake_radii = (np.sort(apart(x, x), axis=1)[:, k] for x in (real, fake))
    between = apart(real, fake)
    in_real = inside(between, real_radii[:, None])
    return (
        in_real.any(axis=0).mean(),
        inside(between, fake_radii).any(axis=1).mean(),
        in_real.sum(axis=0).mean() / k,
        inside(between.min(axis=1), real_radii).mean(),
    )


def values(found):
    return found.precision, found.recall, found.density, found.coverage


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.5, 100.0])
def test_values_equal_the_plain_formulas(k, shift):
    real, fake = features(90), features(70, shift=shift / 16, seed=1)
    assert values(prdc(real, fake, k)) == pytest.approx(naive(real, fake, k, np.less), abs=1e-12)
    expected = naive(real, fake, k, np.less_equal)[:2]
    assert precision_recall(real, fake, k) == pytest.approx(expected, abs=1e-12)


def test_values_equal_the_package_of_naeem_et_al(monkeypatch, capsys):
    import prdc as package
    import sklearn.metrics

    plain = sklearn.metrics.pairwise_distances
    # It asks for eight processes.
    monkeypatch.setattr(
        sklearn.metrics, "pairwise_distances", lambda x, y, metric, n_jobs: plain(x, y, metric)
    )
    real, fake = features(300), features(250, shift=0.15, seed=1)
    theirs = package.compute_prdc(real.numpy(), fake.numpy(), 5)
    found = prdc(real, fake, 5)
    assert 0 < found.recall < 1
    for name, value in theirs.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-12), name


def test_values_equal_torch_fidelitys():
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, fake = features(300), features(250, shift=0.15, seed=1)
    # In its order generated images come first.
    theirs = prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
    expected = (theirs["precision"], theirs["recall"])
    assert precision_recall(real, fake, 3) == pytest.approx(expected, abs=1e-6)


def test_tiles_do_not_matter(monkeypatch):
    real, fake = features(90), features(70, shift=0.2, seed=1)
    whole, fake_radii = prdc(real, fake, 3), radii(fake, 3)
    monkeypatch.setattr(manifold, "TILE", 7)
    assert prdc(real, fake, 3) == whole
    assert torch.equal(radii(fake, 3), fake_radii)


@pytest.mark.parametrize("tile", [5, 64, 2048])
def test_copies_of_real_images_lie_exactly_on_boundaries(tile, monkeypatch):
    monkeypatch.setattr(manifold, "TILE", tile)
    real = features(60, dim=40, shift=30.0)
    fake = real[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    found = prdc(real, fake, 3)
    # Around each image there are itself and two neighbours nearer than the third.
    assert values(found) == (1, 1, 1, 1)
    closed, _ = measure(real, fake, 3, CLOSED)
    assert closed.density == pytest.approx(4 / 3)


def test_repeated_images_are_neighbours_at_distance_zero():
    real = features(10).repeat(4, 1)
    assert radii(real, 3).tolist() == [0] * 40
    assert precision_recall(real, real[:5].repeat(4, 1), 3) == (1.0, 0.5)
    assert prdc(real, real, 3).precision == 0


@pytest.mark.parametrize(("inside", "words"), [(OPEN, "nothing"), (CLOSED, "copies alone")])
def test_balls_without_radius_are_noted(inside, words):
    real, fake = features(12), features(9, seed=1)
    assert measure(real, fake, 3, inside)[1] == ""
    real[:5] = real[0]
    _, note = measure(real, fake, 3, inside)
    assert note == f"5 of 12 real images have 3 copies or more: their balls hold {words}"
    _, note = measure(real, fake[:1].repeat(9, 1), 3, inside)
    assert note.startswith("5 of 12 real images and 9 of 9 generated images have 3 copies")


@pytest.mark.parametrize("shift", [0.0, 1.5, 4.0, 40.0])
def test_errors_are_those_of_repeated_samples(shift):
    """Generated images redrawn; also where most or all of them lie in no ball."""
    real = features(150, dim=3)
    found = []
    for seed in range(100):
        one, _ = measure(real, features(100, dim=3, seed=seed + 1) + shift, 3, OPEN)
        found.append((one.precision, one.precision_stderr, one.density, one.density_stderr))
    precision, precision_stderr, density, density_stderr = np.transpose(found)
    for values, errors in ((precision, precision_stderr), (density, density_stderr)):
        assert errors.min() > 0
        if values.any() and np.count_nonzero(values) > 50:
            # 100 repetitions know a standard deviation to 7 %.
            assert 0.8 < np.mean(errors) / np.std(values, ddof=1) < 1.35
        else:
            assert np.mean(errors) > np.std(values, ddof=1) * 0.8


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_rate_without_exceptions_has_an_error(share):
    """About what makes such a rate likely: a chance of 1 / n leaves it out in 37 % of samples."""
    assert 0.5 / 1000 < rate_stderr(share, 1000) < 1.5 / 1000
    assert rate_stderr(0.5, 1000) == pytest.approx((0.25 / 1000) ** 0.5)


def test_balls_on_a_line():
    real = torch.arange(5.0)[:, None]
    fake = torch.tensor([[0.0], [4.5], [5.0], [5.5]])
    # Real balls reach 1 to each side; the ends of the fakes' reach 4.5 .5 .5 .5.
    assert precision_recall(real, fake, 1) == (0.75, 1.0)
    found = prdc(real, fake, 1)
    assert values(found) == (0.5, 1.0, 0.5, 0.4)


@settings(max_examples=20, deadline=None)
@given(st.integers(6, 20), st.integers(6, 20), st.integers(1, 5), st.integers(0, 1000))
def test_order_does_not_matter(n, m, k, seed):
    real, fake = features(n, dim=3, seed=seed), features(m, dim=3, seed=seed + 1)
    assert prdc(real.flip(0), fake.flip(0), k) == prdc(real, fake, k)
    precision, recall = precision_recall(real, fake, k)
    assert precision_recall(fake, real, k) == (recall, precision)


def test_too_few_images_are_refused():
    for real, fake in ((3, 9), (9, 3)):
        with pytest.raises(UserError, match="there are 3"):
            precision_recall(features(real), features(fake), 3)
    with pytest.raises(UserError, match="k of at least 1"):
        prdc(features(9), features(9), 0)
