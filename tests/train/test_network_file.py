"""Networks in safetensors: bit for bit from and to a checkpoint, accepted wherever one is."""

import json
import struct
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save, save_file

from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.network_file import ENTRY, is_network, read_network, save_network
from stylegan.opening import load_for_evaluation, open_networks
from stylegan.sample.cli import main as sample
from stylegan.snapshot import Facts, Score, Snapshot
from stylegan.train import main as train
from stylegan_eval.engine.sampling import draw
from stylegan_eval.errors import UserError

CPU = torch.device("cpu")
FACTS = Facts(
    command="stylegan-train --config F",
    scores=(
        Score(metric="fid10k", value=12.5, stderr=0.25, command="stylegan-eval fid"),
        Score(metric="ls_w", value=3.0, stderr=None, command="stylegan-eval ls"),
    ),
    note="a note",
)


def run(command, *args):
    return CliRunner().invoke(command, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def checkpoint(finished):
    return newest_checkpoint(finished)


@pytest.fixture(scope="module")
def good(checkpoint, tmp_path_factory):
    """All three networks."""
    path = tmp_path_factory.mktemp("networks") / "all.safetensors"
    save_network(path, replace(read_checkpoint(checkpoint), facts=FACTS))
    return path


@pytest.fixture(scope="module")
def alone(checkpoint, tmp_path_factory):
    """The moving average alone."""
    path = tmp_path_factory.mktemp("networks") / "alone.safetensors"
    snapshot = read_checkpoint(checkpoint)
    save_network(path, replace(snapshot, networks={"G_ema": snapshot.networks["G_ema"]}))
    return path


def test_every_bit_of_a_checkpoint_comes_back(checkpoint, good):
    tree, content = read_checkpoint(checkpoint), read_network(good)
    assert content.networks.keys() == {"G", "D", "G_ema"}
    for name, state in tree.networks.items():
        assert content.networks[name].keys() == state.keys()
        for key, value in state.items():
            same = content.networks[name][key]
            assert torch.equal(same.view(torch.int32), value.contiguous().view(torch.int32))
    assert (content.nimg, content.lod, content.facts) == (tree.nimg, tree.lod, FACTS)
    _, opened = open_networks(good)
    assert (opened.config, opened.provenance) == (tree.config, tree.provenance)


def test_equal_networks_give_equal_bytes(good, tmp_path):
    again = tmp_path / "again.safetensors"
    save_network(again, read_network(good))
    assert again.read_bytes() == good.read_bytes()


def test_images_and_scores_are_those_of_the_checkpoint(checkpoint, good, alone, tmp_path):
    z, x = tmp_path / "z.npy", tmp_path / "x.npy"
    np.save(z, np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32))
    outs = {}
    for name, path in (("checkpoint", checkpoint), ("good", good), ("alone", alone)):
        out = tmp_path / f"{name}.npy"
        assert run(sample, "export", "--ckpt", path, "--latents", z, out).exit_code == 0
        outs[name] = np.load(out)
    assert np.array_equal(outs["checkpoint"], outs["good"])
    assert np.array_equal(outs["checkpoint"], outs["alone"])
    np.save(x, np.resize(outs["good"], (4, 3, 16, 16)))
    scores = []
    for path in (checkpoint, good):
        done = run(sample, "scores", "--ckpt", path, "--images", x, tmp_path / "s.npy")
        assert done.exit_code == 0, done.output
        scores.append(np.load(tmp_path / "s.npy"))
    assert np.array_equal(*scores)
    done = run(sample, "scores", "--ckpt", alone, "--images", x, tmp_path / "s2.npy")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: the file holds G_ema alone, scores are made with D")
    assert not (tmp_path / "s2.npy").exists()


def test_it_is_measured_as_the_checkpoint_is(checkpoint, good):
    images = []
    for path in (checkpoint, good):
        loaded = load_for_evaluation(path, CPU)
        images.append(draw(loaded.generator, 3, range(5), CPU)[2])
        assert loaded.mirrored
    assert torch.equal(*images)


def test_training_starts_from_it_as_from_the_checkpoint(
    checkpoint, good, alone, data, cache, tmp_path
):
    common = ("--data", data, "--cache", cache, "--device", "cpu", "--warmup", 0, "--kimg", 0.03)
    trees = []
    for name, path in (("checkpoint", checkpoint), ("good", good)):
        done = run(train, "--init", path, "--out", tmp_path / name, *common)
        assert done.exit_code == 0, done.output
        trees.append(read_checkpoint(newest_checkpoint(tmp_path / name)))
    first, second = trees
    for name, state in first.networks.items():
        assert all(torch.equal(value, second.networks[name][key]) for key, value in state.items())
    done = run(train, "--init", alone, "--out", tmp_path / "alone", *common)
    assert done.exit_code == 1
    assert "training goes on with G, D, G_ema" in done.stderr
    assert not (tmp_path / "alone").exists()
    printed = run(train, "--init", good, "--print-config", "--device", "cpu")
    assert json.loads(printed.stdout)["name"] == "F"


def test_a_run_cannot_go_on_from_it(good, tmp_path):
    done = run(train, "--resume", good, "--out", tmp_path / "out", "--device", "cpu")
    assert done.exit_code == 1
    assert "no state of the optimizers" in done.stderr
    assert "--init" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_info_says_what_is_there(good, checkpoint, tmp_path):
    done = run(sample, "info", "--ckpt", good)
    assert done.exit_code == 0, done.output
    for text in (
        *("stylegan-network/1", "config    F (+ Mixing regularization), 16x16"),
        *("fid10k 12.50 ± 0.25", "$ stylegan-eval fid", "ls_w 3.0000\n", "a note"),
        "command   stylegan-train --config F",
    ):
        assert text in done.stdout
    done = run(sample, "info", "--ckpt", checkpoint)
    assert "stylegan-checkpoint/2" in done.stdout
    assert "score" not in done.stdout
    assert run(sample, "info", "--ckpt", tmp_path / "no").exit_code == 1


