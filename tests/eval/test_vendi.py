import numpy as np
import pytest
import torch

import stylegan_eval as se
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import vendi as module
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.vendi import vendi, vendi_score
from stylegan_eval.settings.image_metrics import VendiSettings

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


def features(count, dim, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=rng) * torch.linspace(0.2, 3, dim) + 0.5


def by_definition(x):
    """From all similarities of pairs, as the paper writes it."""
    x = x.double().numpy()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(x @ x.T / len(x))
    values = values[values > 1e-15]
    return np.exp(-np.sum(values * np.log(values)))


@pytest.mark.parametrize(("count", "dim"), [(5, 30), (30, 30), (31, 30), (100, 12), (50, 1)])
def test_score_is_that_of_the_similarities(count, dim, monkeypatch):
    monkeypatch.setattr(module, "TILE", 7)
    x = features(count, dim)
    assert vendi_score(x)[0] == pytest.approx(by_definition(x), rel=1e-10)


@pytest.mark.parametrize("copies", [1, 2, 9])
@pytest.mark.parametrize("kinds", [1, 4])
def test_score_of_orthogonal_kinds_is_their_number(kinds, copies):
    x = torch.arange(1, kinds * copies + 1)[:, None] * torch.eye(kinds, 6).repeat(copies, 1)
    value, stderr = vendi_score(x)
    assert value == pytest.approx(kinds, rel=1e-12)
    assert stderr is None  # too few, or no spread


def test_score_of_unlike_shares_is_that_of_their_entropy():
    x = torch.eye(3).repeat_interleave(torch.tensor([10, 5, 1]), dim=0)
    shares = np.array([10, 5, 1]) / 16
    assert vendi_score(x)[0] == pytest.approx(np.prod(shares**-shares), rel=1e-12)


@pytest.mark.parametrize("count", [40, 400])
def test_errors_are_those_of_repeated_samples(count):
    values, errors = np.transpose([vendi_score(features(count, 8, seed)) for seed in range(200)])
    # 200 repetitions know a standard deviation to 5 %.
    assert 0.8 < errors.mean() / values.std(ddof=1) < 1.25


def row(x):
    network = type("Network", (), {"name": "net", "weights_sha256": "", "device": x.device})
    settings = VendiSettings(features="efficientnet-lite0", num=len(x))
    [value] = vendi(settings, ImageFeatures(detector=network, vectors=x.numpy()), None)
    return value


def test_images_without_direction_are_left_out_with_a_note():
    x = features(20, 4)
    with_black = row(torch.cat([x, torch.zeros(2, 4)]))
    assert with_black.value == vendi_score(x)[0]
    assert "2 images whose features are all 0 are left out" in with_black.notes
    with pytest.raises(UserError, match="all features of net are 0"):
        row(torch.zeros(4, 4))


def test_few_images_have_no_error_and_a_note():
    assert row(features(9, 8)).stderr > 0
    few = row(features(8, 8))
    assert few.stderr is None
    assert any("8 images are no more than 8 features" in note for note in few.notes)


def test_score_of_images(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    same = se.vendi(np.repeat(images[:1], 6, axis=0), **LITE)
    assert (same.name, same.value) == ("vendi6[efficientnet-lite0]", pytest.approx(1))
    assert 1 < se.vendi(images, **LITE).value < 6
