"""Checkpoints are whole or refused."""

import os
import pickle
import sys
import zipfile

import pytest
import torch

from stylegan.checkpoint import (
    checkpoints_in,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from stylegan.networks.generator import GeneratorAtLod
from stylegan.opening import load_for_evaluation
from stylegan.runtime import Runtime
from stylegan.snapshot import load_generator
from stylegan.training.state import load_state
from stylegan_eval.engine.sampling import latents, noise_maps
from stylegan_eval.errors import UserError
from tests import starting

CPU = torch.device("cpu")


@pytest.fixture
def good(finished):
    return newest_checkpoint(finished)


def test_round_trip(good):
    tree = read_checkpoint(good)
    network = load_generator(tree, CPU)
    for key, value in network.state_dict().items():
        assert torch.equal(value, tree.networks["G_ema"][key])
    assert not any(p.requires_grad for p in network.parameters())


def test_every_flipped_byte_and_every_cut_is_noticed(good, tmp_path):
    whole = good.read_bytes()
    with zipfile.ZipFile(good) as archive:
        storage = max(archive.infolist(), key=lambda entry: entry.file_size)
    inside = whole.index(storage.filename.encode()) + 500
    for position in (inside, len(whole) - 30):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path = tmp_path / "checkpoint-000001.pt"
        path.write_bytes(broken)
        with pytest.raises(UserError, match="damaged"):
            read_checkpoint(path)
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="damaged"):
            read_checkpoint(path)
        with pytest.raises(UserError, match="damaged"):
            load_for_evaluation(path, CPU)


def test_other_files_are_refused_without_running_them(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'owned'}",)

    path = tmp_path / "evil.pt"
    torch.save({"format": "stylegan-checkpoint/1", "config": Evil()}, path)
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(path)
    with pytest.raises(UserError, match=f"names {os.name}.system"):
        load_for_evaluation(path, CPU)
    assert load_for_evaluation(tmp_path, CPU) is None  # a folder of something else
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()


def test_newest(finished, tmp_path):
    assert newest_checkpoint(finished) == checkpoints_in(finished)[-1]
    with pytest.raises(UserError, match="does not exist"):
        newest_checkpoint(tmp_path / "nothing")
    with pytest.raises(UserError, match="no checkpoint in"):
        newest_checkpoint(tmp_path)


def test_for_evaluation(good, finished):
    loaded = load_for_evaluation(finished, CPU)
    assert loaded.description.startswith("config F, 16x16, 0.")
    assert loaded.mirrored
    G = loaded.generator
    z = latents(0, range(3), G.z_dim)
    images = G.synthesis(G.mapping(z), noise_maps(0, range(3), G.noise_shapes, CPU))
    assert images.shape == (3, 3, 16, 16)


def test_a_growing_generator_draws_what_it_was_trained_to(good):
    network = load_generator(read_checkpoint(good), CPU)
    G = GeneratorAtLod(network, 1.0)
    z = latents(0, range(2), G.z_dim)
    noise = noise_maps(0, range(2), G.noise_shapes, CPU)
    images = G.synthesis(G.mapping(z), noise)
    small = network.synthesis(network.mapping(z), noise, 1.0)
    assert images.shape == (2, 3, 16, 16)
    assert torch.equal(images, small.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_full_disk_leaves_the_old_checkpoint(good, tmp_path):
    """A real limit on file sizes stands in for the disk."""
    path = tmp_path / "checkpoint-000001.pt"
    path.write_bytes(b"old")
    program = f"""
import resource, signal, sys
from pathlib import Path
from stylegan.checkpoint import read_checkpoint, save_checkpoint
from stylegan.training.state import load_state
from stylegan.runtime import Runtime
from stylegan_eval.errors import UserError
runtime = Runtime.choose("cpu")
tree = read_checkpoint(Path({str(good)!r}))
state = load_state(tree, runtime)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    save_checkpoint(Path({str(path)!r}), state.snapshot(tree.config, tree.provenance))
except UserError as error:
    print(error)
    sys.exit(1)
"""
    done = starting.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"cannot write {path}: ")
    assert len(done.stdout.splitlines()) == 1
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_bytes_say_nothing_but_the_state(good, tmp_path):
    """Rows of results name their generator by a digest of the file."""
    saved = []
    for name in ("checkpoint-000001.pt", "checkpoint-000002.pt"):
        tree = read_checkpoint(good)
        state = load_state(tree, Runtime.choose("cpu"))
        save_checkpoint(tmp_path / name, state.snapshot(tree.config, tree.provenance))
        saved.append((tmp_path / name).read_bytes())
    assert saved[0] == saved[1]
