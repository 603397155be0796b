"""Whatever is wrong with a checkpoint is a `UserError` of its reader, soon and in one line."""

import argparse
import collections
import shutil
import signal
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan.checkpoint import (
    newest_checkpoint,
    newest_good_checkpoint,
    read_archive,
    read_checkpoint,
)
from stylegan.opening import open_networks
from stylegan_eval.errors import UserError


@pytest.fixture(autouse=True)
def _not_for_ever():
    """A reader that hangs is killed, and pytest with it: no handler would be called."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def refused(path):
    with pytest.raises(UserError) as info:
        read_checkpoint(path)
    line = str(info.value)
    assert line.startswith(str(path))
    assert line.isprintable()
    assert len(line) < 600
    with pytest.raises(UserError):
        open_networks(path)
    return line


def nested(depth=60):
    value = ()
    for _ in range(depth):
        value = (value, value)
    return value


def state(tree, name="G_ema"):
    return next(iter(tree["networks"][name]))


# What stands at a place of the tree, and a word of the refusal.
PLACES = {
    "networks None": (("networks",), None, "networks"),
    "networks of text": (("networks", "G"), "x", "networks"),
    "networks of nothing": (("networks",), {}, "its networks are"),
    "a network too many": (("networks", "H"), {}, "its networks are"),
    "weights of text": (("networks", "G", "w_avg"), "x", "G.w_avg is str"),
    "weights of half precision": (("networks", "G", "w_avg"), torch.zeros(16).half(), "float16"),
    "weights of another shape": (("networks", "G", "w_avg"), torch.zeros(1), "expected F32 ["),
    "weights too many": (("networks", "G", 5), torch.zeros(1), "foreign"),
    "nimg of text": (("nimg",), "x", "nimg is 'x'"),
    "nimg below 0": (("nimg",), -1, "nimg is -1"),
    "nimg beyond all": (("nimg",), 10**30, "nimg"),
    "nimg of a tensor": (("nimg",), torch.zeros(3), "nimg"),
    "lod of no number": (("lod",), float("nan"), "lod is nan"),
    "lod beyond 4x4": (("lod",), 99.0, "lod is 99"),
    "lod of text": (("lod",), "1", "lod is '1'"),
    "labels of text": (("labels",), "x", "labels is str"),
    "labels of no network": (("labels",), torch.zeros(3, 2), "labels"),
    "classes": (("config", "network", "label_size"), 10**10, "lacks tensor"),
    "classes beyond all": (("config", "network", "label_size"), 10**40, "label_size"),
    "width": (("config", "network", "fmap_max"), 2**16, "expected F32 ["),
    "resolution": (("config", "resolution"), 2**16, "lacks tensor"),
    "configuration None": (("config",), None, "mapping"),
    "configuration of nested tuples": (("config", "name"), nested(), "nests its values"),
    "nested beside all": (("more",), nested(), "nests its values"),
    "keys that are tuples": (("more",), {(1, 2): 3}, "keys are no names"),
    "seed below 0": (("provenance", "seed"), -1, "seed"),
    "provenance of a list": (("provenance",), [1], "provenance"),
    "optimizers None": (("optimizers",), None, None),
    "moments None": (("optimizers", "G", "exp_avg_sq"), None, None),
    "moments of nothing": (("optimizers", "G", "exp_avg_sq"), {}, None),
    "steps of text": (("optimizers", "D", "t"), "x", "t is str"),
    "steps of no number": (("optimizers", "D", "t"), torch.tensor(float("nan")).double(), "t of"),
    "format of another version": (("format",), "stylegan-checkpoint/9", "damaged or no checkpoint"),
    "format of a list": (("format",), [], "damaged or no checkpoint"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_value_of_another_kind_is_named(finished, tmp_path, name):
    place, value, word = PLACES[name]
    tree = torch.load(newest_checkpoint(finished), weights_only=True)
    inner = tree
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    torch.save(tree, tmp_path / "checkpoint-000001.pt")
    assert (word or "damaged") in refused(tmp_path / "checkpoint-000001.pt")


def pickled(path, data, **entries):
    """A file as `torch.save` writes it, with this pickle and these numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", entries.pop("byteorder", b"little"))
        for key, numbers in entries.items():
            archive.writestr(f"archive/data/{key}", numbers)
    return path


