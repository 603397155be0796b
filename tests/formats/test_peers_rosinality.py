"""Generators of rosinality's layout run exactly as there."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylegan.formats.torch_files import read_peer
from stylegan.network_file import save_network
from stylegan.opening import open_networks
from stylegan.snapshot import check_parts, load_discriminator, load_generator
from stylegan_eval.errors import UserError
from tests.formats import peers_rosinality as peer
from tests.formats.imported import generator_of, inputs

FILE = Path("000000.model")
CPU = torch.device("cpu")


@pytest.mark.parametrize("fused_from", [5, 99])
@torch.no_grad()
def test_images_in_double_precision(fused_from):
    state = peer.generator(fused_from=fused_from, dtype=torch.float64)
    network = generator_of(state)
    z, noise = inputs(network)
    ws = network.mapping(z)
    w = peer.mapping(state, z)
    torch.testing.assert_close(ws, w[:, None].expand_as(ws), atol=1e-12, rtol=1e-12)
    expected = peer.synthesis(state, w, noise, step=5)
    assert expected.shape[-1] == network.resolution == 128
    torch.testing.assert_close(network.synthesis(ws, noise), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("lod", [0.25, 1.0, 2.75])
@torch.no_grad()
def test_images_while_growing(lod):
    state = peer.generator(dtype=torch.float64)
    network = generator_of(state)
    z, noise = inputs(network, lod)
    images = network.synthesis(network.mapping(z), noise, lod)
    expected = peer.synthesis(state, peer.mapping(state, z), noise, 5 - int(lod), 1 - lod % 1)
    torch.testing.assert_close(images, expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_images_through_a_file(tmp_path):
    path = tmp_path / "000000.model"
    torch.save(peer.full(), path)
    held = torch.load(path, weights_only=True)
    tree = read_peer(held, path)
    network = load_generator(tree, CPU)
    z, noise = inputs(network, dtype=torch.float32)
    state = held["g_running"]
    expected = peer.synthesis(state, peer.mapping(state, z), noise, step=5)
    images = network.synthesis(network.mapping(z), noise)
    assert (images - expected).abs().max() < 1e-5 * expected.abs().max()
    raw = load_generator(replace(tree, networks={"G_ema": tree.networks["G"]}), CPU)
    expected = peer.mapping(held["generator"], z)
    torch.testing.assert_close(raw.mapping(z)[:, 0], expected, atol=1e-5, rtol=1e-5)


def test_what_was_never_trained_is_left_out():
    tree = read_peer(peer.generator(trained=4), FILE)
    config = tree.config
    assert config.resolution == 32
    assert tree.lod == 0
    assert "64x64" not in tree.facts.note
    assert "128x128, which was never trained" in tree.facts.note
    assert "taken as wholly faded in" in tree.facts.note
    network = load_generator(tree, CPU)
    z, noise = inputs(network, dtype=torch.float32)
    assert [tuple(n.shape[2:]) for n in noise] == [(4, 4), (8, 8), (16, 16), (32, 32)]
    state = peer.generator(trained=4)
    expected = peer.synthesis(state, peer.mapping(state, z), noise, step=3)
    images = network.synthesis(network.mapping(z), noise)
    assert (images - expected).abs().max() < 1e-5 * expected.abs().max()


def test_one_trained_number_makes_a_resolution_trained():
    state = peer.generator(trained=4)
    state["generator.progression.5.noise2.weight_orig"][0, 3] = 1e-30
    assert read_peer(state, FILE).config.resolution == 128


def test_the_centre_of_truncation_is_the_mean_w():
    state = peer.generator(dtype=torch.float64)
    w_avg = generator_of(state).w_avg
    z = torch.randn(200_000, peer.W, generator=torch.Generator().manual_seed(9)).double()
    w = peer.mapping(state, z)
    assert ((w_avg - w.mean(dim=0)).abs() < 5 * w.std(dim=0) / 10_240**0.5).all()
    assert w_avg.abs().max() > 0.1


@pytest.mark.parametrize("activated", [True, False])
def test_its_discriminator_is_refused_with_the_reason(activated):
    tree = read_peer(peer.full(activated=activated), FILE)
    assert tree.networks.keys() == {"G_ema", "G"}
    with pytest.raises(UserError, match=r"training goes on with G_ema, G, D: .*another network"):
        check_parts(tree, ["G_ema", "G", "D"], "training goes on")
    with pytest.raises(UserError, match="another network"):
        load_discriminator(tree, CPU)


def test_fixed_noise_is_one_map_per_resolution_and_always_the_same():
    one, two = (load_generator(read_peer(peer.generator(), FILE), CPU) for _ in range(2))
    maps = one.g.fixed_noise()
    assert [tuple(m.shape) for m in maps] == [(1, 1, 4 << i, 4 << i) for i in range(6)]
    assert all(torch.equal(a, b) for a, b in zip(maps, two.g.fixed_noise(), strict=True))


def test_a_discriminator_alone_is_refused():
    with pytest.raises(UserError, match="lacks the averaged generator"):
        read_peer(peer.discriminator(), FILE)
    with pytest.raises(UserError, match="g_running"):
        read_peer({k: v for k, v in peer.full().items() if k != "g_running"}, FILE)


def test_generators_of_unlike_shapes_are_refused():
    tree = {**peer.full(), "generator": peer.generator(depth=4)}
    with pytest.raises(UserError, match="unlike shapes"):
        read_peer(tree, FILE)


def test_another_blur_is_refused_by_name():
    state = peer.generator()
    state["generator.progression.2.conv1.2.weight"][0, 0, 0, 0] = 0.5
    with pytest.raises(UserError, match=r"another kernel.*progression\.2\.conv1\.2\.weight"):
        read_peer(state, FILE)


def test_a_file_has_as_many_entries_as_the_published_ones():
    state = peer.generator((4, 4, 4, 4, 4, 4, 4, 2, 1), trained=7)
    assert len(state) == 139
    assert read_peer(state, FILE).config.resolution == 256


@torch.no_grad()
def test_our_own_file_of_it_draws_the_same(tmp_path):
    tree = read_peer(peer.full(), FILE)
    save_network(tmp_path / "own.safetensors", tree)
    _, again = open_networks(tmp_path / "own.safetensors")
    assert again.config == tree.config
    assert again.facts == tree.facts
    one, two = load_generator(tree, CPU), load_generator(again, CPU)
    z, noise = inputs(one, dtype=torch.float32)
    assert torch.equal(one.synthesis(one.mapping(z), noise), two.synthesis(two.mapping(z), noise))