def test_labels_belong_to_conditional_networks(good, tmp_path):
    tensors = load(good.read_bytes()) | {"labels": torch.zeros(2, 3)}
    path = write(tmp_path / "x", tensors, record_of(good.read_bytes()))
    refused(path, "its labels are not those of its networks")


def record_of(data):
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(json.loads(data[8 : 8 + length])["__metadata__"][ENTRY])


def write(path, tensors, record):
    text = record if isinstance(record, str) else json.dumps(record)
    path.write_bytes(save(tensors, metadata={ENTRY: text}))
    return path


def refused(path, message):
    with pytest.raises(UserError) as info:
        read_network(path)
    assert message in str(info.value)
    assert str(path) in str(info.value)
    assert len(str(info.value).splitlines()) == 1
    assert len(str(info.value)) < 600
    with pytest.raises(UserError):
        open_networks(path)


def with_record(record, *keys, to):
    record = json.loads(json.dumps(record))
    branch = record
    for key in keys[:-1]:
        branch = branch[key]
    branch[keys[-1]] = to
    return record


BAD_RECORDS = [
    (("format",), "stylegan-network/2", "this version reads stylegan-network/1"),
    (("format",), None, "format None"),
    (("config", "network", "fmap_max"), 10**9, "at most 65536"),
    (("config", "network", "mapping_layers"), 10**9, "from 0 to 64"),
    (("config", "network", "z_dim"), 17, "expected F32"),
    (("config", "resolution"), 32, "differ from those of the configuration"),
    (("config",), [], "must be a mapping"),
    (("provenance",), {"seed": 1}, "provenance has other keys"),
    (("provenance", "execution"), [[0]], "not [[images, name], ...]"),
    (("provenance", "seed"), "1", "wrong type"),
    (("nimg",), -1, "nimg is -1, expected a number"),
    (("nimg",), True, "nimg is True, expected a number"),
    (("lod",), 3.5, "lod is 3.5, expected 0 to 2"),
    (("lod",), float("nan"), "NaN is no number"),
    (("facts",), 3, "cannot be read"),
    (("facts", "note"), "two\nlines", "no line of text"),
    (("facts", "scores"), [{"metric": "x"}], "cannot be read"),
    (("facts", "scores", 0, "value"), "high", "a score is no number"),
    (("facts", "command"), 3, "no line of text"),
]


@pytest.mark.parametrize(("keys", "to", "message"), BAD_RECORDS)
def test_a_record_that_does_not_fit_is_refused(keys, to, message, good, tmp_path):
    record = with_record(record_of(good.read_bytes()), *keys, to=to)
    refused(write(tmp_path / "x", load(good.read_bytes()), record), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("3", "no mapping"),
        ("{}", "format None"),
        ("[" * 10**5, "recursion"),
    ],
)
def test_a_record_that_is_none_is_refused(text, message, good, tmp_path):
    refused(write(tmp_path / "x", load(good.read_bytes()), text), message)


def test_tensors_that_do_not_fit_are_refused(good, tmp_path):
    record, tensors = record_of(good.read_bytes()), load(good.read_bytes())
    name = "G_ema.g.layers.0.conv.weight"
    value = tensors[name]
    path = tmp_path / "x"
    without = {key: tensor for key, tensor in tensors.items() if key != name}
    refused(write(path, without, record), f"lacks tensor {name}")
    refused(write(path, tensors | {"G.more": value.clone()}, record), "has a foreign tensor G.more")
    refused(write(path, tensors | {"H.more": value.clone()}, record), "has foreign tensors H.*")
    refused(write(path, tensors | {"more": value.clone()}, record), "has a foreign tensor more")
    refused(write(path, tensors | {name: value[..., :-1].contiguous()}, record), "expected F32")
    refused(write(path, tensors | {name: value.double()}, record), "is F64")
    refused(write(path, tensors | {name: value.half()}, record), "is F16")
    for wrong in (float("nan"), float("inf")):
        broken = value.clone()
        broken.view(-1)[-1] = wrong
        refused(write(path, tensors | {name: broken}, record), "not finite")
    refused(write(path, {}, record), "has no network")


def test_files_of_another_kind_are_refused(good, tmp_path):
    path = tmp_path / "x"
    save_file({"weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    refused(path, "holds other weights")
    assert not is_network(path)
    assert load_for_evaluation(path, CPU) is None  # another package may know it
    whole = good.read_bytes()
    for size in (9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "damaged")
    path.write_bytes(whole + b"\0")
    refused(path, "damaged")
    path.write_bytes(struct.pack("<Q", 2**31) + whole[8:])
    refused(path, "its header would be 2147483648 bytes")
    for text in (b"", b"x" * 100):
        path.write_bytes(text)
        refused(path, "not a safetensors file")
    refused(tmp_path / "none", "no such file")


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1), bit=st.integers(0, 7), head=st.booleans())
def test_any_flipped_bit_gives_a_network_or_one_line(share, bit, head, good, tmp_path):
    data = bytearray(good.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    end = 8 + length if head else len(data)
    data[min(int(share * end), end - 1)] ^= 1 << bit
    path = tmp_path / "flipped"
    path.write_bytes(data)
    with suppress(UserError):
        assert isinstance(read_network(path), Snapshot)
