"""Losses, penalties and their gradients equal the official ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.formats.official import discriminator_state, generator_state
from stylegan.networks.layers import mean_pool, upsample_nearest
from stylegan.training import losses
from tests.train import golden

LODS = (0.0, 0.5)  # fakes and reals are full size at both
FLOAT32 = torch.float32
FLOAT64 = torch.float64


def official_losses(row, lod, dtype):
    """Every loss of the file of `row`, by our functions, from our networks."""
    G, D = golden.generator(row, dtype), golden.discriminator(row, dtype)
    reals = golden.tensor(row, "reals", dtype).requires_grad_()
    with torch.no_grad():
        ws = G.mapping(golden.tensor(row, "latents", dtype))
        drawn = G.synthesis(ws, G.g.fixed_noise(lod), lod)
    fakes = drawn.requires_grad_()
    real, fake = D(reals, lod=lod), D(fakes, lod=lod)
    t = golden.tensor(row, "wgan_mixing_factors", dtype)
    mixed = losses.mix_images(reals.detach(), fakes.detach(), t).requires_grad_()
    mixed_scores = D(mixed, lod=lod)
    norms2 = losses.squared_gradient_norm(mixed_scores, mixed, lod)
    r1 = losses.squared_gradient_norm(real, reals, lod)
    d_logistic = losses.d_logistic(real, fake)
    d_wgan = losses.d_wgan(real, fake, 0.001)
    # The official sum of [N, 1] and [N] broadcasts to [N, N]; its mean is that of the sum.
    values = {
        "loss_real_scores": real,
        "loss_fake_scores": fake,
        "loss_G_logistic_nonsaturating": losses.g_logistic_nonsaturating(fake),
        "loss_G_wgan": losses.g_wgan(fake),
        "loss_D_logistic": d_logistic,
        "loss_D_wgan": d_wgan,
        "r1_penalty": r1,
        "r2_penalty": losses.squared_gradient_norm(fake, fakes, lod),
        "wgan_mixed_scores": mixed_scores,
        "wgan_mixed_norms": norms2.sqrt(),
        "loss_D_logistic_r1": d_logistic + 5 * r1,
        "loss_D_wgan_gp": d_wgan + losses.gradient_penalty(norms2, 10.0, 1.0),
    }
    means = {
        "mean_" + key: value.mean() for key, value in values.items() if key.startswith("loss_")
    }
    return {f"{key}_lod_{lod:g}": value.detach().numpy() for key, value in (values | means).items()}


@pytest.mark.parametrize("row", golden.ROWS)
@pytest.mark.parametrize("lod", LODS)
def test_losses_in_float32(row, lod):
    expected, compared = golden.numbers(row), 0
    for key, value in official_losses(row, lod, FLOAT32).items():
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
    for key, value in official_losses(row, lod, FLOAT64).items():
        if key in expected:
            np.testing.assert_allclose(value, expected[key], rtol=1e-8, atol=1e-12, err_msg=key)
            compared += 1
    assert compared == 17


def gradients(row, lod, dtype):
    """d mean loss / d raw variable under official names, for the three losses of the file."""
    G, D = golden.generator(row, dtype), golden.discriminator(row, dtype)
    ws = G.mapping(golden.tensor(row, "latents", dtype))
    fakes = G.synthesis(ws, G.g.fixed_noise(lod), lod)
    losses.g_logistic_nonsaturating(D(fakes, lod=lod)).mean().backward()
    G_grads = official_gradients(row, "G", G)
    D.zero_grad()
    reals, fakes = golden.tensor(row, "reals", dtype).requires_grad_(), fakes.detach()

    real = D(reals, lod=lod)
    r1 = losses.squared_gradient_norm(real, reals, lod)
    (losses.d_logistic(real, D(fakes, lod=lod)).mean() + 5 * r1.mean()).backward()
    r1_grads = official_gradients(row, "D", D)
    D.zero_grad()

    t = golden.tensor(row, "wgan_mixing_factors", dtype)
    mixed = losses.mix_images(reals.detach(), fakes, t).requires_grad_()
    norms2 = losses.squared_gradient_norm(D(mixed, lod=lod), mixed, lod)
    d_wgan = losses.d_wgan(D(reals, lod=lod), D(fakes, lod=lod), 0.001)
    (d_wgan.mean() + losses.gradient_penalty(norms2, 10.0, 1.0).mean()).backward()
    return {
        "Ggrad_logistic_ns": G_grads,
        "Dgrad_logistic_r1": r1_grads,
        "Dgrad_wgan_gp": official_gradients(row, "D", D),
    }


def official_gradients(row, which, network):
    """Gradients in the layout of the official variables: read them back through the importer."""
    names = [str(name) for name in golden.numbers(row)[f"{which}_trainable_names"]]
    by_name = {}
    shapes = golden.variables(row, which)
    state_of = generator_state if which == "G" else discriminator_state
    grads = {k: p.grad for k, p in network.named_parameters()}
    for name in names:
        # The importer, given a variable of running numbers, tells where each number goes.
        count = np.arange(shapes[name].size, dtype=np.float64).reshape(shapes[name].shape)
        marked = {k: np.full(v.shape, -1.0) for k, v in shapes.items()} | {name: count}
        state = state_of(marked, golden.RESOLUTION)
        ours = next(k for k, v in state.items() if k in grads and v.max() >= 0)
        flat = np.zeros(count.size)
        if grads[ours] is not None:
            flat[state[ours].numpy().astype(int).ravel()] = grads[ours].numpy().ravel()
        by_name[name] = flat.reshape(count.shape)
    return by_name


@pytest.mark.parametrize("row", golden.ROWS)
@pytest.mark.parametrize("lod", LODS)
def test_gradients_in_float32(row, lod):
    expected = golden.numbers(row)
    for loss, grads in gradients(row, lod, FLOAT32).items():
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
    for loss, grads in gradients(row, lod, FLOAT64).items():
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
