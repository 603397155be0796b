import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.engine.statistics import FeatureStats, StatsAccumulator, pack, unpack
from stylegan_eval.errors import UserError


def draw(seed, count, dim=5, offset=1e3):
    """Features far from the origin: sums of plain squares would cancel."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((dim, dim))
    return rng.standard_normal((count, dim)) @ mixing + offset


def assert_equal(stats, features):
    assert stats.count == len(features)
    np.testing.assert_allclose(stats.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.cov, np.cov(features, rowvar=False), rtol=1e-9, atol=1e-9)


def test_statistics_are_numpys():
    features = draw(0, 40)
    assert_equal(FeatureStats.of(features, "d"), features)


@given(st.integers(0, 99), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.randoms())
def test_parts_in_any_order_add_up_to_the_whole(seed, sizes, shuffler):
    features = draw(seed, sum(sizes) + 1)
    parts = np.split(features, np.cumsum(sizes))
    shuffler.shuffle(parts)
    total = FeatureStats.of(parts[0], "d")
    for part in parts[1:]:
        total = total + FeatureStats.of(part, "d")
    assert_equal(total, features)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 16))
def test_a_stream_gives_the_statistics_of_the_whole(sizes, block):
    features = draw(7, sum(sizes) + 2)
    stream = StatsAccumulator("d", block=block)
    for batch in np.split(features, np.cumsum(sizes)):
        stream.add(torch.from_numpy(batch))
    assert_equal(stream.result(), features)


def test_a_stream_does_not_depend_on_its_batches():
    features = torch.from_numpy(draw(1, 500)).float()
    results = []
    for batch in (1, 7, 64, 500):
        stream = StatsAccumulator("d", block=128)
        for part in features.split(batch):
            stream.add(part)
        results.append(stream.result())
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].mean, other.mean)
        np.testing.assert_array_equal(results[0].scatter, other.scatter)


def test_a_stream_can_be_looked_at_before_it_ends():
    features = draw(2, 10)
    stream = StatsAccumulator("d", block=4)
    stream.add(torch.from_numpy(features[:3]))
    assert_equal(stream.result(), features[:3])
    stream.add(torch.from_numpy(features[3:]))
    assert_equal(stream.result(), features)


def test_unlike_detectors_do_not_add():
    with pytest.raises(ValueError, match="do not add"):
        FeatureStats.of(draw(0, 3), "a") + FeatureStats.of(draw(0, 3), "b")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    features = draw(0, 8)
    features[5, 2] = bad
    with pytest.raises(UserError, match="not finite"):
        FeatureStats.of(features, "d")


def test_an_empty_stream_is_refused():
    with pytest.raises(UserError, match="no images"):
        StatsAccumulator("d").result()


def test_shapes_must_fit():
    with pytest.raises(ValueError, match=r"mean \[D\]"):
        FeatureStats(count=3, mean=np.zeros(3), scatter=np.zeros((2, 2)), detector="d")


@pytest.mark.parametrize("dim", [1, 2, 63, 64, 65, 150])
def test_a_packed_scatter_comes_back_the_same(dim):
    scatter = FeatureStats.of(draw(0, 3, dim), "d").scatter
    triangle = pack(scatter)
    np.testing.assert_array_equal(triangle, scatter[np.triu_indices(dim)])
    np.testing.assert_array_equal(unpack(triangle), np.triu(scatter) + np.triu(scatter, 1).T)
