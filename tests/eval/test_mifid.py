import numpy as np
import pytest
import torch

import stylegan_eval as se
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.errors import UserError
from stylegan_eval.metrics import mifid as module
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.fid import fid_of
from stylegan_eval.metrics.frechet import frechet_distance
from stylegan_eval.metrics.mifid import memorization_distance, mifid
from stylegan_eval.settings.image_metrics import MifidSettings

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


def features(count, dim=8, shift=0.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=rng) + shift


def side(x, blocks=20):
    network = type("Network", (), {"name": "net", "weights_sha256": "", "device": x.device})
    parts = [FeatureStats.of(part, "net") for part in x.tensor_split(blocks)]
    return ImageFeatures(detector=network, blocks=parts, vectors=x.numpy())


def measured(fake, real, **settings):
    few = MifidSettings(features="efficientnet-lite0", num=len(fake), **settings)
    [value] = mifid(few, side(fake), side(real))
    return value


def by_definition(fake, real):
    """Mean over fakes of the least 1 - |cos|, pair by pair."""
    fake, real = fake.double().numpy(), real.double().numpy()
    return np.mean([
        min(1 - abs(f @ r) / np.linalg.norm(f) / np.linalg.norm(r) for r in real) for f in fake
    ])  # fmt: skip


def test_distance_is_that_of_the_nearest_pairs(monkeypatch):
    monkeypatch.setattr(module, "TILE", 7)
    fake, real = features(20, seed=1), features(31, seed=2)
    assert memorization_distance(fake, real) == pytest.approx(by_definition(fake, real), rel=1e-12)


def test_distance_of_copies_is_none_whatever_their_length():
    real = features(30)
    scale = torch.linspace(0.5, 2, 30)[:, None]
    assert memorization_distance(-scale * real, real) == pytest.approx(0, abs=1e-7)
    assert memorization_distance(torch.eye(4)[:2], torch.eye(4)[2:]) == 1


def test_images_without_features_do_not_count():
    fake, real = features(20, seed=1), features(31, seed=2)
    apart = memorization_distance(fake, real)
    nothing = torch.zeros(3, 8)
    both = (torch.cat([fake, nothing]), torch.cat([nothing, real]))
    assert memorization_distance(*both) == apart
    with pytest.raises(UserError, match="all features of a side are 0"):
        memorization_distance(nothing, real)


@pytest.mark.parametrize(("threshold", "divided"), [(0.1, False), (0.9, True)])
def test_number_is_torchmetrics_with_its_sides_exchanged(threshold, divided):
    from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance

    fake, real = features(100, shift=1.0, seed=1), features(140, seed=2)
    theirs = MemorizationInformedFrechetInceptionDistance(
        torch.nn.Identity(), cosine_distance_eps=threshold
    )
    theirs.update(fake, real=True)
    theirs.update(real, real=False)
    ours = measured(fake, real, threshold=threshold)
    assert ours.value == pytest.approx(theirs.compute().item(), rel=1e-6)
    plain = fid_of(side(fake), side(real))
    assert (ours.stderr is None) == divided
    assert (ours.value > 2 * plain.value) == divided
    assert any("below the threshold 0.9" in note for note in ours.notes) == divided
    if not divided:
        assert (ours.value, ours.stderr) == (plain.value, plain.stderr)


def test_near_copies_cost_a_distance_over_their_distance():
    real = features(300, shift=3.0)
    fake = real[:200] + 0.1 * features(200, seed=1)
    stats = (FeatureStats.of(x, "net") for x in (fake, real))
    ours = measured(fake, real)
    apart = by_definition(fake, real)
    assert apart < 0.1
    assert ours.value == pytest.approx(frechet_distance(*stats) / apart, rel=1e-9)
    assert float(ours.details["memorization-distance"]) == pytest.approx(apart, rel=1e-3)


@pytest.mark.parametrize("threshold", [0.0, 1.5])
def test_thresholds_are_those_of_a_cosine(threshold):
    with pytest.raises(UserError, match="--threshold must be above 0 and at most 1"):
        MifidSettings(threshold=threshold)


def test_copied_images_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    result = se.mifid(images[:4], images, **LITE)
    assert result.name == "mifd_efficientnet-lite0_full"
    assert result.protocol["threshold"] == "0.1"
    assert result.stderr is None
    assert "below the threshold 0.1" in result.note
    assert result.value > 1000 * se.fid(images[:4], images, **LITE).value
