"""Images of one array in an .npz or .npy: the numbers are those of the same pixels in a folder."""

import json
import os
import zipfile

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import stylegan_eval as se
from stylegan_eval.cli import main
from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.stats_file import StoredStats, read_stats
from stylegan_eval.errors import UserError
from stylegan_eval.images.arrays import ArrayImages
from stylegan_eval.images.files import open_images
from stylegan_eval.images.memory import MemoryImages
from stylegan_eval.metrics.sources import open_pair
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import FidSettings, SfidSettings

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def sides(image_folder):
    """Folders of 12 fakes and 14 reals, and the pixels of the fakes [12, H, W, 3]."""
    fakes, reals = image_folder("fakes", 12, seed=1), image_folder("reals", 14)
    return fakes, reals, pixels_of(fakes)


def pixels_of(folder):
    with open_images(folder) as files:
        return np.stack([files.read(number) for number in range(len(files))]).transpose(0, 2, 3, 1)


def written(folder, pixels):
    """The same images in every kind of file."""
    first, labels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), np.arange(len(pixels))
    files = {name: folder / name for name in ("a.npz", "labelled.npz", "packed.npz", "first.npz")}
    np.savez(files["a.npz"], pixels)
    np.savez(files["labelled.npz"], pixels, labels)
    np.savez_compressed(files["packed.npz"], pixels)
    np.savez(files["first.npz"], first)
    for name, array in (("a.npy", pixels), ("first.NPY", first)):
        files[name] = folder / name
        with files[name].open("wb") as file:
            np.save(file, np.ascontiguousarray(array))
    return files


def test_arrays_in_files_are_the_images_of_the_folder_and_those_in_memory(sides, tmp_path):
    _, _, pixels = sides
    held = MemoryImages(pixels, "x")
    for name, file in written(tmp_path, np.ascontiguousarray(pixels)).items():
        with ArrayImages(file) as images:
            read = np.stack([images.read(number) for number in range(len(images))])
            assert np.array_equal(read.transpose(0, 2, 3, 1), pixels), name
            assert images.digest == held.digest, name


def test_kid_of_a_command_takes_arrays_on_both_sides(sides, tmp_path):
    fakes, reals, pixels = sides
    np.savez(tmp_path / "fakes.npz", pixels)
    np.save(tmp_path / "reals.npy", pixels_of(reals))
    values = []
    for images, data in ((fakes, reals), (tmp_path / "fakes.npz", tmp_path / "reals.npy")):
        words = ["kid", "--images", images, "--data", data, "--json"]
        words += ["--features", "efficientnet-lite0", "--device", "cpu"]
        done = CliRunner().invoke(main, list(map(str, words)))
        assert done.exit_code == 0, done.stderr
        values.append(json.loads(done.stdout)["results"][0]["value"])
    assert values[0] == values[1]


def test_grey_images_are_those_of_three_equal_channels(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 1), np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    with ArrayImages(tmp_path / "grey.npy") as images:
        assert np.array_equal(
            images.read(2), np.broadcast_to(grey[2].transpose(2, 0, 1), (3, 4, 5))
        )


def reference(path, pixels, statistics, **more):
    """A reference batch as ADM writes it."""
    np.savez(
        path, pixels, mu=statistics.mean, sigma=statistics.cov, mu_s=[0], sigma_s=[[0]], **more
    )
    return path


def test_of_a_reference_batch_fid_reads_the_statistics_alone_and_others_the_images(sides, tmp_path):
    fakes, reals, pixels = sides
    statistics = se.statistics(reals, **LITE)
    file = reference(tmp_path / "reference.npz", pixels, statistics)
    fid, kid = se.evaluate(reals, file, ["fid", "kid"], subset_size=6, **LITE)
    assert kid.value == se.kid(reals, fakes, subset_size=6, **LITE).value
    assert "not of its mu and sigma" in fid.note
    assert "sigma" not in kid.note
    with zipfile.ZipFile(file) as archive:
        start = archive.getinfo("arr_0.npy").header_offset + 300
    damaged = bytearray(file.read_bytes())
    damaged[start : start + 50] = bytes(50)  # its CRC-32 is wrong now
    file.write_bytes(damaged)
    of_file = se.fid(fakes, file, **LITE)
    assert of_file.value == se.fid(fakes, statistics, **LITE).value
    assert of_file.value == pytest.approx(fid.value)  # reals of images, and images of reals
    with pytest.raises(UserError, match=r"arr_0 is damaged \(CRC-32\)"):
        se.fid(floor=True, fake=None, real=file, num=6, **LITE)


