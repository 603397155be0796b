"""Random numbers that are the same everywhere: against published numbers, Python, statistics."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stylegan_eval.engine import sampling
from stylegan_eval.engine.sampling import keyed_normal, keyed_uniform, splitmix64

MASK = 2**64 - 1


def in_python(seed, number):
    """Output `number` of SplitMix64, in integers of any size."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_published_outputs_of_a_seed():
    """As Rosetta Code lists them for every language, under "Pseudo-random numbers/Splitmix64"."""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    (ours,) = splitmix64(1234567, torch.tensor([0]), 0, 5).tolist()
    assert [number & MASK for number in ours] == expected


@given(st.integers(0, MASK), st.integers(0, 2**40 - 1), st.integers(0, 2**24 - 1))
def test_integers_are_those_of_python(seed, row, column):
    ours = splitmix64(seed, torch.tensor([row]), column, column + 1)
    assert ours.item() & MASK == in_python(seed, row * 2**24 + column)


@pytest.mark.parametrize("draw", [keyed_normal, keyed_uniform])
def test_a_number_depends_on_its_row_and_column_alone(draw, monkeypatch):
    rows = torch.tensor([3, 2**39, 0, 11])
    whole = draw(7, rows, 1001)
    assert whole.shape == (4, 1001)
    for row, expected in zip(rows, whole, strict=True):
        assert torch.equal(draw(7, row[None], 1001)[0], expected)
    assert torch.equal(draw(7, rows, 10), whole[:, :10])
    assert not torch.equal(draw(8, rows, 10), whole[:, :10])
    monkeypatch.setitem(sampling._AT_ONCE, "cpu", 16)
    torch.testing.assert_close(draw(7, rows, 1001), whole, rtol=0, atol=1e-6)


def test_normals_are_those_of_box_and_muller_in_float64():
    rows = torch.arange(3)
    words = splitmix64(5, rows, 0, 500).numpy().view(np.int32).reshape(3, 500, 2)
    radius = np.sqrt(-2 * np.log(np.abs(words[..., 0].astype(np.float64)) / 2**31 + 2.0**-32))
    angle = words[..., 1] * np.pi / 2**31
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(3, -1)
    np.testing.assert_allclose(keyed_normal(5, rows, 1000), expected, rtol=0, atol=2e-6)


def test_normals_are_normal_and_uniforms_uniform():
    x = keyed_normal(1, torch.arange(50), 20000).double().numpy()
    t = keyed_uniform(1, torch.arange(50), 20000).double().numpy()
    assert stats.kstest(x.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(t.ravel(), "uniform").pvalue > 1e-3
    assert 0 <= t.min() < t.max() < 1
    # Neighbours in a row, the two numbers of an output, and rows are not correlated.
    bound = 5 / np.sqrt(x.size)
    for lag in (1, 2, 3, 4):
        assert abs(np.mean(x[:, lag:] * x[:, :-lag])) < bound
        assert abs(np.mean(np.square(x[:, lag:]) * np.square(x[:, :-lag])) - 1) < 4 * bound
    assert abs(np.mean(x[1:] * x[:-1])) < bound


def test_tails_are_as_heavy_as_they_must_be():
    x = keyed_normal(0, torch.arange(64), 2**17).abs()
    beyond = 2 * stats.norm.sf(4.5) * x.numel()
    assert abs((x > 4.5).sum().item() - beyond) < 5 * beyond**0.5
    assert x.max() <= np.sqrt(2 * 32 * np.log(2)) + 1e-6


def test_no_value_is_asked_for():
    """On meta tensors nothing can be read: shapes and types must do."""
    x = keyed_normal(0, torch.arange(3, device="meta"), 7)
    assert (x.device.type, x.shape, x.dtype) == ("meta", (3, 7), torch.float32)
