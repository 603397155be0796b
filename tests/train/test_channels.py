"""Networks of grey images and of images with alpha, from the data to what is made of them."""

import asyncio
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import stylegan
import stylegan_eval
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.configs import CONFIGS
from stylegan.convert import main as convert
from stylegan.datasets.archive import encode_png, write_encoded
from stylegan.explore.studio import Studio
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.presets import apply_preset
from stylegan.sample.cli import main as sample
from stylegan.sample.drawing import open_generator
from stylegan.sample.recipe import GeneratorSource, Recipe
from stylegan.train import main as train
from stylegan.training.settings import read_run
from stylegan_eval.cli import main as evaluate
from stylegan_eval.engine.sampling import SHOWN
from stylegan_eval.images.decoding import CHANNELS

MODES = ("L", "RGBA")
TINY = ["--config", "F", "--preset", "tiny-16", "--device", "cpu", "--warmup", "0"]


def call(command, *arguments):
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done


def archive(path, mode):
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (24, CHANNELS[mode], 16, 16), dtype=np.uint8)
    encoded = ((encode_png(image), None) for image in images)
    write_encoded(path, encoded, channels=CHANNELS[mode])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    """Data and finished run of each mode."""
    place, made = tmp_path_factory.mktemp("channels"), {}
    for mode in MODES:
        data, out = archive(place / f"{mode}.zip", mode), place / f"run-{mode}"
        call(train, *TINY, "--data", data, "--out", out, "--kimg", "0.1", "--cache", cache)
        made[mode] = data, out
    return made


@pytest.mark.parametrize("mode", MODES)
def test_the_channels_are_read_from_the_data_and_kept_with_the_networks(trained, mode):
    _, out = trained[mode]
    snapshot = read_checkpoint(newest_checkpoint(out))
    assert snapshot.config.network.num_channels == CHANNELS[mode]
    weights = snapshot.networks["G_ema"]
    for name, value in weights.items():
        if "to_rgb" in name:
            assert len(value) == CHANNELS[mode]
    log = (out / "train.log").read_text()
    assert f"config F, images of {CHANNELS[mode]} channel(s), seed 0" in log
    assert read_run(out)[0].network.num_channels == CHANNELS[mode]


def test_runs_go_on_and_are_begun_with_their_own_channels(tmp_path, trained, cache):
    data, out = trained["RGBA"]
    begun = tmp_path / "run"
    options = ["--out", begun, "--device", "cpu", "--warmup", "0", "--cache", cache]
    call(train, "--init", out, "--data", data, *options, "--kimg", "0.03")
    call(train, "--resume", *options, "--kimg", "0.06")
    assert read_checkpoint(newest_checkpoint(begun)).config.network.num_channels == 4


@pytest.mark.parametrize("mode", MODES)
def test_data_of_other_channels_than_the_run_are_one_line(tmp_path, trained, mode):
    _, out = trained[mode]
    other = trained["L" if mode == "RGBA" else "RGBA"][0]
    for how in (["--resume", "--out", out], ["--init", out, "--out", tmp_path / "run"]):
        given = (*how, "--data", other, "--device", "cpu", "--dry-run")
        done = CliRunner().invoke(train, [str(argument) for argument in given])
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert f"the networks have {CHANNELS[mode]} channels ({mode}): make a set that" in line


@pytest.mark.parametrize("mode", MODES)
def test_pictures_and_films_have_the_channels_of_the_network(tmp_path, trained, mode):
    networks = ["--ckpt", trained[mode][1], "--device", "cpu"]
    for name, words in {
        "grid": ["grid", "--seeds", "0-4", "--labels"],
        "image": ["image", "--seed", "3"],
        "mixing": ["mixing"],
        "detail": ["figure", "4"],
    }.items():
        call(sample, *words, *networks, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.mode == mode
            if name == "detail" and mode == "RGBA":
                assert (np.asarray(picture)[:, -picture.height // 2 :, 3] == 255).all()
    call(sample, "interpolate", *networks, "--frames", "2", tmp_path / "film.png")
    with Image.open(tmp_path / "film.png") as film:
        assert film.mode == mode
    G = stylegan.load(trained[mode][1], device="cpu")
    drawn = G.sample([3])
    assert drawn.shape == (1, 16, 16, CHANNELS[mode])
    (image,) = G.images([3])
    assert image.mode == mode
    with Image.open(tmp_path / "image.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(image))
    source = GeneratorSource(ckpt=trained[mode][1], device="cpu")
    subject = open_generator(source.ckpt, torch.device("cpu"), None)
    studio = Studio(subject, source)  # of the explorer
    with Image.open(io.BytesIO(asyncio.run(studio.png(Recipe(seed=3))))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(image))
    studio.close()


@pytest.mark.parametrize("mode", MODES)
def test_metrics_see_rgb_and_rows_say_how(trained, mode):
    data, out = trained[mode]
    words = ["fid", "--ckpt", out, "--data", data, "-n", "10", "--json", "--device", "cpu"]
    done = call(evaluate, *words, "--features", "efficientnet-lite0")
    (row,) = json.loads(done.stdout)["results"]
    assert SHOWN[CHANNELS[mode]] in row["note"]
    G = stylegan.load(out, device="cpu")
    again = stylegan_eval.fid(G, data, num=10, features="efficientnet-lite0", device="cpu")
    assert again.value == row["value"]
    assert np.isfinite(row["value"])
    folders = ["fid", "--images", data, "--data", data, "-n", "10", "--json", "--device", "cpu"]
    done = call(evaluate, *folders, "--features", "efficientnet-lite0")
    assert SHOWN[CHANNELS[mode]] in json.loads(done.stdout)["results"][0]["note"]


@pytest.mark.parametrize("mode", MODES)
def test_networks_are_converted_with_their_channels(tmp_path, trained, mode):
    path = tmp_path / "network.safetensors"
    call(convert, trained[mode][1], path)
    G, converted = (stylegan.load(p, device="cpu") for p in (trained[mode][1], path))
    np.testing.assert_array_equal(G.sample([1]), converted.sample([1]))
    # Which is compared with the network as it is written.
    call(convert, trained[mode][1], "--to", "pt2", tmp_path / "network.pt2")


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_change_the_first_and_last_layers_alone(channels):
    config = apply_preset(CONFIGS["F"], "tiny-16")
    other = replace(config, network=replace(config.network, num_channels=channels))
    for kind in (Generator, Discriminator):
        rgb, own = (
            {
                name: value.shape
                for name, value in kind(c.network, c.resolution).state_dict().items()
            }
            for c in (config, other)
        )
        assert rgb.keys() == own.keys()
        changed = {name for name in rgb if rgb[name] != own[name]}
        assert changed
        assert all(".to_rgb." in name or "from_rgb." in name for name in changed)
