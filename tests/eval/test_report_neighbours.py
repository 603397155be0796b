"""The nearest real image, against every distance there is."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from stylegan_eval.images.files import open_images
from stylegan_eval.metrics import precision_recall
from stylegan_eval.metrics.precision_recall import nearest_of
from stylegan_eval.report.samples import open_neighbourhood, typical_distance

CPU = torch.device("cpu")


@given(st.integers(1, 9), st.integers(2, 40), st.integers(0, 2**31))
def test_the_nearest_is_that_of_all_distances(samples, reals, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(samples, 5)), rng.normal(size=(reals, 5))
    whole = cdist(a, b)
    found, at = nearest_of(torch.from_numpy(a).float(), torch.from_numpy(b).float())
    np.testing.assert_allclose(found, whole.min(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(at, whole.argmin(axis=1))


def test_tiles_change_nothing(monkeypatch):
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 4, generator=rng) for n in (7, 50))
    whole = [nearest_of(a, b), nearest_of(b, b, leave=1)]
    monkeypatch.setattr(precision_recall, "TILE", 4)
    for (values, at), again in zip(
        whole, [nearest_of(a, b), nearest_of(b, b, leave=1)], strict=True
    ):
        torch.testing.assert_close(again[0], values)
        assert torch.equal(again[1], at)


def test_an_image_is_not_its_own_neighbour():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    distances, at = nearest_of(line, line, leave=1)
    assert distances.tolist() == [1, 1, 2, 4]
    assert at.tolist() == [1, 0, 1, 2]
    assert typical_distance(line) == 1.0  # the lower of the middle two
    assert math.isnan(typical_distance(line[:1]))


def test_a_copy_of_a_real_image_finds_it(image_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    folder = image_folder("reals", 12, size=32)
    reals = open_neighbourhood(folder, "efficientnet-lite0", None, CPU)
    with open_images(folder) as files:
        wanted = np.stack([files.read(at) for at in (3, 7)])
        names = [files.names[at] for at in (3, 7)]
    found = reals.nearest(torch.from_numpy(wanted))
    reals.close()
    assert [near.name for near in found] == names
    assert [near.distance for near in found] == pytest.approx([0, 0], abs=1e-2)
    for near, image in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(near.image, image)
    assert reals.typical > 0.1
