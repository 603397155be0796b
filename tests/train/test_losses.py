"""Losses, penalties and their gradients equal the official ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.networks.layers import mean_pool, upsample_nearest
from stylegan.training import losses
from tests.train import golden

LODS = (0.0, 0.5)  # fakes and reals are full size at both
FLOAT32 = torch.float32
FLOAT64 = torch.float64


@pytest.mark.parametrize("row", golden.ROWS)
@pytest.mark.parametrize("lod", LODS)
def test_losses_in_float32(row, lod):
    expected, compared = golden.numbers(row), 0
    for key, value in golden.official_losses(row, lod, FLOAT32).items():
        if key in expected:
            # Penalties are as small as 1e-3: only a relative tolerance means something.
            squared = "penalty" in key or "norms" in key
            rtol, atol = (2e-3, 0.0) if squared else (1e-4, 1e-4)
            np.testing.assert_allclose(value, expected[key], rtol=rtol, atol=atol, err_msg=key)
            compared += 1
    assert compared == 17


@pytest.mark.parametrize("row", golden.ROWS)
@pytest.mark.parametrize("lod", LODS)
def test_losses_in_float64(row, lod):
    expected, compared = golden.float64_numbers(row), 0
    for key, value in golden.official_losses(row, lod, FLOAT64).items():
        if key in expected:
            np.testing.assert_allclose(value, expected[key], rtol=1e-8, atol=1e-12, err_msg=key)
            compared += 1
    assert compared == 17


@pytest.mark.parametrize("row", golden.ROWS)
@pytest.mark.parametrize("lod", LODS)
def test_gradients_in_float32(row, lod):
    expected = golden.numbers(row)
    for loss, grads in golden.official_gradients(row, lod, FLOAT32).items():
        names = [str(name) for name in expected[f"{loss[0]}_trainable_names"]]
        norms = [np.linalg.norm(grads[name]) for name in names]
        stored = expected[f"{loss}_norms_lod_{lod:g}"]
        np.testing.assert_allclose(norms, stored, rtol=5e-3, atol=1e-6, err_msg=loss)
        limit = 2e-2 if loss[0] == "G" else 2e-3
        for key in expected:
            if key.startswith(f"{loss}_lod_{lod:g}/"):
                difference = np.abs(grads[key.split("/", 1)[1]] - expected[key]).max()
                assert difference <= limit * np.abs(expected[key]).max(), key


@pytest.mark.parametrize("row", golden.ROWS)
@pytest.mark.parametrize("lod", LODS)
def test_gradients_in_float64(row, lod):
    expected = golden.float64_numbers(row)
    for loss, grads in golden.official_gradients(row, lod, FLOAT64).items():
        names = [str(name) for name in golden.numbers(row)[f"{loss[0]}_trainable_names"]]
        norms = [np.linalg.norm(grads[name]) for name in names]
        sums = [grads[name].sum() for name in names]
        for values, key in ((norms, "norms"), (sums, "sums")):
            stored = expected[f"{loss}_{key}_lod_{lod:g}"]
            np.testing.assert_allclose(values, stored, rtol=1e-8, atol=1e-12, err_msg=loss + key)


@given(lod=st.floats(0, 3), seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_penalty_has_the_official_strength_at_every_lod(lod, seed):
    """Native resolution over 4^floor(lod) equals the gradient at the full-size image."""
    D = golden.discriminator("F", FLOAT64)
    rng = torch.Generator().manual_seed(seed)
    factor = 2 ** math.floor(lod)
    native = torch.randn(4, 3, 32 // factor, 32 // factor, generator=rng, dtype=FLOAT64)
    full = upsample_nearest(native, factor).requires_grad_()
    (gradient,) = torch.autograd.grad(D(mean_pool(full, factor), lod=lod).sum(), full)
    native.requires_grad_()
    penalty = losses.squared_gradient_norm(D(native, lod=lod), native, lod)
    official = gradient.square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(penalty.detach(), official, rtol=1e-10, atol=0)


def test_closed_forms():
    """R1 of a linear D is |a|^2; WGAN-GP of a 1-Lipschitz one is 0; logistic at 0 is log 2."""
    a = torch.tensor([0.6, 0.0, -0.8], dtype=FLOAT64).reshape(1, 3, 1, 1)
    images = torch.zeros(5, 3, 1, 1, dtype=FLOAT64, requires_grad=True)
    scores = (a * images).sum(dim=(1, 2, 3)).reshape(-1, 1)
    norms2 = losses.squared_gradient_norm(scores, images, 0.0)
    torch.testing.assert_close(norms2, torch.ones(5, dtype=FLOAT64))
    assert losses.gradient_penalty(norms2, 10.0, 1.0).abs().max() < 1e-12
    zero = torch.zeros(1, 1)
    assert losses.g_logistic_nonsaturating(zero).item() == pytest.approx(math.log(2))
    assert losses.d_logistic(zero, zero).item() == pytest.approx(2 * math.log(2))
