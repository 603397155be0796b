"""`stylegan-sample images`, saved w, labels, and the command in every PNG."""

import gc
import itertools
import shlex
import shutil
import tracemalloc

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.png import texts_of
from stylegan.sample.cli import main
from stylegan.sample.drawing import mapped_seeds, open_generator
from stylegan.sample.recipe import Recipe
from stylegan_eval.engine.files import sha256_of
from tests.explore.networks import CPU


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def drawn(*args):
    done = run(*args)
    assert done.exit_code == 0, done.output
    return done


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def saved(files, tmp_path_factory):
    """Ws of seeds 0 to 2 of F: one .npy of two rows, and one .npz as NVIDIA's projector writes."""
    folder = tmp_path_factory.mktemp("ws")
    subject = open_generator(files["F"], CPU, None)
    ws = np.concatenate([mapped_seeds([seed], Recipe(), subject) for seed in range(3)])
    np.save(folder / "two.npy", ws[:2])
    np.savez(folder / "projected_w.npz", w=ws[2:])
    return folder


OPTIONS = ["--psi", "0.6", "--mix", "8:4-7", "--noise", "random", "--noise-seed", "3"]


def test_each_file_is_the_image_of_its_seed_and_of_the_command_in_it(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [*OPTIONS, "--scale", 2, "--batch", 1, "--out", "made"]
    drawn("images", "--ckpt", files["F"], "--seeds", "0-2,11", *words)
    names = ["seed0000.png", "seed0001.png", "seed0002.png", "seed0011.png"]
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == names
    for name in names:
        command, network = texts_of(tmp_path / "made" / name)
        assert network == sha256_of(files["F"])
        program, *args = shlex.split(command)
        assert program == "stylegan-sample"
        drawn(*args)  # writes NAME here
        assert np.array_equal(pixels(name), pixels(tmp_path / "made" / name))
        shown = drawn("command", tmp_path / "made" / name)
        assert shown.stdout.strip() == command
        assert network in shown.stderr


@pytest.mark.parametrize("batch", [1, 3])
def test_random_noise_is_another_in_each_file_and_none_depends_on_the_others(
    batch, files, saved, tmp_path
):
    # One w for all, so that nothing but noise tells images apart.
    w = tmp_path / "w.npy"
    np.save(w, np.repeat(np.load(saved / "two.npy")[:1], 4, axis=0))
    words = ["--ckpt", files["F"], "--ws", w, "--batch", batch]
    told = {}
    for noise in ("random", "fixed", "none"):
        done = drawn("images", *words, "--noise", noise, "--out", tmp_path / noise)
        told[noise] = "all files have the same noise: to measure them" in done.stderr
    assert told == {"random": False, "fixed": True, "none": False}
    random, fixed = (
        [pixels(tmp_path / noise / f"w000{k}.png").astype(int) for k in range(4)]
        for noise in ("random", "fixed")
    )
    assert all(np.array_equal(image, fixed[0]) for image in fixed)
    assert all(np.abs(a - b).max() > 1 for a, b in itertools.combinations(random, 2))
    command, _ = texts_of(tmp_path / "random" / "w0002.png")
    assert "--row 2" in command
    assert "--noise-seed 2" in command
    # The same seed in another range is the same image.
    for seeds in ("5", "3-6"):
        words = ["--seeds", seeds, "--noise", "random", "--noise-seed", 2**63 - 3, "--batch", batch]
        drawn("images", "--ckpt", files["F"], *words, "--out", tmp_path / seeds)
    one, among = (pixels(tmp_path / seeds / "seed0005.png").astype(int) for seeds in ("5", "3-6"))
    assert np.abs(one - among).max() <= 1
    assert "--noise-seed 2 " in texts_of(tmp_path / "5" / "seed0005.png")[0]


def test_batches_round_and_no_more(files, tmp_path):
    for batch in (1, 3):
        words = ["--seeds", "0-4", "--batch", batch, "--out", tmp_path / str(batch)]
        drawn("images", "--ckpt", files["F"], *words)
    for seed in range(5):
        one, other = (pixels(tmp_path / b / f"seed{seed:04d}.png").astype(int) for b in "13")
        assert np.abs(one - other).max() <= 1


def test_a_stopped_folder_goes_on_and_has_the_same_bytes(files, tmp_path):
    words = ["images", "--ckpt", files["F"], "--seeds", "0-5", "--batch", 4, "--out"]
    drawn(*words, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "part")
    for seed in (2, 3, 5):
        (tmp_path / "part" / f"seed{seed:04d}.png").unlink()
    kept = (tmp_path / "part" / "seed0004.png").stat().st_mtime_ns
    assert "3 of the images were there already" in drawn(*words, tmp_path / "part").stderr
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "part" / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "part" / "seed0004.png").stat().st_mtime_ns >= kept
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "part").iterdir()}
    assert "6 of the images" in drawn(*words, tmp_path / "part").stderr
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "part").iterdir()}


