"""Trained generators in Python draw what the commands draw."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import stylegan
import stylegan_eval as se
from stylegan.sample.cli import main
from stylegan_eval.engine.sampling import latents, to_uint8


@pytest.fixture(scope="module")
def demo():
    return stylegan.load("demo", device="cpu")


def test_pixels_are_those_of_the_grid(demo, tmp_path):
    words = ["grid", "--ckpt", "demo", "--seeds", "3,5", "--columns", "2", "--psi", "0.7"]
    done = CliRunner().invoke(main, [*words, str(tmp_path / "grid.png")])
    assert done.exit_code == 0, done.stderr
    expected = np.asarray(Image.open(tmp_path / "grid.png"))
    images = demo.sample(seeds=[3, 5], psi=0.7)
    assert (images.dtype, images.shape) == (np.uint8, (2, 64, 64, 3))
    assert np.array_equal(np.concatenate(list(images), axis=1), expected)
    for one in (3, [3], np.array([3]), torch.tensor([3]), iter([3])):
        assert np.array_equal(demo.sample(one, psi=0.7), demo.sample([3], psi=0.7))
    pictures = demo.images(seeds=range(3, 6, 2), psi=0.7)
    assert all(np.array_equal(p, image) for p, image in zip(pictures, images, strict=True))


def test_an_image_with_random_noise_depends_on_its_seed_alone(demo, tmp_path):
    alone = demo.sample(seeds=[5], noise="random")[0].astype(int)
    for seeds in ([3, 5], [5, 3], range(20)):
        among = demo.sample(seeds=seeds, noise="random")[list(seeds).index(5)]
        assert np.abs(among - alone).max() <= 1  # rounding, which follows the batch
    other = demo.sample(seeds=[6], noise="random")[0].astype(int)
    same_noise = demo(latents(0, [5, 5], demo.z_dim), noise="random")
    assert float((same_noise[0] - same_noise[1]).abs().max()) > 0.01
    assert np.abs(other - alone).max() > 1
    for words in (["grid", "--seeds", "3,5", "--columns", "2"], ["grid", "--seeds", "5"]):
        out = tmp_path / "grid.png"
        done = CliRunner().invoke(main, [*words, "--ckpt", "demo", "--noise", "random", str(out)])
        assert done.exit_code == 0, done.stderr
        assert np.abs(np.asarray(Image.open(out))[:, -64:] - alone).max() <= 1
    words = ["images", "--ckpt", "demo", "--seeds", "5", "--noise", "random"]
    assert CliRunner().invoke(main, [*words, "--out", str(tmp_path)]).exit_code == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "seed0005.png")), alone)


def test_latents_give_floats_and_truncation_pulls_them_together(demo):
    z = latents(0, range(4), demo.z_dim)
    images = demo(z)
    assert images.shape == (4, 3, 64, 64)
    drawn = to_uint8(images).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(drawn, demo.sample(seeds=range(4)))
    assert float(demo(z, psi=0.0).std(dim=0).max()) < 1e-5
    assert not torch.equal(demo(z, noise="none"), images)


def test_a_measurement_is_that_of_the_file(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    reals = demo.sample(seeds=range(100, 116))
    given = {"num": 12, "features": "efficientnet-lite0", "device": "cpu"}
    one, other = se.fid(demo, reals, **given), se.fid("demo", reals, **given)
    assert one.value == other.value
    assert (one.generator_digest, one.description) == (other.generator_digest, other.description)
    assert one.protocol["mirror"] == other.protocol["mirror"] == "yes"  # as it was trained


def test_checkpoints_load_likewise(official):
    network = stylegan.load(official("F"), device="cpu")
    assert network.sample(seeds=[0]).shape[1:] == (network.resolution, network.resolution, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda G: G(torch.zeros(2, 3)), r"z is a tensor \[2, 3\]; expected a tensor \[N, 128\]"),
        (lambda G: G([1]), "z is list"),
        (lambda G: G.sample(seeds=[]), "none given"),
        (lambda G: G.sample(seeds=[-1]), "seed must be 0"),
        (lambda G: G.sample(seeds=[1], psi=9e99), "psi must be"),
        (lambda G: G.sample(seeds=[1], psi="0.7"), "psi must be a number, not '0.7'"),
        (lambda G: G.sample(seeds=[1], psi=0.5, cutoff=-3), "cutoff must be .* from 0 up"),
        (lambda G: G.sample(seeds=[1], psi=0.5, cutoff=2.5), "cutoff must be"),
        (lambda G: G(torch.zeros(1, 128), psi=0.5, cutoff=-3), "cutoff must be"),
        (lambda G: G.sample(seeds=[0.5, 1.9]), r"whole numbers, .* not \[0.5, 1.9\]"),
        (lambda G: G.sample(seeds="05"), "whole numbers, .* not '05'"),
        (lambda G: G.sample(seeds=["5"]), "whole numbers"),
        (lambda G: G.sample(seeds=None), "whole numbers"),
        (lambda G: G.sample(seeds=1.0), "whole numbers"),
        (lambda G: G(torch.full((1, 128), float("nan"))), "z holds infinities or NaN"),
        (lambda _: stylegan.load(None), "expected the path of a file or folder"),
        (lambda G: G.sample(seeds=[1], noise="x"), "noise must be one of fixed, random, none"),
        (lambda _: stylegan.load("absent.pt"), "absent.pt"),
        (lambda _: stylegan.load("demo", label=1), "is unconditional"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(demo, call, message):
    with pytest.raises(se.UserError, match=message):
        call(demo)
