"""Schedules in closed form."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan.sample.projection import noise_factor, rate_factor

SHARES = st.floats(0, 1)


@pytest.mark.parametrize("t", [0.0, 0.01, 0.05, 0.3, 0.75, 0.8, 0.95, 1.0])
def test_the_rate_rises_in_a_line_and_falls_as_half_a_cosine(t):
    if t < 0.05:
        expected = t / 0.05
    elif t <= 0.75:
        expected = 1.0
    else:
        expected = (1 + math.cos(math.pi * (t - 0.75) / 0.25)) / 2
    assert rate_factor(t) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 0.75, 0.9])
def test_the_noise_is_a_parabola_over_the_first_three_quarters(t):
    assert noise_factor(t) == pytest.approx(((0.75 - t) / 0.75) ** 2 if t < 0.75 else 0)


@given(SHARES, SHARES)
def test_factors_lie_between_0_and_1_and_noise_never_grows(one, other):
    for t in (one, other):
        assert 0 <= rate_factor(t) <= 1
        assert 0 <= noise_factor(t) <= 1
    early, late = sorted((one, other))
    assert noise_factor(late) <= noise_factor(early)