@pytest.mark.parametrize("change", ["psi", "network", "damaged"])
def test_files_of_another_command_or_network_are_refused(change, files, tmp_path):
    network = shutil.copy(files["F"], tmp_path / "net.safetensors")
    words = ["images", "--ckpt", network, "--seeds", "0,1", "--out", tmp_path / "made"]
    drawn(*words)
    path = tmp_path / "made" / "seed0001.png"
    if change == "network":
        shutil.copy(files["growing"], network)
    elif change == "damaged":
        path.write_bytes(path.read_bytes()[:20])
    (tmp_path / "made" / "seed0000.png").unlink()
    done = run(*words, *(["--psi", 0.5] if change == "psi" else []))
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {path} is there and was made by another command or net")
    assert list((tmp_path / "made").iterdir()) == [path]


@pytest.fixture
def _prompt_collection():
    """Collect garbage often: Pillow's buffers of saved files may wait for it."""
    thresholds = gc.get_threshold()
    gc.set_threshold(20)
    yield
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("_prompt_collection")
def test_memory_does_not_grow_with_the_number_of_images(files, tmp_path):
    peaks = []
    for seeds in ("0-7", "0-7", "0-127"):  # the first warms up
        out = tmp_path / str(len(peaks))
        tracemalloc.start()
        drawn("images", "--ckpt", files["F"], "--seeds", seeds, "--batch", 8, "--out", out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    of_an_image = 32 * 32 * 3
    assert peaks[2] - peaks[1] < 120 * of_an_image / 2


@pytest.mark.parametrize("options", [[], ["--psi", "0.5"], ["--mix", "8:4-7"]])
def test_a_saved_w_draws_the_image_of_its_seed(options, files, saved, tmp_path):
    w, seed = tmp_path / "w.png", tmp_path / "seed.png"
    for row, words in enumerate(
        (["two.npy"], ["two.npy", "--row", "1"], ["projected_w.npz"]),
    ):
        drawn("image", "--ckpt", files["F"], "--ws", saved / words[0], *words[1:], *options, w)
        drawn("image", "--ckpt", files["F"], "--seed", row, *options, seed)
        assert np.array_equal(pixels(w), pixels(seed))
        program, *args, out = shlex.split(texts_of(w)[0])
        named = ["--ckpt", str(files["F"]), "--ws", str(saved / words[0]), *words[1:], *options]
        assert [program, *args, out] == ["stylegan-sample", "image", *named, "w.png"]


def test_a_saved_w_is_moved_as_its_seed_is(files, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = ["--ckpt", files["F"], "--directions", files["directions"]]
    moved = ["--move", "smiling=2:2-5", "--move", "eyeglasses=-1"]
    drawn("image", *network, "--ws", saved / "two.npy", "--row", 1, *moved, "w.png")
    drawn("image", *network, "--seed", 1, *moved, "seed.png")
    drawn("image", *network[:2], "--seed", 1, "still.png")
    assert np.array_equal(pixels("w.png"), pixels("seed.png"))
    assert not np.array_equal(pixels("w.png"), pixels("still.png"))
    first, command = (tmp_path / "w.png").read_bytes(), texts_of(tmp_path / "w.png")[0]
    (tmp_path / "w.png").unlink()
    drawn(*shlex.split(command)[1:])
    assert (tmp_path / "w.png").read_bytes() == first


def test_saved_ws_into_a_folder_through_a_film_and_as_an_array(files, saved, tmp_path):
    named = ["--ws", saved / "two.npy", "--ws", saved / "projected_w.npz"]
    drawn("images", "--ckpt", files["F"], *named, "--batch", 1, "--out", tmp_path / "ws")
    drawn("images", "--ckpt", files["F"], "--seeds", "0-2", "--batch", 1, "--out", tmp_path / "z")
    for k in range(3):
        one = pixels(tmp_path / "ws" / f"w{k:04d}.png")
        assert np.array_equal(one, pixels(tmp_path / "z" / f"seed{k:04d}.png"))
    words = ["--frames", 2, "--batch", 1]
    drawn("interpolate", "--ckpt", files["F"], *named, *words, tmp_path / "ws.apng")
    drawn("interpolate", "--ckpt", files["F"], "--seeds", "0-2", *words, tmp_path / "z.apng")
    with Image.open(tmp_path / "ws.apng") as film, Image.open(tmp_path / "z.apng") as other:
        assert film.n_frames == other.n_frames == 5
        for k in range(5):
            film.seek(k), other.seek(k)
            assert np.abs(np.asarray(film).astype(int) - np.asarray(other)).max() <= 1
    drawn("export", "--ckpt", files["F"], "--ws", saved / "projected_w.npz", tmp_path / "x.npy")
    assert np.load(tmp_path / "x.npy").shape == (1, 3, 32, 32)


PNGS = [
    "grid --ckpt {F} --seeds 0-2 --labels {out}.png",
    "figure 8 --ckpt {F} --seeds 1,2 --psis 1,0 --labels --scale 3 {out}.png",
    "mixing --ckpt {F} --sources 0,1 --destinations 2 --labels {out}.png",
    "interpolate --ckpt {F} --seeds 0,1 --frames 2 {out}.apng",
]


@pytest.mark.parametrize("text", PNGS)
def test_a_png_says_the_command_that_was_typed_and_it_makes_the_file_again(
    text, files, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(files["F"], "own.safetensors")
    words = text.format(F="own.safetensors", out="x").split()
    drawn(*words)
    first = (tmp_path / words[-1]).read_bytes()
    command = texts_of(tmp_path / words[-1])[0]
    assert command == shlex.join(["stylegan-sample", *words])
    (tmp_path / words[-1]).unlink()
    drawn(*shlex.split(command)[1:])
    assert (tmp_path / words[-1]).read_bytes() == first


def test_a_command_names_no_folder_that_was_not_typed(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(files["F"], "demo")  # ./demo is a file, demo is the package's network
    drawn("image", "--ckpt", "./demo", tmp_path / "deep" / "x.png")
    expected = "stylegan-sample image --ckpt ./demo --seed 0 x.png"
    assert texts_of(tmp_path / "deep" / "x.png")[0] == expected


def test_scale_repeats_pixels(files, tmp_path):
    for scale in (1, 3):
        words = ["--seeds", "0-3", "--scale", scale, tmp_path / f"{scale}.png"]
        drawn("grid", "--ckpt", files["F"], *words)
    plain = pixels(tmp_path / "1.png")
    assert np.array_equal(pixels(tmp_path / "3.png"), np.kron(plain, np.ones((3, 3, 1), np.uint8)))


def test_labels_stand_below_the_images_of_a_grid(files, tmp_path):
    def strips(seeds):
        out = tmp_path / "x.png"
        drawn("grid", "--ckpt", files["F"], "--seeds", seeds, "--columns", 3, out)
        plain = pixels(out)
        drawn("grid", "--ckpt", files["F"], "--seeds", seeds, "--columns", 3, "--labels", out)
        labelled = pixels(out)
        assert np.array_equal(labelled[:32], plain)
        return [labelled[32:, 32 * k : 32 * k + 32] for k in range(3)]

    first, again = strips("3,4,12345"), strips("4,3,5")
    assert np.array_equal(first[0], again[1])
    assert np.array_equal(first[1], again[0])
    assert not np.array_equal(first[0], first[1])
    ink = [(strip < 128).any(axis=(0, 2)).sum() for strip in first]  # columns with ink
    assert 0 < ink[0] < ink[2] < 32
    assert all((strip[:, [0, -1]] == 255).all() for strip in first)


def test_labels_stand_above_the_columns_and_left_of_the_rows_of_a_figure(files, tmp_path):
    words = ["figure", "8", "--ckpt", files["F"], "--seeds", "1,20", "--psis", "1,0", "--scale", 2]
    drawn(*words, tmp_path / "plain.png")
    drawn(*words, "--labels", tmp_path / "labelled.png")
    plain, labelled = pixels(tmp_path / "plain.png"), pixels(tmp_path / "labelled.png")
    height, width = plain.shape[:2]
    assert np.array_equal(labelled[-height:, -width:], plain)
    above, left = labelled[:-height, -width:] < 128, labelled[-height:, :-width] < 128
    assert above[:, : width // 2].any()
    assert above[:, width // 2 :].any()
    assert 0 < left[: height // 2].sum() < left[height // 2 :].sum()  # 1, 20
    assert (labelled[:-height, :-width] == 255).all()


BAD = [
    ("image --ckpt {F} --ws {ws}/two.npy --row 2 {out}.png", 1, "rows 0 to 1"),
    ("image --ckpt {F} --ws {ws}/two.npy --seed 0 {out}.png", 2, "--seed and --ws"),
    ("image --ckpt {F} --ws {ws}/two.npy --ws {ws}/two.npy {out}.png", 2, "images --ws"),
    ("image --ckpt {conditional} --ws {ws}/two.npy --class 1 {out}.png", 1, "leave it out"),
    ("image --ckpt {F} --ws {ws}/no.npz {out}.png", 1, "no such file"),
    ("image --ckpt {F} --ws {ws}/other.npz {out}.png", 1, "no array named w"),
    ("image --ckpt {F} --ws {ws}/narrow.npz {out}.png", 1, "float [N, 8, 32]"),
    ("image --ckpt {F} --ws {F} {out}.png", 1, "not a .npy"),
    ("images --ckpt {F} --ws {ws}/two.npy --seeds 1 --out {out}", 2, "--seeds and --ws"),
    ("images --ckpt {F} --seeds 1 --out {ws}/two.npy", 1, "is not a folder"),
    ("interpolate --ckpt {F} --ws {ws}/two.npy --space z {out}.gif", 2, "--space z"),
    ("interpolate --ckpt {F} --ws {ws}/two.npy --seeds 1,2 {out}.gif", 2, "--seeds and --ws"),
    ("interpolate --ckpt {F} --ws {ws}/projected_w.npz {out}.gif", 1, "two or more"),
    ("grid --ckpt {F} --seeds 123456789 --labels {out}.png", 1, "--scale 2"),
    ("figure 2 --ckpt {F} --labels {out}.png", 2, "--labels"),
    ("command {F}", 1, "not a PNG"),
    ("command {ws}/plain.png", 1, "holds no command"),
]


@pytest.mark.parametrize(("args", "status", "message"), BAD)
def test_what_cannot_be_drawn_is_told_in_one_line(args, status, message, files, saved, tmp_path):
    np.savez(saved / "other.npz", v=np.zeros((1, 8, 32), np.float32))
    np.savez(saved / "narrow.npz", w=np.zeros((1, 8, 16), np.float32))
    Image.new("L", (4, 4)).save(saved / "plain.png")
    names = files | {"ws": saved, "out": tmp_path / "out"}
    done = run(*(arg.format(**names) for arg in args.split()))
    assert done.exit_code == status, done.output
    assert message in done.stderr
    assert "Traceback" not in done.output
    if status == 1:
        assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_scale_that_a_label_asks_for_is_enough(files, tmp_path):
    words = ["--seeds", "123456789", "--labels", "--scale", 2, tmp_path / "x.png"]
    drawn("grid", "--ckpt", files["F"], *words)
