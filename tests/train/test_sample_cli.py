"""`stylegan-sample`: grids, exported images and scores."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.sample.cli import main
from stylegan.snapshot import load_generator
from tests.train import golden


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.mark.parametrize("row", golden.ROWS)
def test_exported_images_and_scores_are_the_official_ones(row, official, tmp_path):
    z, x, out = tmp_path / "z.npy", tmp_path / "x.npy", tmp_path / "out.npy"
    np.save(z, golden.numbers(row)["latents"])
    np.save(x, golden.numbers(row)["reals"])
    for lod in golden.LODS:
        key = f"lod_{lod:g}"
        result = run("export", "--ckpt", official(row), "--latents", z, "--lod", lod, out)
        assert result.exit_code == 0, result.output
        images, expected = np.load(out), golden.numbers(row)[f"images_{key}"]
        step = 2 ** int(lod)
        assert images.dtype == np.float32
        assert images.shape == expected[:, :, ::step, ::step].shape
        limit = 5e-5 * np.abs(expected).max()
        assert np.abs(images - expected[:, :, ::step, ::step]).max() < limit
        result = run("scores", "--ckpt", official(row), "--images", x, "--lod", lod, out)
        assert result.exit_code == 0, result.output
        np.testing.assert_allclose(np.load(out), golden.numbers(row)[f"scores_{key}"], atol=1e-5)


def test_scores_take_images_of_the_level_as_they_are(official, tmp_path):
    reals = golden.numbers("F")["reals"]
    pooled = reals.reshape(4, 3, 16, 2, 16, 2).mean(axis=(3, 5))
    results = []
    for name, images in (("full", reals), ("level", pooled)):
        np.save(tmp_path / f"{name}.npy", images)
        args = ("--images", tmp_path / f"{name}.npy", "--lod", 1.7, tmp_path / "out.npy")
        assert run("scores", "--ckpt", official("F"), *args).exit_code == 0
        results.append(np.load(tmp_path / "out.npy"))
    np.testing.assert_allclose(*results, atol=1e-6)


@pytest.mark.parametrize(
    ("count", "batch", "advice"),
    [
        (5, None, "give 4 or 8 images, with --batch 4"),
        (5, 4, "give 4 or 8 images, with --batch 4"),
        (8, 6, "use --batch 4"),
        (8, 3, "use --batch 4"),
        (3, 2, "leave --batch out"),
    ],
)
def test_advice_on_minibatches_works(count, batch, advice, official, tmp_path):
    def scores(count, batch):
        images = np.resize(golden.numbers("F")["reals"], (count, 3, 32, 32))
        np.save(tmp_path / "x.npy", images)
        words = ["scores", "--ckpt", official("F"), "--images", tmp_path / "x.npy"]
        return run(*words, *(["--batch", batch] if batch else []), tmp_path / "out.npy")

    done = scores(count, batch)
    assert done.exit_code == 1
    assert done.output.rstrip().endswith(advice)
    followed = int(advice.split()[1]) if "give" in advice else count
    assert scores(followed, 4 if "--batch 4" in advice else None).exit_code == 0


@pytest.mark.parametrize(
    ("low", "high", "noted"), [(-1, 1, False), (-1.3, 1.2, False), (0, 1, True), (-255, 255, True)]
)
def test_scores_of_images_of_another_range_are_noted(low, high, noted, official, tmp_path):
    images = np.linspace(low, high, 4 * 3 * 32 * 32, dtype=np.float32).reshape(4, 3, 32, 32)
    np.save(tmp_path / "x.npy", images)
    words = ["scores", "--ckpt", official("F"), "--images", tmp_path / "x.npy"]
    done = run(*words, tmp_path / "out.npy")
    assert done.exit_code == 0
    assert ("D was trained on images in [-1, 1]" in done.stderr) == noted


@pytest.mark.parametrize(
    "words", ["export --ws {file}", "export --latents {file}", "scores --images {file}"]
)
def test_what_is_read_is_never_written_over(words, official, tmp_path):
    file, link = tmp_path / "in.npy", tmp_path / "link.npy"
    np.save(file, golden.numbers("F")["latents"])
    before = file.read_bytes()
    link.symlink_to(file)
    for out in (file, link):
        done = run(*words.format(file=file).split(), "--ckpt", official("F"), out)
        assert done.exit_code == 1
        assert done.output == f"error: {out} is what is read: name another file\n"
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("psi", "cutoff", "name"), [(0.7, None, "8"), (0.5, 100, "all"), (0.5, 3, "3")]
)
def test_exported_truncation(psi, cutoff, name, official, tmp_path):
    z, out = tmp_path / "z.npy", tmp_path / "out.npy"
    np.save(z, golden.numbers("F")["latents"])
    extra = [] if cutoff is None else ["--cutoff", cutoff]
    result = run("export", "--ckpt", official("F"), "--latents", z, "--psi", psi, *extra, out)
    assert result.exit_code == 0, result.output
    expected = golden.numbers("F")[f"images_trunc_psi{psi}_cut{name}_lod_0"]
    assert np.abs(np.load(out) - expected).max() < 5e-5 * np.abs(expected).max()


def test_noise_and_batches(official, tmp_path):
    z = tmp_path / "z.npy"
    np.save(z, np.random.default_rng(0).normal(size=(5, 32)))  # float64 is welcome

    def export(*args):
        result = run("export", "--ckpt", official("F"), "--latents", z, *args, tmp_path / "o.npy")
        assert result.exit_code == 0, result.output
        return np.load(tmp_path / "o.npy")

    fixed, none, fresh = (export("--noise", kind) for kind in ("fixed", "none", "random"))
    assert np.abs(fixed - none).max() > 1e-2
    assert np.abs(fixed - fresh).max() > 1e-2
    np.testing.assert_allclose(export("--noise", "random", "--batch", 2), fresh, atol=1e-4)
    assert np.abs(export("--noise", "random", "--seed", 1) - fresh).max() > 1e-2


def test_grid(finished, tmp_path):
    out = tmp_path / "deep" / "grid.png"
    result = run("grid", "--ckpt", finished, "--seeds", "0-4,9", "--psi", 0.7, out)
    assert result.exit_code == 0, result.output
    with Image.open(out) as sheet:
        assert sheet.size == (3 * 16, 2 * 16)
        assert len(np.unique(np.asarray(sheet))) > 10
    network = load_generator(read_checkpoint(newest_checkpoint(finished)), torch.device("cpu"))
    assert network.resolution == 16


BAD = [
    ("grid --ckpt {ckpt} --seeds 3-1 {out}", 2, "seeds"),
    ("grid --ckpt {ckpt} --seeds a {out}", 2, "0-15"),
    ("grid --ckpt {ckpt} --seeds 0-200000 {out}", 2, "100,000 seeds: give at most so many"),
    ("grid --ckpt {ckpt} --seeds 99999999999999999999 {out}", 2, "too large: seeds are 0 to 922"),
    ("grid --ckpt {tmp}/no.pt {out}", 1, "does not exist"),
    ("grid --ckpt {broken} {out}", 1, "damaged"),
    ("grid --ckpt {B} --psi 0.7 {out}", 1, "mapping network"),
    ("grid --ckpt {ckpt} --psi nan {out}", 2, "finite"),
    ("grid --ckpt {ckpt} {broken}/grid.png", 1, "cannot write"),
    ("export --ckpt {ckpt} --latents {broken} {out}", 1, "not a .npy"),
    ("export --ckpt {ckpt} --latents {tmp}/no.npy {out}", 1, "cannot read"),
    ("export --ckpt {ckpt} --latents {five} {out}", 1, "[N, 16]"),
    ("export --ckpt {ckpt} --latents {nan} {out}", 1, "NaN"),
    ("export --ckpt {ckpt} --latents {large} {out}", 1, "beyond float32"),
    ("export --ckpt {ckpt} --latents {five} --noise some {out}", 2, "some"),
    ("grid --ckpt {ckpt} --seeds 0-2 --columns 1000000000 {out}", 2, "use --columns 3 or less"),
    ("scores --ckpt {ckpt} --images {images5} {out}", 1, "groups of 4"),
    ("scores --ckpt {ckpt} --images {images12} {out}", 1, "16x16"),
]


@pytest.mark.parametrize(("args", "status", "message"), BAD)
def test_bad_input_is_one_line(args, status, message, finished, official, tmp_path):
    broken, ckpt = tmp_path / "checkpoint-000001.pt", newest_checkpoint(finished)
    shutil.copy(ckpt, broken)
    with broken.open("r+b") as file:
        file.truncate(1000)
    arrays = {
        "five": np.zeros((2, 5), np.float32),
        "nan": np.full((2, 16), np.nan, np.float32),
        "large": np.full((2, 16), 1e300),
        "images5": np.zeros((5, 3, 16, 16), np.float32),
        "images12": np.zeros((4, 3, 12, 12), np.float32),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    names = {name: tmp_path / f"{name}.npy" for name in arrays}
    names |= {"ckpt": ckpt, "broken": broken, "tmp": tmp_path, "out": tmp_path / "out"}
    names["B"] = official("B")
    result = run(*(arg.format(**names) for arg in args.split()))
    assert result.exit_code == status
    assert message in result.stderr
    assert "Traceback" not in result.output
    if status == 1:
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_help_imports_no_torch():
    program = "import sys; sys.argv = ['x', 'export', '--help']\n"
    program += "try:\n import stylegan.sample.cli as s; s.main()\n"
    program += "finally:\n assert not {'torch', 'numpy'} & set(sys.modules), 'heavy import'\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
