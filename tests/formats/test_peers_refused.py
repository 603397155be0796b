"""Checkpoints of other implementations that are damaged are refused by the name of the tensor."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylegan.formats.torch_files import read_peer
from stylegan.snapshot import load_generator
from stylegan_eval.errors import UserError
from tests.formats import peers_genforce, peers_huangzh13, peers_rosinality

FILE = Path("some.pth")
SMALL = (8, 8, 4)
STATES = {
    "rosinality": lambda: peers_rosinality.generator(SMALL, fused_from=2),
    "genforce G": lambda: peers_genforce.generator(SMALL, labels=2),
    "genforce D": lambda: peers_genforce.discriminator(SMALL),
    "Hammer G": lambda: peers_genforce.as_hammer(peers_genforce.generator(SMALL, labels=2)),
    "Hammer D": lambda: peers_genforce.as_hammer(peers_genforce.discriminator(SMALL)),
    "huangzh13 G": lambda: peers_huangzh13.generator(SMALL),
    "huangzh13 D": lambda: peers_huangzh13.discriminator(SMALL),
}
OPTIONAL = {"synthesis.lod", "lod"}
# By these the kind of network is told: without them others are the wrong ones, and named.
TELLING = {
    "generator.progression.2.conv1.0.weight",
    "g_synthesis.blocks.0.conv0_up.intermediate.kernel",
    "blocks.0.blur.kernel",
    "output.weight",
}


def refused(state):
    """The one line of the refusal."""
    with pytest.raises(UserError) as caught:
        read_peer(state, FILE)
    said = str(caught.value)
    assert said.startswith("some.pth")
    assert "\n" not in said
    assert len(said) < 300
    return said


@pytest.mark.parametrize("kind", STATES)
def test_a_missing_tensor_is_named(kind):
    for name in STATES[kind]():
        state = STATES[kind]()
        del state[name]
        if name in OPTIONAL or (kind.startswith("huangzh13") and name == "truncation.avg_latent"):
            assert read_peer(state, FILE) is not None
        else:
            said = refused(state)
            assert name in said or name in TELLING


@pytest.mark.parametrize("kind", STATES)
def test_a_foreign_tensor_is_named(kind):
    state = STATES[kind]()
    state["layers.99.weight"] = torch.zeros(2)
    assert "foreign tensor 'layers.99.weight'" in refused(state)
    state = STATES[kind]()
    state["\n" * 5000] = torch.zeros(2)
    assert "foreign tensor '\\n" in refused(state)
    state = STATES[kind]()
    state[7] = torch.zeros(2)
    assert "foreign tensor '7'" in refused(state)


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("damage", ["shape", "type", "nan", "none", "repeated", "sparse", "meta"])
def test_a_damaged_tensor_is_named(kind, damage):
    for name in STATES[kind]():
        state = STATES[kind]()
        value = state[name]
        if damage == "shape":
            state[name] = value[None].repeat(2, *[1] * value.ndim)
        elif damage == "type":
            state[name] = value.to(torch.int32)
        elif damage == "nan":
            value.view(-1)[-1] = float("nan")
        elif damage == "repeated":
            state[name] = value.view(-1)[0].expand(1 << 16, 1 << 16)
        elif damage == "sparse":
            state[name] = value.to_sparse()
        elif damage == "meta":
            state[name] = value.to("meta")
        else:
            state[name] = None
        assert name in refused(state)


@pytest.mark.parametrize("kind", STATES)
def test_numbers_beyond_float32_are_refused(kind):
    state = {name: value.double() for name, value in STATES[kind]().items()}
    name = next(name for name in state if name.endswith("bias"))
    state[name][0] = 1e300
    assert "not finite" in refused(state)


@pytest.mark.parametrize("kind", STATES)
def test_half_precision_is_widened(kind):
    state = {name: value.half() for name, value in STATES[kind]().items()}
    tree, whole = read_peer(state, FILE), read_peer(STATES[kind](), FILE)
    assert tree.config == whole.config
    for part, tensors in tree.networks.items():
        for name, value in tensors.items():
            assert value.dtype == torch.float32
            assert value.shape == whole.networks[part][name].shape


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"generator": {}},
        {"models": {"generator": {"conv.weight": torch.zeros(1)}}},
        {"state_dict": {"conv1.weight": torch.zeros(3, 3)}},
        {"models": 3},
        {1: 2},
    ],
)
def test_other_files_are_of_no_known_layout(tree):
    assert read_peer(tree, FILE) is None


def test_mixed_layouts_are_refused():
    parts = {"generator": STATES["genforce G"](), "discriminator": STATES["huangzh13 D"]()}
    assert "mixes" in refused(parts)


def test_widths_that_no_configuration_has_are_refused():
    widths = re.escape("8 at 4, 4 at 8, 8 at 16")
    assert re.search(widths, refused(peers_genforce.generator((8, 4, 8))))


def test_sizes_that_would_be_drawn_are_limited():
    """What the file lacks is drawn: a thousand small tensors must not ask for terabytes."""
    state = {}
    for i in range(30):
        state[f"generator.to_rgb.{i}.conv.weight_orig"] = torch.zeros(3, 1, 1, 1)
        state[f"generator.progression.{i}.conv2.conv.bias"] = torch.zeros(1)
    state["style.1.linear.weight_orig"] = torch.zeros(4, 4)
    assert "at most 2048" in refused(state)


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_mangled_is_read_or_refused_in_one_line(data):
    kind = data.draw(st.sampled_from(sorted(STATES)))
    state = STATES[kind]()
    for _ in range(data.draw(st.integers(1, 3))):
        name = data.draw(st.sampled_from(sorted(state)))
        other = data.draw(st.sampled_from(sorted(state)))
        action = data.draw(st.sampled_from(["swap", "drop", "rename", "empty", "scalar"]))
        if action == "swap":
            state[name], state[other] = state[other], state[name]
        elif action == "drop" and len(state) > 1:
            del state[name]
        elif action == "rename":
            index = data.draw(st.sampled_from(["0", "1", "7", "99", "-1", "999999999"]))
            state[re.sub(r"\d+", index, name)] = state.pop(name)
        elif action == "empty":
            state[name] = torch.zeros(0)
        else:
            state[name] = torch.tensor(1.0)
    try:
        tree = read_peer(state, FILE)
    except UserError as error:
        said = str(error)
        assert said.startswith("some.pth")
        assert "\n" not in said
        return
    if tree is not None and "G_ema" in tree.networks:
        load_generator(tree, torch.device("cpu"))