def test_sfid_takes_the_spatial_statistics_of_a_reference_batch(tmp_path):
    file = tmp_path / "reference.npz"
    means = {"mu": np.zeros(3), "mu_s": np.ones(2)}
    np.savez(file, sigma=np.eye(3), sigma_s=2 * np.eye(2), **means)
    for settings, mean in ((FidSettings(), means["mu"]), (SfidSettings(), means["mu_s"])):
        run = Run(device=torch.device("cpu"))
        with open_pair(Inputs(images=file, data=file), [settings], settings, run) as pair:
            assert all(np.array_equal(side.mean, mean) for side in pair)
            assert all(side.cov.shape == (len(mean), len(mean)) for side in pair)
    np.savez(file, mu=np.zeros(3), sigma=np.eye(3))  # of stylegan-eval stats
    assert len(read_stats(file, spatial=True).mean) == 3


def test_a_loop_takes_a_reference_batch(sides, tmp_path):
    _, reals, pixels = sides
    statistics = se.statistics(reals, **LITE)
    file = reference(tmp_path / "reference.npz", pixels, statistics)
    metric = se.KID(real=file, subset_size=6, **LITE)
    metric.update(pixels)
    assert metric.compute().value <= 0  # of equal sets
    assert isinstance(se.FID(real=file, **LITE)._data, StoredStats)
    np.savez(tmp_path / "moments.npz", mu=statistics.mean, sigma=statistics.cov)
    with pytest.raises(UserError, match="statistics are for FID and SFID alone"):
        se.KID(real=tmp_path / "moments.npz", **LITE)


def bomb(path):
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("arr_0.npy", "w") as member,
    ):
        np.lib.format.write_array(member, np.zeros((1000, 64, 64, 3), np.uint8))


BAD = {
    "floats": (
        lambda p: np.savez(p, np.zeros((2, 4, 4, 3))),
        r"float64 \[2, 4, 4, 3\]; expected .*; of floats x from 0 to 1 save \(x \* 255\)",
    ),
    "labels of others": (
        lambda p: np.savez(p, np.zeros((4, 4, 4, 3), np.uint8), np.arange(3)),
        r"4 images in arr_0 and labels \[3\] in arr_1: give as many labels, or leave arr_1 out",
    ),
    "a pickle": (lambda p: np.savez(p, np.array([{}], dtype=object)), "holds object"),
    "three axes": (lambda p: np.savez(p, np.zeros((4, 4, 3), np.uint8)), r"uint8 \[4, 4, 3\]"),
    "no image": (lambda p: np.savez(p, np.zeros((0, 4, 4, 3), np.uint8)), r"\[0, 4, 4, 3\]"),
    "another name": (lambda p: np.savez(p, x=np.zeros(2)), "it holds x.*; expected mu .* arr_0"),
    "a bomb": (bomb, "would expand"),
    "Fortran's order": (
        lambda p: np.savez(p, np.asfortranarray(np.zeros((2, 4, 4, 3), np.uint8))),
        "np.ascontiguousarray",
    ),
    "no zip": (lambda p: p.write_bytes(b"x" * 100), "not a file of statistics"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_array_of_images_is_told_in_one_line(name, sides, tmp_path):
    _, reals, _ = sides
    write, message = BAD[name]
    file = tmp_path / "bad.npz"
    write(file)
    for sample, real in ((file, reals), (reals, file)):
        with pytest.raises(UserError, match=message) as told:
            se.kid(sample, real, **LITE)
        assert "\n" not in str(told.value)
        assert str(file) in str(told.value)


def test_a_truncated_array_and_one_that_is_written_to_are_refused(sides, tmp_path):
    _, reals, pixels = sides
    file = tmp_path / "images.npy"
    np.save(file, np.ascontiguousarray(pixels))
    with ArrayImages(file) as images:
        os.truncate(file, file.stat().st_size - 1)
        with pytest.raises(UserError, match="has changed since it was opened"):
            images.read(11)
    with pytest.raises(UserError, match=r"images.npy: not an array of images .*bytes do not fill"):
        se.fid(file, reals, **LITE)
    with pytest.raises(UserError, match=r"none.npy does not exist; expected images: a folder"):
        se.fid(tmp_path / "none.npy", reals, **LITE)