def long(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def tensor(count=4, offset=0, shape=(4,), strides=(1,), key=b"0"):
    """Pickle of {"x": a tensor}, whose parts need not fit."""
    sizes = [b"(" + b"".join(map(long, numbers)) + b"t" for numbers in (shape, strides)]
    return (
        b"\x80\x02}X\1\0\0\0xctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
        b"ctorch\nFloatStorage\nX\1\0\0\0" + key + b"X\3\0\0\0cpu" + long(count) + b"tQ"
        + long(offset) + sizes[0] + sizes[1] + b"\x89ccollections\nOrderedDict\n)Rtrs\0\0\0\0."
    ).replace(b"trs\0\0\0\0.", b"tRs.")  # fmt: skip


LAUGHS = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
PICKLES = {
    "nested tuples as a key": b"\x80\x02}" + LAUGHS + b"K\x01s.",
    "nested tuples as a value": b"\x80\x02}X\1\0\0\0x" + LAUGHS + b"s.",
    "a list in itself": b"\x80\x02}X\1\0\0\0x]q\0h\0as.",
    "deep lists": b"\x80\x02}X\1\0\0\0x" + b"]" * 9000 + b"a" * 8999 + b"s.",
    "a storage of -1": tensor(count=-1),
    "a storage of exabytes": tensor(count=2**60),
    "more numbers than there are": tensor(count=5),
    "a shape below 0": tensor(shape=(-4,)),
    "a shape of exabytes": tensor(shape=(2**60,), strides=(0,)),
    "numbers repeated": tensor(shape=(2**40,), strides=(0,)),
    "an offset beyond": tensor(offset=1),
    "an offset below 0": tensor(offset=-1),
    "strides beyond": tensor(strides=(2,)),
    "strides below 0": tensor(strides=(-1,)),
    "axes without strides": tensor(strides=()),
    "numbers that are not there": tensor(key=b"7"),
    "no opcode": b"\x80\x02\xff.",
    "nothing": b"",
    "text of gigabytes": b"\x80\x02X\xff\xff\xff\xffx.",
    "a million marks": b"\x80\x02" + b"(" * 10**6 + b".",
}


@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_is_bounded_before_it_is_believed(tmp_path, name):
    path = pickled(tmp_path / "checkpoint-000001.pt", PICKLES[name], **{"0": bytes(16)})
    refused(path)


def test_the_pickles_are_refused_for_what_is_wrong_with_them(tmp_path):
    """The same writer with everything right is read, and differs from PyTorch's in nothing."""
    numbers = struct.pack("<4f", 1, 2, 3, 4)
    path = pickled(tmp_path / "x.pt", tensor(shape=(2, 2), strides=(1, 2)), **{"0": numbers})
    with pytest.raises(UserError, match="no layout that is known"):
        open_networks(path)
    assert torch.load(path, weights_only=True)["x"].tolist() == [[1, 3], [2, 4]]


OBJECTS = {
    "namespace": ({"args": argparse.Namespace(size=8)}, "argparse.Namespace, under 'args'"),
    "numpy number": ({"best": np.float64(3)}, "multiarray.scalar, numpy.dtype, under 'best'"),
    "path": ({"out": {"dir": [Path("x")]}}, "PosixPath, under 'out'"),
    "network": ({"model": torch.nn.Linear(1, 1)}, "Linear"),
}


def follow(advice, path, other):
    """Run the Python that this project's own message advises, as a user would type it."""
    exec(advice, {"torch": torch, "FILE": path, "OTHER": other})


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_is_named_and_the_advice_works(finished, tmp_path, name):
    more, words = OBJECTS[name]
    tree = torch.load(newest_checkpoint(finished), weights_only=True)
    path, other = tmp_path / "checkpoint-000001.pt", tmp_path / "checkpoint-000002.pt"
    torch.save({**tree, **more}, path)
    line = refused(path)
    assert words in line
    advice = line.partition("save it without them: ")[2]
    follow(advice, path, other)
    assert read_checkpoint(other).nimg == tree["nimg"]


CONTAINERS = {
    "defaultdict": collections.defaultdict(list, loss=[0.5]),
    "counter": collections.defaultdict(int, seen=3),
    "nested": collections.defaultdict(dict, a={"b": 1}),
    "deque": collections.deque([1, 2], maxlen=5),
    "types": [list, dict, int],
}


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("as_zip", [True, False])
def test_containers_of_the_standard_library_do_no_harm(finished, tmp_path, name, as_zip):
    tree = torch.load(newest_checkpoint(finished), weights_only=True)
    path = tmp_path / "checkpoint-000001.pt"
    tree["log"] = CONTAINERS[name]
    torch.save(tree, path, _use_new_zipfile_serialization=as_zip)
    assert read_archive(path)["nimg"] == tree["nimg"]


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"g_running": s, "epoch": 3}])
def test_arrays_in_place_of_tensors_become_tensors_by_the_advice(tmp_path, wrap):
    state = {"conv.weight": torch.randn(2, 3), "bias": torch.zeros(2)}
    path, other = tmp_path / "arrays.pt", tmp_path / "tensors.pt"
    torch.save(wrap({name: value.numpy() for name, value in state.items()}), path)
    with pytest.raises(UserError) as refusal:
        read_archive(path)
    advice = str(refusal.value).partition("save it without them: ")[2]
    follow(advice, path, other)
    read = read_archive(other)
    read = read.get("g_running", read)
    assert all(torch.equal(read[name], value) for name, value in state.items())


def damages(good):
    """Bytes of damaged copies, by what was done."""
    whole = good.read_bytes()
    yield "cut", whole[:-100]
    yield "half", whole[: len(whole) // 2]
    yield "empty", b""
    yield "zeros", bytes(len(whole))
    for at in range(1, len(whole), len(whole) // 40):
        yield f"byte {at}", whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    end = whole.rindex(b"PK\5\6")
    for at in range(whole.rindex(b"PK\6\6"), end + 22):
        yield f"byte {at}", whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
    middle = len(whole) // 2
    yield "halves swapped", whole[middle:] + whole[:middle]


def test_the_newest_that_can_be_read_is_found_behind_damaged_ones(finished, tmp_path):
    good = newest_checkpoint(finished)
    shutil.copyfile(good, tmp_path / "checkpoint-000001.pt")
    later = tmp_path / "checkpoint-000002.pt"
    for name, data in damages(good):
        later.write_bytes(data)
        path, tree, passed_over = newest_good_checkpoint(tmp_path)
        if path == later:  # a byte that means nothing: all that is read has its checksum
            assert not passed_over, name
        else:
            assert len(passed_over) == 1, name
            assert str(later) in passed_over[0]
        assert tree.nimg == read_checkpoint(good).nimg
