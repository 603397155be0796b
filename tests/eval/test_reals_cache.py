"""Statistics of real images are kept, checked, and never mistaken for others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.cli.commands import cache
from stylegan_eval.engine.blocks import Run
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics import features
from stylegan_eval.metrics.features import FeatureCollector
from stylegan_eval.metrics.image_metrics import _real_features, files_features
from stylegan_eval.metrics.sources import open_pair, pick_reals
from stylegan_eval.settings.common import Inputs, Sampling
from stylegan_eval.settings.image_metrics import FidSettings
from tests.eval.fakes import PixelDetector

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reals"


class Counting(PixelDetector):
    seen = 0

    def __call__(self, images):
        type(self).seen += len(images)
        return super().__call__(images)


@pytest.fixture
def look(image_folder):
    path = image_folder("reals", 30)
    Counting.seen = 0

    def measure(
        num=20, *, kinds=("moments", "vectors"), mirror=False, identity="pixels v1", seed=0
    ):
        with open_images(path) as files:
            rule = "full" if num == 30 else "first"
            settings = Sampling(num=num, seed=seed, batch=8)
            reals = pick_reals(files, range(num), rule, settings, mirror=mirror)
            detector = Counting(identity=identity)
            collector = FeatureCollector(detector=detector, kinds=kinds, num=num)
            before = Counting.seen
            run = Run(device=CPU)
            features = files_features(reals, collector, run)
            run.finish()
        return features, Counting.seen - before

    measure.path = path
    return measure


def test_images_are_looked_at_once(look, folder):
    first, seen = look()
    assert seen == 20
    again, seen = look()
    assert seen == 0
    assert np.array_equal(again.vectors, first.vectors)
    assert np.array_equal(again.moments.scatter, first.moments.scatter)
    assert again.moments.count == 20
    _, seen = look(kinds=("moments",))
    assert seen == 0
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"num": 21},
        {"num": 30},
        {"mirror": True},
        {"identity": "pixels v2"},
        {"kinds": ("moments",)},
    ],
)
def test_anything_else_is_another_entry(look, change):
    if change != {"kinds": ("moments",)}:
        look()
        assert look(**change)[1] > 0
    else:
        look(**change)
        assert look()[1] == 20  # the vectors are not there
    assert look()[1] == 0


def test_flips_of_another_seed_are_others(look):
    look(mirror=True)
    assert look(mirror=True, seed=1)[1] == 20
    look()
    assert look(seed=1)[1] == 0  # without flips the seed does not matter


def test_a_changed_file_is_noticed(look):
    look()
    path = look.path / "00007.png"
    path.write_bytes((look.path / "00008.png").read_bytes())
    assert look()[1] == 20


def test_a_damaged_entry_is_never_used(look, folder):
    first, _ = look()
    for path in folder.iterdir():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    again, seen = look()
    assert seen == 20
    assert np.array_equal(again.vectors, first.vectors)


def test_moments_hold_vectors_of_a_thousand_images_at_random(look, monkeypatch):
    monkeypatch.setattr(features, "SAMPLE", 7)
    seen, _ = look(num=30)
    among = [np.flatnonzero((seen.vectors == one).all(axis=1)).tolist() for one in seen.sample]
    assert len(among) == 7
    assert len({index for indices in among for index in indices}) == 7
    assert among != [[index] for index in range(7)]
    again, looked_at = look(num=30)
    assert (looked_at, np.array_equal(again.sample, seen.sample)) == (0, True)


@pytest.mark.parametrize("mirror", ["yes", "no"])
def test_moments_of_an_earlier_version_get_their_sample_once(
    look, folder, image_folder, monkeypatch, mirror
):
    monkeypatch.setattr(features, "SAMPLE", 25)
    settings = FidSettings(num=30, features="efficientnet-lite0", mirror=mirror)
    inputs = Inputs(images=image_folder("fakes", 30, seed=1), data=look.path)
    collector = FeatureCollector(detector=Counting(), kinds=("moments",), num=30)

    def real():
        before, run = Counting.seen, Run(device=CPU)
        with open_pair(inputs, [settings], settings, run) as (_, reals):
            seen = _real_features(reals, [settings], collector, run, Inputs())
        run.finish()
        return reals.key, seen, Counting.seen - before

    key, whole, _ = real()
    features.keep(key, collector, replace(whole, sample=None))
    _, first, seen = real()
    assert seen == 25
    _, again, seen = real()
    assert seen == 0
    for found in (first, again):
        assert np.array_equal(found.sample, whole.sample)
        assert np.array_equal(found.moments.scatter, whole.moments.scatter)
    assert len(list(folder.iterdir())) == 1


def run(*args):
    return CliRunner().invoke(cache, list(args))


def test_the_cache_is_listed_verified_and_cleared(look, folder):
    look()
    look(num=30)
    listed = run("list")
    assert listed.exit_code == 0
    assert listed.stdout.count("\n") == 4
    assert "vectors of 20 images" in listed.stdout
    assert "flips none" in listed.stdout
    assert run("verify").stdout == "4 statistics, all whole\n"
    victim = sorted(folder.iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:-50])
    verified = run("verify")
    assert verified.exit_code == 1
    assert verified.stdout == f"{victim}: damaged\n"
    assert "1 of 4 statistics are damaged" in verified.stderr
    assert "damaged" in run("list").stdout
    assert "nothing in the cache begins with zz" in run("clear", "zz").stderr
    assert run("clear", victim.stem[:8]).stdout == "removed 1 statistics, 0 unfinished runs\n"
    (folder / ".0123.npz.99.tmp").write_text("half-written")
    assert "removed 3 statistics" in run("clear").stdout
    assert list(folder.iterdir()) == []
    assert len(features.cached_files()) == 0


def test_unfinished_work_is_listed_and_cleared_by_itself(look):
    look()
    Run(device=CPU).map_blocks({"a": 1}, [range(3)], lambda *_: {"x": np.ones(3)}, "work")
    assert "unfinished, 1 blocks" in run("list").stdout
    assert run("clear", "--unfinished").stdout == "removed 0 statistics, 1 unfinished runs\n"
    assert "0 unfinished runs" in run("list").stderr
    assert look()[1] == 0
