"""Networks A to F give the official outputs with the official weights."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.configs import CONFIGS
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import (
    Generator,
    build_discriminator,
    build_generator,
    mix_styles,
    truncate,
)
from stylegan.networks.layers import mean_pool, upsample_nearest
from stylegan.sample.painter import Painter
from stylegan_eval.engine.sampling import to_uint8
from stylegan_eval.errors import UserError
from tests.fresh import draw_noise
from tests.train import golden

STYLED = ("C", "D", "E", "F")
PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-9)]


def to_level(images, lod):
    return mean_pool(images, 2 ** math.floor(lod))


def full_size(images):
    return upsample_nearest(images, golden.RESOLUTION // images.shape[-1])


def assert_images_equal(images, expected):
    """Within 5e-5 of the largest value, as float32 allows."""
    limit = 5e-5 * expected.abs().max()
    assert images.shape == expected.shape
    assert (images - expected).abs().max() < limit


def mean_and_rms(images):
    flat = images.double().flatten(1)
    return torch.stack([flat.mean(dim=1), flat.square().mean(dim=1).sqrt()], dim=1).numpy()


def draw(network, ws, lod=0.0):
    return network.synthesis(ws, network.g.fixed_noise(lod), lod)


@pytest.mark.parametrize("row", golden.ROWS)
@pytest.mark.parametrize("lod", golden.LODS)
@torch.no_grad()
def test_images_at_every_lod(row, lod):
    network = golden.generator(row)
    images = draw(network, network.mapping(golden.tensor(row, "latents")), lod)
    assert images.shape[-1] == golden.RESOLUTION >> math.floor(lod)  # native size
    assert_images_equal(full_size(images), golden.tensor(row, f"images_lod_{lod:g}"))


@pytest.mark.parametrize("row", golden.ROWS)
@torch.no_grad()
def test_float64_images_and_scores_agree_to_ten_digits(row):
    G, D = golden.generator(row, torch.float64), golden.discriminator(row, torch.float64)
    exact = golden.float64_numbers(row)
    ws = G.mapping(golden.tensor(row, "latents", torch.float64))
    reals = golden.tensor(row, "reals", torch.float64)
    for lod in golden.LODS:
        images = mean_and_rms(draw(G, ws, lod))
        np.testing.assert_allclose(
            images, exact[f"images_lod_{lod:g}_mean_rms"], rtol=1e-9, atol=1e-12
        )
        scores = D(to_level(reals, lod), lod=lod)
        np.testing.assert_allclose(scores, exact[f"scores_lod_{lod:g}"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("row", golden.ROWS)
@torch.no_grad()
def test_scores_at_every_lod_and_in_groups(row):
    D = golden.discriminator(row)
    for lod in golden.LODS:
        scores = D(to_level(golden.tensor(row, "reals"), lod), lod=lod)
        torch.testing.assert_close(
            scores, golden.tensor(row, f"scores_lod_{lod:g}"), atol=1e-5, rtol=0
        )
    group = golden.tensor(row, "reals_group")
    for lod in (0.0, 0.5):
        expected = golden.tensor(row, f"scores_group_lod_{lod:g}")
        torch.testing.assert_close(D(group, lod=lod), expected, atol=1e-5, rtol=0)
    expected = golden.tensor(row, "scores_small_lod_0")
    scores = D(golden.tensor(row, "reals")[:2])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("row", golden.ROWS)
@torch.no_grad()
def test_uint8_images(row):
    images = golden.tensor(row, "images_lod_0")
    assert torch.equal(
        to_uint8(images), torch.from_numpy(golden.numbers(row)["images_uint8_lod_0"])
    )


@pytest.mark.parametrize("row", golden.ROWS[1:])
@torch.no_grad()
def test_mapping_and_w_avg(row):
    network = golden.generator(row)
    for latents, key in (("latents", "G_mapping_dlatents"), ("latents2", "G_mapping_dlatents2")):
        ws = network.mapping(golden.tensor(row, latents))
        torch.testing.assert_close(ws, golden.tensor(row, key), atol=1e-5, rtol=1e-5)
    network.update_w_avg(network.mapping(golden.tensor(row, "latents"))[:, 0])
    expected = golden.tensor(row, "dlatent_avg_after_update")
    torch.testing.assert_close(network.w_avg, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("row", STYLED)
@pytest.mark.parametrize(("psi", "cutoff", "name"), [(0.7, 8, "8"), (0.5, 8, "all"), (0.5, 3, "3")])
@torch.no_grad()
def test_truncation(row, psi, cutoff, name):
    network = golden.generator(row)
    ws = truncate(network.mapping(golden.tensor(row, "latents")), network.w_avg, psi, cutoff)
    images = network.synthesis(ws, network.g.fixed_noise())
    assert_images_equal(images, golden.tensor(row, f"images_trunc_psi{psi}_cut{name}_lod_0"))


@pytest.mark.parametrize("row", STYLED)
@torch.no_grad()
def test_style_mixing(row):
    network = golden.generator(row)
    ws = network.mapping(golden.tensor(row, "latents"))
    ws2 = network.mapping(golden.tensor(row, "latents2"))
    mixed = mix_styles(ws, ws2, int(golden.numbers(row)["mix_k"]))
    torch.testing.assert_close(mixed, golden.tensor(row, "dlatents_mixed"), atol=1e-5, rtol=1e-5)
    assert_images_equal(draw(network, mixed), golden.tensor(row, "images_mixed_lod_0"))


@pytest.mark.parametrize(
    ("row", "parameters"),
    [("B", 23_079_115), ("C", 30_400_651), ("D", 26_214_539), ("E", 26_219_627), ("F", 26_219_627)],
)
def test_parameter_counts_at_1024(row, parameters):
    network = CONFIGS[row].network
    with torch.device("meta"):
        G, D = Generator(network, 1024), Discriminator(network, 1024)
    assert sum(p.numel() for p in G.parameters()) == parameters
    assert sum(p.numel() for p in D.parameters()) == 23_087_249


@given(lod=st.floats(0, 3), seed=st.integers(0, 100))
@settings(max_examples=10)
@torch.no_grad()
def test_images_are_continuous_in_lod(lod, seed):
    """A step of 1e-6 in lod moves no pixel by more than its share of the cross-fade."""
    network = golden.generator("F", torch.float64)
    rng = torch.Generator().manual_seed(seed)
    ws = network.mapping(torch.randn(1, network.z_dim, generator=rng, dtype=torch.float64))
    before, after = (full_size(draw(network, ws, x)) for x in (lod, min(lod + 1e-6, 3.0)))
    assert (before - after).abs().max() < 1e-4


@torch.no_grad()
def test_noise_is_an_argument():
    network = golden.generator("F")
    ws = network.mapping(golden.tensor("F", "latents"))
    fixed = draw(network, ws)
    assert not torch.allclose(network.synthesis(ws, []), fixed)
    silent = [torch.zeros_like(noise) for noise in network.g.fixed_noise()]
    torch.testing.assert_close(network.synthesis(ws, []), network.synthesis(ws, silent))
    rng = torch.Generator().manual_seed(0)
    fresh = draw_noise(network, 4, rng, lod=1.0)
    assert [tuple(n.shape) for n in fresh] == [(4, 1, s, s) for s in (4, 4, 8, 8, 16, 16)]
    with pytest.raises(ValueError, match="noise maps"):
        network.synthesis(ws, fresh, lod=0.0)


@torch.no_grad()
def test_truncation_at_the_ends():
    ws, w_avg = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0)), torch.ones(4)
    torch.testing.assert_close(truncate(ws, w_avg, psi=1.0, cutoff=8), ws)
    assert torch.equal(truncate(ws, w_avg, psi=0.3, cutoff=0), ws)
    torch.testing.assert_close(truncate(ws, w_avg, psi=0.0, cutoff=8), torch.ones(2, 8, 4))


def test_truncation_without_mapping_is_refused():
    painter = Painter(golden.generator("B"))
    with pytest.raises(UserError, match="mapping"):
        painter.truncated(painter.ws(np.zeros((1, painter.network.z_dim), np.float32)), psi=0.7)


def test_fresh_weights_follow_the_paper():
    config = golden.small_config("F")
    G, again = build_generator(config, seed=3), build_generator(config, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(G.parameters(), again.parameters(), strict=True))
    other = build_generator(config, seed=4)
    assert not torch.equal(G.g.layers[0].conv.weight, other.g.layers[0].conv.weight)
    weights = torch.cat([layer.weight.flatten() for layer in G.f.layers])
    assert 95 < weights.std() < 105  # N(0, 1 / lrmul)
    assert torch.equal(G.g.input.const, torch.ones_like(G.g.input.const))
    for layer in G.g.layers:
        assert layer.epilogue.noise_weight.abs().max() == 0
        assert layer.epilogue.style.bias.abs().max() == 0
        assert 0.9 < layer.conv.weight.std() < 1.1
        assert 0.7 < layer.epilogue.fixed_noise.std() < 1.3
    D = build_discriminator(config, seed=3)
    assert all(p.abs().max() == 0 for name, p in D.named_parameters() if name.endswith("bias"))


@torch.no_grad()
def test_labels():
    """A conditional network joins the embedding to z before normalising and picks a score."""
    from dataclasses import replace

    config = golden.small_config("F")
    config = replace(config, network=replace(config.network, label_size=3))
    G, D = build_generator(config, seed=0), build_discriminator(config, seed=0)
    z, labels = (
        torch.randn(4, 32, generator=torch.Generator().manual_seed(0)),
        torch.eye(3)[[0, 1, 2, 0]],
    )
    joined = torch.cat([z, G.f.label_embedding.weight[[0, 1, 2, 0]]], dim=1)
    expected = joined / joined.square().mean(dim=1, keepdim=True).sqrt()
    for layer in G.f.layers:
        expected = torch.nn.functional.leaky_relu(
            expected @ (layer.weight * layer.scale).T + layer.bias * 0.01, 0.2
        )
    torch.testing.assert_close(G.mapping(z, labels)[:, 0], expected, atol=1e-5, rtol=1e-5)
    images = draw(G, G.mapping(z, labels))
    scores = torch.cat([D(images, torch.eye(3)[[k] * 4]) for k in range(3)], dim=1)
    torch.testing.assert_close(D(images, labels)[:, 0], scores[torch.arange(4), labels.argmax(1)])
    with pytest.raises(ValueError, match="labels"):
        G.mapping(z)
    with pytest.raises(ValueError, match="labels"):
        D(images)


def test_discriminator_refuses_wrong_sizes_and_groups():
    D = golden.discriminator("F")
    with pytest.raises(ValueError, match="16x16"):
        D(torch.zeros(4, 3, 32, 32), lod=1.0)
    with pytest.raises(ValueError, match="groups of 4"):
        D(torch.zeros(6, 3, 32, 32))
