import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

import stylegan_eval as se
from stylegan_eval.metrics import precision_recall
from stylegan_eval.metrics.authenticity import authenticity, nearest_real
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.settings.image_metrics import AuthenticitySettings

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


def normal(count, seed, dim=5):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def measured(fake, real):
    network = type("Network", (), {"name": "net", "weights_sha256": "", "device": fake.device})
    settings = AuthenticitySettings(features="efficientnet-lite0", num=len(fake))
    sides = (ImageFeatures(detector=network, vectors=x.numpy()) for x in (fake, real))
    [value] = authenticity(settings, *sides)
    return value


def by_definition(fake, real):
    """Whether d(fake, nearest real) > d(that, the nearest other real), pair by pair."""
    across, within = cdist(fake.double(), real.double()), cdist(real.double(), real.double())
    np.fill_diagonal(within, math.inf)
    at = across.argmin(axis=1)
    return across.min(axis=1) > within.min(axis=1)[at], at


def test_it_is_the_papers_definition(monkeypatch):
    monkeypatch.setattr(precision_recall, "TILE", 7)
    fake, real = normal(60, 1), normal(41, 2)
    new, at = by_definition(fake, real)
    near = nearest_real(fake, real)
    assert near.at.tolist() == at.tolist()
    assert (near.distance > near.own).tolist() == new.tolist()
    assert 0.2 < measured(fake, real).value == new.mean() < 0.9


def test_copies_are_no_new_images_and_images_elsewhere_are():
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    fake = torch.tensor([[0.9], [0.0], [3.5], [3.0], [5.5], [20.0]])
    # Own distances 1, 1, 2, 4: only 20 is farther from 7 than 4.
    assert measured(fake, real).value == pytest.approx(1 / 6)
    assert measured(real, real).value == 0
    assert measured(real + 100, real).value == 1


def test_training_images_that_are_there_twice_have_no_distance_of_their_own():
    twice = torch.tensor([[0.0], [0.0], [5.0]])
    assert measured(torch.tensor([[0.0], [0.1], [4.9], [5.0]]), twice).value == 0.25


def test_error_is_that_of_repeated_samples():
    real = normal(60, 0)
    values = [measured(normal(100, seed), real) for seed in range(1, 201)]
    spread = np.std([value.value for value in values], ddof=1)
    stated = np.mean([value.stderr for value in values])
    assert stated == pytest.approx(spread, rel=0.2)  # four deviations of 200 repeats


def test_copied_pictures_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    real, new = (rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8) for _ in range(2))
    of_copies = se.authenticity(real[:4], real, **LITE)
    assert (of_copies.value, of_copies.name) == (0, "authenticity4_full[efficientnet-lite0]")
    assert of_copies.details["stderr"] == "reals-fixed"
    half = np.concatenate([real[:4], 255 - new[:4] // 4])
    assert se.authenticity(half, real, **LITE).value == 0.5
