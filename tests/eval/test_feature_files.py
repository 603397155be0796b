"""Files of features: every metric gives what it gives of the images."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import stylegan_eval as se
from stylegan_eval.cli import main
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics.features import features_of
from stylegan_eval.networks.network import load_detector
from tests.eval.fakes import PixelDetector

LITE = {"features": "efficientnet-lite0", "device": "cpu"}
METRICS = ["fid", "kid", "pr", "prdc", "vendi"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def sides(image_folder, tmp_path):
    """Folders of images, and files of their features [N, D]."""
    folders = image_folder("fakes", 24, seed=1), image_folder("reals", 24)
    network = load_detector("efficientnet-lite0", "tf1", None, torch.device("cpu"))
    files = []
    for folder, name in zip(folders, ("feats", "pool_3"), strict=True):
        with open_images(folder) as images:
            pixels = np.stack([images.read(number) for number in range(24)])
        files.append(tmp_path / f"{folder.name}.npz")
        np.savez(files[-1], **{name: network(torch.from_numpy(pixels)).numpy()})
    return folders, files


def test_metrics_of_features_are_those_of_their_images(sides):
    folders, files = sides
    expected = se.evaluate(*folders, METRICS, subset_size=24, **LITE)
    for fake, real in (files, (files[0], folders[1]), (folders[0], files[1])):
        for row, wanted in zip(
            se.evaluate(fake, real, METRICS, subset_size=24, **LITE), expected, strict=True
        ):
            assert row.name == wanted.name
            assert row.value == pytest.approx(wanted.value, rel=1e-5, abs=1e-9), row.name


@pytest.mark.parametrize("times", [1, 2])
def test_repeats_of_generated_images_are_noted(tmp_path, times):
    rng = np.random.default_rng(0)
    once = rng.standard_normal((40 // times, 1280), dtype=np.float32)
    for name, features in (("fake", np.tile(once, (times, 1))), ("real", once + 1)):
        np.savez(tmp_path / f"{name}.npz", feats=features)
    files = [tmp_path / f"{name}.npz" for name in ("fake", "real")]
    for row in se.evaluate(*files, ["fid", "kid", "pr"], subset_size=20, **LITE):
        assert ("20 of 40 images are repeats of others" in row.note) == (times == 2)


@pytest.mark.parametrize("times", [1, 2])
def test_repeats_are_found_in_a_sample_where_moments_alone_are_kept(times):
    once = np.random.default_rng(0).random((6000 // times, 4), dtype=np.float32)
    features = np.tile(once, (times, 1))
    seen = features_of(PixelDetector(), features, ("moments",))
    assert ("of 1000 images chosen at random are repeats" in seen.repeated) == (times == 2)
    assert features_of(PixelDetector(), features, ("classes",)[:0]).repeated == ""


def test_the_command_takes_all_features_of_a_file(sides):
    _, files = sides
    words = ["kid", "--images", files[0], "--data", files[1], "--json", "--device", "cpu"]
    words += ["--features", "efficientnet-lite0"]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["results"]
    assert row["num"] == 24
    assert "does not say of which network its features are" in row["note"]
    done = CliRunner().invoke(main, list(map(str, [*words, "-n", 12, "--subset-size", 6])))
    assert done.exit_code == 1
    assert "--images has features of 24 images, --num asks for 12: leave out --num" in done.stderr


BAD = {
    "one feature vector": (
        np.zeros((1, 1280)),
        r"feats is \[1, 1280\]; expected features \[N, D\]",
    ),
    "no matrix": (np.zeros(5), r"feats is \[5\]; expected features"),
    "text": (np.array(["a", "b"]), "expected numbers"),
    "values that are not finite": (np.full((4, 1280), np.nan), "not finite"),
    "another network": (np.zeros((4, 7)), "the statistics have 7 features, efficientnet-lite0"),
}


@pytest.mark.parametrize("name", BAD)
def test_other_arrays_are_refused(sides, tmp_path, name):
    array, message = BAD[name]
    np.savez(tmp_path / "bad.npz", feats=array)
    with pytest.raises(UserError, match=message):
        se.kid(tmp_path / "bad.npz", sides[0][1], **LITE)
