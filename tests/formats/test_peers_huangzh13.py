"""Networks of huangzh13's layout run exactly as there."""

from pathlib import Path

import pytest
import torch

from stylegan.formats.torch_files import read_peer
from stylegan.snapshot import load_discriminator, load_generator
from stylegan_eval.errors import UserError
from tests.formats import peers_huangzh13 as peer
from tests.formats.imported import discriminator_of, generator_of, inputs

FILE = Path("GAN_GEN_SHADOW_5_40.pth")
CPU = torch.device("cpu")


@pytest.mark.parametrize(("lod", "blurred"), [(0.0, True), (0.0, False), (0.25, True), (2.5, True)])
@torch.no_grad()
def test_images_in_double_precision(lod, blurred):
    state = peer.generator(blurred=blurred, dtype=torch.float64)
    network = generator_of(state)
    z, noise = inputs(network, lod)
    ws, w = network.mapping(z), peer.mapping(state, z)
    torch.testing.assert_close(ws, w[:, None].expand_as(ws), atol=1e-12, rtol=1e-12)
    expected = peer.synthesis(state, w, noise, 5 - int(lod), 1 - lod % 1)
    torch.testing.assert_close(network.synthesis(ws, noise, lod), expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_images_through_a_file(tmp_path):
    torch.save(peer.generator(), tmp_path / FILE)
    state = torch.load(tmp_path / FILE, weights_only=True)
    tree = read_peer(state, tmp_path / FILE)
    assert tree.networks.keys() == {"G_ema"}
    assert tree.config.network.mapping_layers == 4
    network = load_generator(tree, CPU)
    assert torch.equal(network.w_avg, state["truncation.avg_latent"])
    z, noise = inputs(network, dtype=torch.float32)
    expected = peer.synthesis(state, peer.mapping(state, z), noise, 5)
    images = network.synthesis(network.mapping(z), noise)
    assert (images - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
def test_scores_at_every_kind_of_lod():
    state = peer.discriminator(dtype=torch.float64)
    D = discriminator_of(state)
    rng = torch.Generator().manual_seed(0)
    for lod, n in ((0.0, 2), (0.5, 4), (2.0, 8)):
        images = torch.randn(n, 3, 128 >> int(lod), 128 >> int(lod), generator=rng).double()
        scores, expected = D(images, lod=lod), peer.scores(state, images, lod)
        torch.testing.assert_close(scores, expected, atol=1e-10, rtol=1e-10)
    tree = read_peer(peer.discriminator(), FILE)
    assert tree.networks.keys() == {"D"}
    scores = load_discriminator(tree, CPU)(images.float(), lod=lod)
    assert (scores - expected).abs().max() < 1e-5 * expected.abs().max()


@torch.no_grad()
def test_a_discriminator_without_blur():
    state = peer.discriminator((16, 16, 8), blurred=False, dtype=torch.float64)
    D = discriminator_of(state)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(D(images), peer.scores(state, images), atol=1e-10, rtol=1e-10)


@torch.no_grad()
def test_classes():
    state = peer.generator((16, 8), classes=3, dtype=torch.float64)
    network = generator_of(state)
    z, _ = inputs(network)
    label = torch.tensor([2, 0])
    ws = network.mapping(z, torch.eye(3, dtype=torch.float64)[label])
    expected = peer.mapping(state, z, label)
    torch.testing.assert_close(ws[:, 0], expected, atol=1e-12, rtol=1e-12)
    assert torch.equal(read_peer(state, FILE).labels, torch.eye(3))
    critic = {**peer.discriminator(), "class_embedding.weight": torch.zeros(3, 4)}
    with pytest.raises(UserError, match=r"class_embedding\.weight"):
        read_peer(critic, FILE)


@pytest.mark.parametrize("missing", [True, False])
def test_an_average_that_was_never_kept_is_computed(missing):
    state = peer.generator((16, 8))
    if missing:
        del state["truncation.avg_latent"]
    else:
        state["truncation.avg_latent"].zero_()
    tree = read_peer(state, FILE)
    z = torch.randn(200_000, peer.W, generator=torch.Generator().manual_seed(9))
    w = peer.mapping(state, z)
    off = (tree.networks["G_ema"]["w_avg"] - w.mean(dim=0)).abs()
    assert (off < 5 * w.std(dim=0) / 10_240**0.5).all()


def test_a_network_still_growing_is_drawn_at_what_was_trained():
    assert read_peer(peer.generator(), FILE).lod == 0
    tree = read_peer(peer.generator(trained=4), FILE)
    assert (tree.config.resolution, tree.lod) == (128, 2)
    assert "taken as wholly faded in" in tree.facts.note


def test_fixed_noise_is_one_map_per_layer():
    maps = load_generator(read_peer(peer.generator(), FILE), CPU).g.fixed_noise()
    assert [m.shape[-1] for m in maps] == [4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
    assert not any(torch.equal(a, b) for a, b in zip(maps[::2], maps[1::2], strict=True))


def test_two_networks_in_a_file_are_refused():
    file = {"generator": peer.generator(), "discriminator": peer.discriminator()}
    with pytest.raises(UserError, match="a file for each"):
        read_peer(file, FILE)


def test_another_way_to_halve_the_size_is_refused():
    state = peer.discriminator()
    state["blocks.1.conv1_down.downscale.blur.kernel"] /= 2
    with pytest.raises(UserError, match=r"blocks\.1\.conv1_down\.downscale"):
        read_peer(state, FILE)
