"""Networks of genforce's and Hammer's layouts are the official ones."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylegan.formats.torch_files import import_peer, read_peer
from stylegan.runtime import Runtime
from stylegan.snapshot import load_discriminator, load_generator
from stylegan.training.state import TrainState, load_networks
from stylegan_eval.errors import UserError
from tests.formats import peers_genforce as peer
from tests.formats.imported import discriminator_of, generator_of, inputs
from tests.fresh import draw_noise

FILE = Path("networks.pth")
CPU = torch.device("cpu")
LAYOUTS = {"genforce": lambda state: state, "Hammer": peer.as_hammer}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


@layouts
@pytest.mark.parametrize("lod", [0.0, 0.25, 2.0, 4.5])
@torch.no_grad()
def test_images_in_double_precision(layout, lod):
    state = peer.generator(dtype=torch.float64)
    network = generator_of(LAYOUTS[layout](state))
    z = inputs(network)[0]
    w = peer.mapping(state, z)
    ws = network.mapping(z)
    torch.testing.assert_close(ws, w[:, None].expand_as(ws), atol=1e-12, rtol=1e-12)
    stored = network.synthesis(ws, network.g.fixed_noise(lod), lod)
    torch.testing.assert_close(stored, peer.synthesis(state, w, lod=lod), atol=1e-10, rtol=0)
    rng = torch.Generator().manual_seed(4)
    noise = [m.double() for m in draw_noise(network, 2, rng, lod)]
    expected = peer.synthesis(state, w, noise, lod)
    torch.testing.assert_close(network.synthesis(ws, noise, lod), expected, atol=1e-10, rtol=0)


@layouts
@torch.no_grad()
def test_images_from_a_dense_input(layout):
    state = peer.generator((16, 8), dense=True, dtype=torch.float64)
    network = generator_of(LAYOUTS[layout](state))
    ws = network.mapping(inputs(network)[0])
    images = network.synthesis(ws, network.g.fixed_noise())
    torch.testing.assert_close(images, peer.synthesis(state, ws[:, 0]), atol=1e-10, rtol=0)


@layouts
@torch.no_grad()
def test_labels(layout):
    rename, critic = LAYOUTS[layout], peer.discriminator((16, 16, 8), labels=3, dtype=torch.float64)
    state = peer.generator((16, 16, 8), labels=3, dtype=torch.float64)
    file = {"generator": rename(state), "discriminator": rename(critic)}
    imported = import_peer(file, FILE)
    assert imported.config.network.label_size == 3
    G, label = generator_of(file), torch.tensor([2, 0])
    z = inputs(G)[0]
    ws = G.mapping(z, torch.eye(3, dtype=torch.float64)[label])
    expected = peer.mapping(state, z, label)
    torch.testing.assert_close(ws[:, 0], expected, atol=1e-12, rtol=1e-12)
    D = discriminator_of(file)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    expected = peer.scores(critic, images)[[0, 1], label, None]
    scores = D(images, torch.eye(3, dtype=torch.float64)[label])
    torch.testing.assert_close(scores, expected, atol=1e-10, rtol=1e-10)
    assert torch.equal(read_peer(file, FILE).labels, torch.eye(3))


@layouts
@torch.no_grad()
def test_a_training_file_gives_all_three_networks_and_its_progress(tmp_path, layout):
    rename = LAYOUTS[layout]
    states = {
        "generator": peer.generator(lod=1.5, seed=5),
        "discriminator": peer.discriminator(),
        "generator_smooth": peer.generator(lod=1.5),
    }
    file = {
        "models": {name: rename(state) for name, state in states.items()},
        "running_metadata": {"iter": 10, "seen_img": 640_000},
        "optimizers": {},
        "learning_rates": {},
    }
    torch.save(file, tmp_path / "checkpoint.pth")
    tree = read_peer(torch.load(tmp_path / "checkpoint.pth", weights_only=True), FILE)
    assert (tree.format, tree.nimg, tree.lod) == (layout, 640_000, 1.5)
    assert tree.config.resolution == 128
    G, D = load_generator(tree, CPU), load_discriminator(tree, CPU)
    ws = G.mapping(inputs(G)[0].float())
    for part, name in (("G_ema", "generator_smooth"), ("G", "generator")):
        network = load_generator(replace(tree, networks={"G_ema": tree.networks[part]}), CPU)
        expected = peer.synthesis(states[name], ws[:, 0])
        images = network.synthesis(ws, network.g.fixed_noise())
        assert (images - expected).abs().max() < 1e-5 * expected.abs().max()
        assert torch.equal(network.w_avg, states[name]["truncation.w_avg"])
    for n in (2, 8):
        images = torch.randn(n, 3, 128, 128, generator=torch.Generator().manual_seed(0))
        expected = peer.scores(states["discriminator"], images)
        assert (D(images) - expected).abs().max() < 1e-5 * expected.abs().max()


@layouts
def test_one_network_alone(layout):
    rename = LAYOUTS[layout]
    assert read_peer(rename(peer.generator()), FILE).networks.keys() == {"G_ema"}
    both = {"generator": rename(peer.generator()), "discriminator": rename(peer.discriminator())}
    assert read_peer(both, FILE).networks.keys() == {"G_ema", "G", "D"}
    tree = read_peer(rename(peer.discriminator()), FILE)
    assert tree.networks.keys() == {"D"}
    load_discriminator(tree, CPU)
    parallel = {f"module.{name}": value for name, value in rename(peer.generator()).items()}
    assert read_peer(parallel, FILE).format == layout


def test_training_goes_on_with_all_three():
    states = {
        "generator": peer.generator((16, 8), seed=5),
        "discriminator": peer.discriminator((16, 8)),
        "generator_smooth": peer.generator((16, 8)),
    }
    tree = read_peer(states, FILE)
    state = TrainState.fresh(tree.config, Runtime.choose("cpu"), seed=0)
    load_networks(tree, state)
    assert torch.equal(state.G.g.input.const, states["generator"]["synthesis.layer0.const"])
    assert torch.equal(state.G_ema.w_avg, states["generator_smooth"]["truncation.w_avg"])
    assert torch.equal(state.D.dense0.weight, states["discriminator"]["layer3.weight"])


@layouts
def test_an_average_that_was_never_kept_is_computed(layout):
    state = {**peer.generator((16, 8)), "truncation.w_avg": torch.zeros(peer.W)}
    tree = read_peer(LAYOUTS[layout](state), FILE)
    z = torch.randn(200_000, peer.W, generator=torch.Generator().manual_seed(9))
    w = peer.mapping(state, z)
    off = (tree.networks["G_ema"]["w_avg"] - w.mean(dim=0)).abs()
    assert (off < 5 * w.std(dim=0) / 10_240**0.5).all()
    assert "w_avg is the mean" in tree.facts.note


@pytest.mark.parametrize(("fused", "fused_from"), [("auto", 128), (True, 4), (False, 10**6)])
@torch.no_grad()
def test_a_hammer_file_says_how_it_was_built(fused, fused_from):
    state = peer.generator((16, 8, 4), dtype=torch.float64)
    kwargs = {"fused_scale": fused, "mapping_lr_mul": 0.01, "final_tanh": False}
    file = {
        "models": {"generator_smooth": peer.as_hammer(state)},
        "model_kwargs_init": {"generator": kwargs},
    }
    network = generator_of(file)
    ws = network.mapping(inputs(network)[0])
    images = network.synthesis(ws, network.g.fixed_noise())
    expected = peer.synthesis(state, ws[:, 0], fused_from=fused_from)
    torch.testing.assert_close(images, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("final_tanh", True),
        ("use_wscale", False),
        ("noise_type", "channel"),
        ("fused_scale", "maybe"),
        ("mapping_lr_mul", float("nan")),
        ("mapping_lr_mul", "0.01"),
        ("final_tanh", torch.zeros(3)),
        ("fused_scale", torch.zeros(3, 3)),
    ],
)
def test_a_hammer_file_built_otherwise_is_refused(name, value):
    file = {
        "models": {"generator": peer.as_hammer(peer.generator((16, 8)))},
        "model_kwargs_init": {"generator": {name: value}},
    }
    with pytest.raises(UserError, match=f"networks.pth.*{name}.*(expected|only)"):
        read_peer(file, FILE)


@pytest.mark.parametrize("lod", [-1.0, 5.5, 1e9])
def test_a_level_of_detail_beyond_the_network_is_refused(lod):
    with pytest.raises(UserError, match=r"synthesis\.lod"):
        read_peer(peer.generator(lod=lod), FILE)


def test_networks_that_do_not_belong_together_are_refused():
    small, large = peer.generator((16, 16, 8)), peer.generator()
    with pytest.raises(UserError, match="unlike shapes"):
        read_peer({"generator": small, "generator_smooth": large}, FILE)
    with pytest.raises(UserError, match="its generator for 16"):
        read_peer({"generator": small, "discriminator": peer.discriminator()}, FILE)
    narrow = peer.discriminator((16, 16, 4))
    with pytest.raises(UserError, match="feature maps"):
        read_peer({"generator": small, "discriminator": narrow}, FILE)
    with pytest.raises(UserError, match="discriminator is no network of this layout"):
        read_peer({"generator": small, "discriminator": {"x": torch.zeros(1)}}, FILE)


def test_files_have_as_many_entries_as_the_published_ones():
    widths = (4, 4, 4, 4, 4, 4, 4, 2, 1)
    G, D = peer.generator(widths), peer.discriminator(widths)
    assert (len(G), len(D)) == (152, 65)
    tree = read_peer({"generator": G, "discriminator": D}, FILE)
    assert tree.config.resolution == 1024
