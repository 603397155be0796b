"""Checkpoints of others wherever one of ours is taken: by the commands that users type."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan.convert import main as convert
from stylegan.opening import load_for_evaluation, open_networks
from stylegan.sample.cli import main as sample
from stylegan.train import main as train
from stylegan_eval.errors import UserError
from tests.formats import peers_genforce, peers_huangzh13, peers_rosinality
from tests.formats import peers_rosinality as peer

STATES = {
    "rosinality": peer.full,
    "genforce": peers_genforce.generator,
    "huangzh13": peers_huangzh13.generator,
}


def run(command, *arguments):
    return CliRunner().invoke(command, [str(word) for word in arguments])


def images(path, z, out):
    result = run(sample, "export", "--ckpt", path, "--latents", z, "--noise", "fixed", out)
    assert result.exit_code == 0, result.output
    return np.load(out)


@pytest.mark.parametrize("as_zip", [True, False])
@pytest.mark.parametrize("layout", STATES)
def test_a_peers_file_is_drawn_and_converted(tmp_path, layout, as_zip):
    path, z = tmp_path / "peer.model", tmp_path / "z.npy"
    torch.save(STATES[layout](), path, _use_new_zipfile_serialization=as_zip)
    assert run(convert, "--describe", path).exit_code == 0
    width = open_networks(path)[1].config.network.z_dim
    np.save(z, np.random.default_rng(0).standard_normal((2, width), dtype=np.float32))
    drawn = images(path, z, tmp_path / "a.npy")
    assert drawn.std() > 0.01
    ours = tmp_path / "ours.safetensors"
    result = run(convert, path, ours)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(images(ours, z, tmp_path / "b.npy"), drawn)
    for each in (path, ours):
        assert load_for_evaluation(each, torch.device("cpu")).mirrored is None


def test_a_peers_network_becomes_a_program(tmp_path):
    path, out = tmp_path / "peer.pth", tmp_path / "peer.ts"
    torch.save(peers_huangzh13.generator(), path)
    result = run(convert, path, out, "--to", "torchscript")
    assert result.exit_code == 0, result.output
    assert "differs from this network by at most" in result.output
    assert out.stat().st_size > 10_000


def test_training_does_not_begin_with_rosinalitys_discriminator(tmp_path):
    path = tmp_path / "train_step.model"
    torch.save(peer.full(), path)
    out = tmp_path / "run"
    result = run(train, "--init", path, "--data", tmp_path / "x.zip", "--out", out)
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert "discriminator" in result.output
    assert not out.exists()


def test_tensors_of_no_known_layout_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(2, 2)}, path)
    result = run(convert, "--describe", path)
    assert result.exit_code == 1
    assert "holds tensors of no layout that is known" in result.output


WRAPPINGS = {
    "g_ema": lambda state: {"g_ema": state},
    "state_dict": lambda state: {"state_dict": state},
    "model": lambda state: {"model": state, "epoch": 3, "args": {"lr": 0.1}},
    "averaged among others": lambda state: {
        "net": {name: value * 2 for name, value in state.items()},
        "net_ema": state,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
    },
    "parallel": lambda state: {"g_ema": {f"module.{name}": v for name, v in state.items()}},
    "beside extra entries": lambda state: {**state, "step": 7, "loss": 0.5, "config": {"a": 1}},
    "parts within": lambda state: {"state_dict": {"g_ema": state, "iteration": 4}},
}
GENERATORS = {
    "rosinality": lambda: peers_rosinality.generator((8, 8, 4), fused_from=2),
    "genforce": lambda: peers_genforce.generator((8, 8, 4)),
    "huangzh13": lambda: peers_huangzh13.generator((8, 8, 4)),
}


@pytest.mark.parametrize("layout", GENERATORS)
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_state_under_any_name_is_found(tmp_path, layout, wrapping):
    state = GENERATORS[layout]()
    torch.save(state, tmp_path / "bare.pt")
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "wrapped.pt")
    bare, wrapped = (open_networks(tmp_path / f"{n}.pt")[1] for n in ("bare", "wrapped"))
    assert bare.networks.keys() == wrapped.networks.keys()
    for name, value in bare.networks["G_ema"].items():
        assert torch.equal(value, wrapped.networks["G_ema"][name])


PAIRS = [
    ("gen", "gen_shadow"),
    ("G", "Gs"),
    ("generator", "generator_ema"),
    ("netG", "netGEma"),
    ("g_noema", "ema"),
    ("generator", "generator_smooth"),
    ("net", "net_avg"),
    ("schema", "G-averaged"),
]


@pytest.mark.parametrize("layout", GENERATORS)
@pytest.mark.parametrize(("raw", "average"), PAIRS)
def test_the_average_is_taken_whatever_the_order_of_names(tmp_path, layout, raw, average):
    state = GENERATORS[layout]()
    changed = [name for name in state if "to_rgb" in name or "output" in name]
    other = {**state, **{name: state[name] * 2 for name in changed}}
    torch.save(state, tmp_path / "bare.pt")
    expected = open_networks(tmp_path / "bare.pt")[1].networks["G_ema"]
    entries = [(raw, other), (average, state), ("epoch", 3)]
    for order in (entries, entries[::-1]):
        torch.save(dict(order), tmp_path / "both.pt")
        networks = open_networks(tmp_path / "both.pt")[1].networks
        assert all(torch.equal(value, expected[name]) for name, value in networks["G_ema"].items())


@pytest.mark.parametrize("names", [("g_noema", "g"), ("G", "G2"), ("g_ema_0.99", "g_ema_0.999")])
def test_generators_that_names_do_not_tell_apart_are_refused_until_one_is_left(tmp_path, names):
    first, second = (GENERATORS["genforce"]() for _ in names)
    path = tmp_path / "both.pt"
    torch.save(dict(zip(names, (first, second), strict=True)), path)
    with pytest.raises(UserError, match=", ".join(sorted(names))) as refusal:
        open_networks(path)
    assert 'torch.save({"g_ema": NETWORK}, FILE)' in str(refusal.value)
    torch.save({"g_ema": torch.load(path, weights_only=True)[names[1]]}, path)
    assert "G_ema" in open_networks(path)[1].networks


UNSAID = {
    "only.pt": lambda: {"generator": peers_genforce.generator((8, 8, 4))},
    "model.pt": lambda: {"model": peers_rosinality.generator((8, 8, 4), fused_from=2)},
    "GAN_GEN_5_40.pth": lambda: peers_huangzh13.generator((8, 8, 4)),
}
SAID = {
    "GAN_GEN_SHADOW_5_40.pth": lambda: peers_huangzh13.generator((8, 8, 4)),
    "g.pt": lambda: {"g_ema": peers_genforce.generator((8, 8, 4))},
    "140000.model": lambda: peers_rosinality.generator((8, 8, 4), fused_from=2),
}


@pytest.mark.parametrize("name", [*UNSAID, *SAID])
def test_every_result_says_where_an_average_is_only_assumed(tmp_path, name):
    torch.save({**UNSAID, **SAID}[name](), tmp_path / name)
    notes = "; ".join(load_for_evaluation(tmp_path / name, torch.device("cpu")).notes)
    assert ("taken for the averaged generator" in notes) == (name in UNSAID)


def test_every_result_says_what_was_assumed(tmp_path):
    path, ours = tmp_path / "g_ema.pt", tmp_path / "ours.safetensors"
    torch.save({"g_ema": peers_genforce.generator((8, 8, 8, 8, 8, 4), labels=3)}, path)
    assert run(convert, path, ours).exit_code == 0
    for each in (path, ours):
        notes = "; ".join(load_for_evaluation(each, torch.device("cpu")).notes)
        for words in ("genforce", "fused from 128x128", "mapping_lr_mul", "each class as often"):
            assert words in notes


def test_an_average_of_another_name_keeps_what_training_goes_on_with(tmp_path):
    states = {
        "generator": peers_genforce.generator((8, 8, 4)),
        "discriminator": peers_genforce.discriminator((8, 8, 4)),
        "generator_ema": peers_genforce.generator((8, 8, 4), seed=1),
    }
    torch.save(states, tmp_path / "all.pt")
    networks = open_networks(tmp_path / "all.pt")[1].networks
    assert networks.keys() == {"G_ema", "G", "D"}
    weights = states["generator_ema"]["synthesis.output0.weight"]
    assert torch.equal(networks["G_ema"]["g.to_rgb.0.weight"], weights)


def test_files_of_an_older_version_are_told_apart(tmp_path):
    """Before July 2019 a layer's convolution stood alone, with no blur behind it."""
    state = {}
    for name, value in GENERATORS["rosinality"]().items():
        if ".weight_flip" not in name and ".conv1.2." not in name:
            state[name.replace("conv1.1.conv", "conv1.conv").replace("conv1.0.", "conv1.conv.")] = (
                value
            )
    torch.save({"generator": state, "g_running": state}, tmp_path / "old.model")
    with pytest.raises(UserError, match=r"g_running is of an older version of that code \(before"):
        open_networks(tmp_path / "old.model")
