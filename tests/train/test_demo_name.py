"""`demo` is the network that the package carries, in every command; ./demo is the user's."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.demo.network import LARGEST
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.configs import config_to_dict, flat
from stylegan.network_file import read_network, save_network
from stylegan.opening import demo_path, load_for_evaluation
from stylegan.sample.cli import main as sample
from stylegan.train import main as train
from stylegan_eval.cli import main as evaluate
from stylegan_eval.engine.sampling import draw, to_uint8
from stylegan_eval.generators.loading import load_generator

CPU = torch.device("cpu")


def run(command, *args):
    return CliRunner().invoke(command, [str(arg) for arg in args])


@pytest.fixture
def own(finished, tmp_path, monkeypatch):
    """A working folder with a network of 16x16 in a file that is called demo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "demo"
    save_network(path, read_checkpoint(newest_checkpoint(finished)))
    return path


def test_the_package_carries_a_trained_network_that_says_what_it_is():
    assert demo_path().stat().st_size <= LARGEST
    content = read_network(demo_path())
    assert content.networks.keys() == {"G", "D", "G_ema"}
    assert (content.config.name, content.config.resolution) == ("F", 64)
    assert content.nimg >= 100_000
    assert content.facts.command.startswith("stylegan-train --config F ")
    for score in content.facts.scores:
        assert score.command.startswith("stylegan-eval ")
        assert np.isfinite(score.value)
    scores = {score.metric: score.value for score in content.facts.scores}
    assert 0 < scores["fd_efficientnet-lite0_floor"] < scores["fd_efficientnet-lite0"]


def test_its_images_are_pictures_and_differ():
    loaded = load_for_evaluation(demo_path(), CPU)
    *_, images = draw(loaded.generator, 0, range(8), CPU)
    pixels = to_uint8(images).float()
    assert torch.isfinite(images).all()
    assert (pixels.std(dim=(1, 2, 3)) > 20).all()
    assert (pixels.std(dim=0).mean() > 20).all()


def test_the_name_is_known_to_measuring(own):
    *_, named = draw(load_generator(Path("demo"), CPU).generator, 0, [0], CPU)
    assert named.shape[-1] == 64
    for ckpt, size in (("demo", "64x64"), ("./demo", "16x16"), (own, "16x16")):
        done = run(evaluate, "is", "--ckpt", ckpt, "--features", "efficientnet-lite0", "-n", 10,
                   "--batch", 10, "--device", "cpu", "--json")  # fmt: skip
        assert done.exit_code == 0, done.output
        assert f'"description": "config F, {size}' in done.stdout
    done = run(evaluate, "ppl", "--ckpt", "dem", "--num", 10)
    assert done.exit_code == 1
    assert "dem: no such checkpoint" in done.stderr


def test_the_name_is_known_to_sampling(own, tmp_path):
    for ckpt, size in (("demo", 64), ("./demo", 16)):
        z, x, out = (tmp_path / f"{name}-{size}.npy" for name in "zxo")
        width = 128 if size == 64 else 16
        np.save(z, np.zeros((4, width), np.float32) + np.arange(4, dtype=np.float32)[:, None])
        done = run(sample, "export", "--ckpt", ckpt, "--latents", z, "--device", "cpu", x)
        assert done.exit_code == 0, done.output
        images = np.load(x)
        np.save(x, images.repeat(size // images.shape[-1], 2).repeat(size // images.shape[-1], 3))
        done = run(sample, "scores", "--ckpt", ckpt, "--images", x, "--device", "cpu", out)
        assert done.exit_code == 0, done.output
        assert np.load(out).shape == (4, 1)
        done = run(sample, "grid", "--ckpt", ckpt, "--seeds", "0-1", tmp_path / f"{size}.png")
        assert done.exit_code == 0, done.output
        assert f"{size}x{size}" in run(sample, "info", "--ckpt", ckpt).stdout


def test_the_name_is_known_to_training(own, data, tmp_path):
    for init, size in (("demo", 64), ("./demo", 16)):
        done = run(train, "--init", init, "--print-config", "--device", "cpu")
        assert done.exit_code == 0, done.output
        assert f'"resolution": {size},' in done.stdout
    out = tmp_path / "out"
    done = run(train, "--resume", "demo", "--out", out, "--device", "cpu")
    assert done.exit_code == 1
    assert "demo holds no state of the optimizers" in done.stderr
    done = run(train, "--init", "demo", "--data", data, "--out", out, "--device", "cpu")
    assert done.exit_code == 1
    assert "too small for networks of 64x64" in done.stderr
    assert not out.exists()


def test_a_folder_called_demo_is_a_run(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, tmp_path / "demo")
    assert "stylegan-checkpoint/2" in run(sample, "info", "--ckpt", "./demo").stdout
    assert "stylegan-network/1" in run(sample, "info", "--ckpt", "demo").stdout


def test_a_report_learns_how_the_network_came_about():
    content = read_network(demo_path())
    loaded = load_for_evaluation(demo_path(), CPU)
    flattened = flat(config_to_dict(content.config))
    assert {key: json.loads(said) for key, said in loaded.settings.items()} == json.loads(
        json.dumps(flattened)
    )
    assert loaded.origin["trained with"] == content.facts.command
    assert loaded.origin["training images"] == content.provenance.data
    assert all(loaded.origin.values())
