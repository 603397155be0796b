import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan_eval.errors import UserError
from stylegan_eval.metrics import cmmd as module
from stylegan_eval.metrics.cmmd import cmmd, combine, kernel_sums


def embeddings(count, dim=24, shift=0.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(count, dim, generator=rng)
    x[:, 0] += shift
    return x / x.norm(dim=1, keepdim=True)


def naive(x, y, sigma, scale):
    x, y = x.double().numpy(), y.double().numpy()

    def mean(a, b):
        squares = np.square(a[:, None] - b[None]).sum(axis=2)
        return np.exp(-squares / (2 * sigma**2)).mean()

    return scale * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


def value(x, y, **options):
    return cmmd(x, y, **options)[0]


@pytest.mark.parametrize("sigma", [0.5, 10.0])
def test_value_equals_the_plain_formula(sigma):
    x, y = embeddings(30), embeddings(41, shift=1.0, seed=1)
    expected = naive(x, y, sigma, 1000)
    assert value(x, y, sigma=sigma) == pytest.approx(expected, rel=1e-9)


def test_tiles_do_not_matter(monkeypatch):
    x, y = embeddings(30), embeddings(41, shift=1.0, seed=1)
    whole = value(x, y)
    monkeypatch.setattr(module, "TILE", 7)
    assert value(x, y) == pytest.approx(whole, rel=1e-10)


def test_rows_can_be_shared_out():
    x, y = embeddings(30), embeddings(41, shift=1.0, seed=1)
    sums = [
        sum(float(kernel_sums(part, b).rows.sum()) for part in a.split(11))
        for a, b in ((x, x), (y, y), (x, y))
    ]
    assert 1000 * combine(*sums, counts=(30, 41)) == pytest.approx(value(x, y), rel=1e-10)


def test_two_points_have_a_closed_form():
    x, y = torch.eye(3)[:1], torch.eye(3)[1:2]  # at distance sqrt 2
    expected = 1000 * (2 - 2 * math.exp(-1 / 100))
    assert value(x, y) == pytest.approx(expected, rel=1e-12)


def test_equal_sets_are_at_zero():
    x = embeddings(50)
    assert value(x, x) == pytest.approx(0, abs=1e-9)
    assert value(x, x.flip(0)) == pytest.approx(0, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_value_is_symmetric_and_not_negative(n, m, seed):
    x, y = embeddings(n, seed=seed), embeddings(m, seed=seed + 1)
    assert value(x, y) == pytest.approx(value(y, x), abs=1e-9)
    assert value(x, y) > -1e-9


def test_an_empty_set_is_refused():
    with pytest.raises(UserError, match="there are 0 and 4"):
        value(embeddings(4)[:0], embeddings(4))


@pytest.mark.parametrize("redrawn", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_errors_are_those_of_repeated_samples(shift, redrawn):
    found = []
    for seed in range(120):
        y = embeddings(60, seed=2 * seed + 1 if redrawn else 1)
        values = cmmd(embeddings(80, shift=shift, seed=2 * seed), y)
        found.append((values[0], values[2 if redrawn else 1]))
    means, errors = np.transpose(found)
    # 120 repetitions know a standard deviation to 6 %.
    assert 0.8 < np.mean(errors) / np.std(means, ddof=1) < 1.3


def test_errors_do_not_depend_on_tiles(monkeypatch):
    x, y = embeddings(30), embeddings(41, shift=1.0, seed=1)
    whole = cmmd(x, y)
    monkeypatch.setattr(module, "TILE", 7)
    assert cmmd(x, y)[:3] == pytest.approx(whole[:3], rel=1e-9)
    assert 0 < whole[1] < whole[2]


def test_too_few_or_equal_images_have_no_error():
    assert cmmd(embeddings(3), embeddings(9))[1:] == (None, None, "")
    one = embeddings(1).expand(9, -1)
    assert cmmd(one, one)[1:3] == (None, None)
