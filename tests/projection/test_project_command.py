"""`stylegan-sample project` from end to end, and `export --ws`, which draws what it saved."""

import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from stylegan.network_file import save_network
from stylegan.sample.cli import main
from stylegan.sample.projection import as_tensor, fitted
from stylegan.snapshot import Provenance, Snapshot
from stylegan_eval.engine.sampling import to_uint8
from stylegan_eval.images.decoding import decode
from tests import starting
from tests.train import golden


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Files of golden networks by row."""
    folder = tmp_path_factory.mktemp("networks")
    for row in ("B", "F"):
        content = Snapshot(
            config=golden.small_config(row),
            provenance=Provenance(seed=0, data="", version=""),
            nimg=0,
            lod=0.0,
            networks={"G_ema": golden.generator(row).state_dict()},
        )
        save_network(folder / f"{row}.safetensors", content)
    return folder


def with_channels(folder, channels, picked):
    """Network F whose `channels` are `picked` of its colours."""
    config = golden.small_config("F")
    state = {
        name: value[picked] if ".to_rgb." in name else value
        for name, value in golden.generator("F").state_dict().items()
    }
    content = Snapshot(
        config=replace(config, network=replace(config.network, num_channels=channels)),
        provenance=Provenance(seed=0, data="", version=""),
        nimg=0,
        lod=0.0,
        networks={"G_ema": state},
    )
    save_network(path := folder / f"{channels}.safetensors", content)
    return path


@pytest.fixture
def picture(tmp_path):
    """A smooth image of 32x32 that no network drew."""
    coarse = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    path = tmp_path / "face.png"
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(path)
    return path


def project(networks, *args):
    return run("project", "--ckpt", networks / "F.safetensors", "--steps", 3, *args)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_the_picture_shows_target_projection_and_start(space, networks, picture, tmp_path):
    out, saved, drawn = tmp_path / "new" / "out.png", tmp_path / "ws.npy", tmp_path / "x.npy"
    done = project(networks, picture, out, "--space", space, "--save", saved)
    assert done.exit_code == 0, done.stderr
    with Image.open(out) as sheet:
        cells = np.asarray(sheet)
    assert cells.shape == (32 + 2, 3 * 32 + 4, 3)
    with Image.open(picture) as target:
        assert np.array_equal(cells[1:33, 1:33], np.asarray(target))
    ws = np.load(saved)
    assert (ws.shape, ws.dtype) == ((1, 8, 32), np.float32)
    assert (ws == ws[:, :1]).all() == (space == "w")
    exported = run("export", "--ckpt", networks / "F.safetensors", "--ws", saved, drawn)
    assert exported.exit_code == 0, exported.stderr
    again = to_uint8(torch.from_numpy(np.load(drawn)))[0].permute(1, 2, 0).numpy()
    assert np.abs(cells[1:33, 34:66].astype(int) - again).max() <= 1  # batches round differently
    assert not np.array_equal(cells[1:33, 34:66], cells[1:33, 67:99])
    header, start, best, *files = done.stdout.splitlines()
    assert header.split()[0] == "st-lpips-alex"
    assert start.split()[:3] == ["mean", "of", "W"]
    assert float(best.split()[1]) < float(start.split()[3])
    assert files == [str(out), str(saved)]


def test_again_gives_the_same_bytes(networks, picture, tmp_path):
    out, printed, written = tmp_path / "again.png", [], []
    for _ in range(2):
        printed.append(project(networks, picture, out).stdout.splitlines()[:3])
        written.append(out.read_bytes())
        out.unlink()
    assert printed[0] == printed[1]
    assert written[0] == written[1]


def test_other_sizes_are_resampled_and_that_is_told(networks, picture, tmp_path):
    with Image.open(picture) as image:
        image.resize((48, 48)).save(tmp_path / "large.png")
        image.resize((20, 20)).save(tmp_path / "small.png")
    for name, said in (
        ("large", "large.png is shrunk from 48x48 to 32x32"),
        ("small", "small.png is enlarged, and so blurred, from 20x20 to 32x32"),
    ):
        done = project(networks, tmp_path / f"{name}.png", tmp_path / "out.png")
        assert done.exit_code == 0, done.stderr
        assert f"note: {tmp_path}/{said}" in done.stderr
    assert "note" not in project(networks, picture, tmp_path / "out.png").stderr


def test_the_photograph_is_not_written_over(networks, picture, tmp_path, monkeypatch):
    before = picture.read_bytes()
    monkeypatch.chdir(picture.parent)
    done = project(networks, picture, "./face.png")
    assert done.exit_code == 1
    assert done.stderr == "error: face.png is what is read: name another file\n"
    assert picture.read_bytes() == before


def test_shrinking_takes_means_and_keeps_the_colour_of_flat_images():
    pixels = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    blocks = pixels.reshape(3, 2, 2, 2, 2).mean(axis=(2, 4))
    assert np.array_equal(fitted(pixels, 2), np.rint(blocks).astype(np.uint8))
    for size in (3, 4, 9):
        flat = fitted(np.full((3, 4, 4), 77, np.uint8), size)
        assert flat.shape == (3, size, size)
        assert (flat == 77).all()


def test_bytes_survive_becoming_numbers():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(3, 16, 16)
    values = as_tensor(every, torch.device("cpu"))
    assert values.abs().max() <= 1
    assert np.array_equal(to_uint8(values)[0].numpy(), every)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ("--ckpt {F} {tmp}/no.png {out}", 1, "no.png: no such image"),
        ("--ckpt {F} {tmp} {out}", 1, "no such image"),
        ("--ckpt {F} {text} {out}", 1, "not an image"),
        ("--ckpt {F} {cut} {out}", 1, "damaged or truncated"),
        ("--ckpt {F} {wide} {out}", 1, "wide.png is 40x32: expected a square image"),
        ("--ckpt {F} {face} {tmp}", 1, "is a folder"),
        ("--ckpt {F} {face} {out} --save {face}/x.npy", 1, "face.png is not a folder"),
        ("--ckpt {B} {face} {out}", 1, "no W to project into"),
        ("--ckpt {F} {face} {out} --lod 1", 1, "the network draws 16x16"),
        ("--ckpt {F} {face} {out} --steps 0", 1, "--steps must be at least 1"),
        ("--ckpt {F} {face} {out} --lrate 1e30", 1, "diverged"),
        ("--ckpt {F} {face} {out} --perturbation 1e30", 1, "--perturbation"),
        ("--ckpt {F} {face} {out} --class 3", 1, "unconditional"),
        ("--ckpt {F} {face} {out} --weights {text}", 1, "--weights applies to"),
        ("--ckpt {F} {face} {out} --space v", 2, "'v'"),
        ("--ckpt {text} {face} {out}", 1, "text"),
    ],
)
def test_bad_input_is_one_line(words, status, message, networks, picture, tmp_path):
    names = {name: tmp_path / f"{name}.png" for name in ("text", "cut", "wide", "out", "face")}
    names |= {"tmp": tmp_path, **{row: networks / f"{row}.safetensors" for row in ("B", "F")}}
    names["text"].write_text("no image\n")
    names["cut"].write_bytes(picture.read_bytes()[:200])
    Image.new("RGB", (40, 32)).save(names["wide"])
    before = sorted(tmp_path.iterdir())
    done = run("project", *(word.format(**names) for word in words.split()))
    assert done.exit_code == status, done.output
    assert message in done.stderr
    if status == 1:
        (line,) = [line for line in done.stderr.splitlines() if "project:" not in line]
        assert line.startswith("error: ")
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "expected either --latents FILE or --ws FILE"),
        (["--latents", "z", "--ws", "ws"], "expected either --latents FILE or --ws FILE"),
        (["--ws", "z"], "ws in {z} must be float [N, 8, 32]"),
        (["--ws", "none"], "cannot read ws"),
    ],
)
def test_export_takes_z_or_w(given, message, networks, tmp_path):
    names = {name: tmp_path / f"{name}.npy" for name in ("z", "ws", "none")}
    np.save(names["z"], np.zeros((2, 32), np.float32))
    np.save(names["ws"], np.zeros((2, 8, 32), np.float32))
    words = [str(names.get(word, word)) for word in given]
    done = run("export", "--ckpt", networks / "F.safetensors", *words, tmp_path / "out.npy")
    assert done.exit_code == 1
    assert message.format(**names) in done.stderr
    assert not (tmp_path / "out.npy").exists()


def test_a_class_of_given_ws_is_refused(networks, tmp_path):
    np.save(tmp_path / "ws.npy", np.zeros((2, 8, 32), np.float32))
    given = ("--ckpt", networks / "F.safetensors", "--ws", tmp_path / "ws.npy", "--class", 1)
    done = run("export", *given, tmp_path / "out.npy")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--class and --ws: give one of them" in done.stderr


def test_truncation_of_given_ws_is_that_of_the_ws_of_z(networks, tmp_path):
    z = np.random.default_rng(0).standard_normal((2, 32)).astype(np.float32)
    np.save(tmp_path / "z.npy", z)
    with torch.no_grad():
        ws = golden.generator("F").mapping(torch.from_numpy(z)).numpy()
    np.save(tmp_path / "ws.npy", ws)
    common = ("--ckpt", networks / "F.safetensors", "--psi", 0.5)
    for name in ("latents", "ws"):
        file = tmp_path / f"{'z' if name == 'latents' else name}.npy"
        done = run("export", *common, f"--{name}", file, tmp_path / f"of-{name}.npy")
        assert done.exit_code == 0, done.stderr
    one, other = (np.load(tmp_path / f"of-{name}.npy") for name in ("latents", "ws"))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_terminated_projection_leaves_nothing(networks, picture, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    with Image.open(picture) as image:
        image.resize((48, 48)).save(folder / "face.png")
    words = [sys.executable, "-m", "stylegan.sample.cli", "project", "--steps", "1000000"]
    words += ["--ckpt", str(networks / "F.safetensors"), "--save", str(folder / "w.npy")]
    words += [str(folder / "face.png"), str(folder / "out.png")]
    pipe = subprocess.PIPE
    with starting.Popen(words, stderr=pipe, stdout=pipe, text=True) as process:
        try:
            assert "is shrunk from 48x48" in process.stderr.readline()  # what follows is descent
            process.send_signal(signal.SIGTERM)
            out, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 143
    assert (out, said) == ("", "terminated\n")
    assert [path.name for path in folder.iterdir()] == ["face.png"]


def test_a_grey_network_is_that_of_three_equal_channels(picture, tmp_path):
    with Image.open(picture) as image:
        image.convert("L").save(tmp_path / "grey.png")
    found = []
    for channels, picked in ((1, [0]), (3, [0, 0, 0])):
        network, saved = with_channels(tmp_path, channels, picked), tmp_path / f"{channels}.npy"
        words = ("--ckpt", network, "--steps", 3, "--device", "cpu", "--save", saved)
        done = run("project", *words, tmp_path / "grey.png", tmp_path / f"{channels}.png")
        assert done.exit_code == 0, done.stderr
        found.append(np.load(saved))
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-4)
    with Image.open(tmp_path / "1.png") as grey, Image.open(tmp_path / "3.png") as colour:
        assert (grey.mode, colour.mode) == ("L", "RGB")
        difference = np.asarray(colour.convert("L")).astype(int) - np.asarray(grey)
        assert np.abs(difference).max() <= 2


def test_an_image_with_alpha_is_projected_with_it(tmp_path):
    network = with_channels(tmp_path, 4, [0, 1, 2, 0])
    run("image", "--ckpt", network, "--seed", 3, tmp_path / "image.png")
    done = run(
        "project", "--ckpt", network, "--steps", 2, tmp_path / "image.png", tmp_path / "p.png"
    )
    assert done.exit_code == 0, done.stderr
    target = decode((tmp_path / "image.png").read_bytes(), "x", 4).transpose(1, 2, 0)
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.mode == "RGBA"
        np.testing.assert_array_equal(np.asarray(picture)[1:33, 1:33], target)
