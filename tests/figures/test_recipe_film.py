"""`stylegan-sample interpolate --recipe`: films through images of any recipe."""

import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageSequence

from stylegan.png import write_npy
from stylegan.sample.cli import main
from stylegan.sample.drawing import open_generator, ws_of
from stylegan.sample.film import path_through, positions
from stylegan.sample.recipe import Mix, Move, Recipe
from tests.explore.networks import CPU, write_attributes, write_conditional, write_network


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    found = {row: write_network(folder / f"{row}.safetensors", row) for row in "AF"}
    found["conditional"] = write_conditional(folder / "conditional.safetensors")
    found["directions"] = write_attributes(folder / "directions.safetensors", found["F"])
    ws = np.random.default_rng(0).normal(size=(2, 8, 32)).astype(np.float32)
    write_npy(folder / "two.npy", ws)
    return found | {"ws": folder / "two.npy"}


def frames_of(path):
    with Image.open(path) as film:
        return [np.asarray(each.convert("RGB")) for each in ImageSequence.Iterator(film)]


def words_of(recipes):
    return [word for recipe in recipes for word in ("--recipe", recipe)]


def check_key_frames(start, options, recipes, folder):
    """The film goes exactly through the images that `image` draws, and is not still between."""
    film, image = folder / "film.apng", folder / "image.png"
    more = ["--frames", 2, "--batch", 1, "--loop", film]
    done = run("interpolate", *start, *options, *words_of(recipes), *more)
    assert done.exit_code == 0, done.output
    found = frames_of(film)
    assert len(found) == 2 * len(recipes)
    for frame, recipe in zip(found[::2], recipes, strict=True):
        directed = options if "--move" in recipe else []
        assert run("image", *start, *directed, *shlex.split(recipe), image).exit_code == 0
        assert np.array_equal(frame, frames_of(image)[0]), recipe
    assert all((a != b).any() for a, b in zip(found[::2], found[1::2], strict=True))


def test_a_film_goes_through_the_images_of_its_recipes(files, tmp_path):
    recipes = [
        "--seed 5 --psi 0.7 --cutoff 4 --mix 1:0-1",
        f"--ws {files['ws']} --row 1 --psi 0.5",
        "--seed 3 --move smiling=2 --move eyeglasses=-1:2-4",
    ]
    start = ["--ckpt", files["F"], "--device", "cpu"]
    check_key_frames(start, ["--directions", files["directions"]], recipes, tmp_path)


def test_all_frames_have_the_noise_of_the_recipes(files, tmp_path):
    recipes = [f"--seed {seed} --noise random --noise-seed 3" for seed in (1, 2)]
    check_key_frames(["--ckpt", files["F"], "--device", "cpu"], [], recipes, tmp_path)


def test_classes_are_those_of_the_recipes(files, tmp_path):
    recipes = [f"--seed 1 --class {name}" for name in ("dog", "cat")]
    check_key_frames(["--ckpt", files["conditional"], "--device", "cpu"], [], recipes, tmp_path)


def test_half_way_is_the_mean_of_what_recipes_draw_from(files):
    subject = open_generator(files["F"], CPU, files["directions"])
    one = Recipe(seed=2, psi=0.5, mix=Mix(seed=4, first=0, last=3))
    other = Recipe(moves=(Move(name="smiling", amount=1.0),))
    start = torch.ones(1, 8, 32)
    path = path_through([(one, None), (other, start)], subject)
    (half,) = path.at(positions(2, 2, loop=False)[1:2])
    expected = (ws_of(one, subject) + ws_of(other, subject, start))[0] / 2
    torch.testing.assert_close(half, expected)
    assert not torch.equal(ws_of(one, subject), ws_of(replace(one, mix=None), subject))


BAD = [
    ("--recipe '--seed 1' film.gif", 1, "two key frames or more"),
    ("--recipe '--seed 1' --recipe '--seed 2 --noise none' film.gif", 1,
     "key frame 2 has --noise none, and the first --noise fixed"),
    ("--recipe '--seed 1 --noise random --noise-seed 1' --recipe '--seed 1 --noise random' x.gif",
     1, "a film has the same noise from end to end"),
    ("--recipe '--seed x' film.gif", 2, "'x' is not a valid integer"),
    ("--recipe '--seed 1' --recipe '--psi 9e9' film.gif", 2, "'--psi 9e9'"),
    ("--recipe '--seed \"1' film.gif", 2, "No closing quotation"),
    ("--recipe '--seed 1 --scale 2' film.gif", 2, "No such option"),
    ("--recipe '--seed 1 --ws w.npy' film.gif", 2, "--seed and --ws"),
    ("--recipe '--noise-seed 1' film.gif", 2, "--noise-seed is for --noise random"),
    ("--recipe '--seed 1' --recipe '--ws no.npy' film.gif", 1, "no.npy"),
    ("--recipe '--seed 1' --recipe '--seed 2' --seeds 1 film.gif", 2, "--seeds and --recipe"),
    ("--recipe '--seed 1' --recipe '--seed 2' --psi 0.5 film.gif", 2, "--psi and --recipe"),
    ("--recipe '--seed 1' --recipe '--seed 2' --noise none film.gif", 2, "--noise and --recipe"),
    ("--recipe '--seed 1' --recipe '--seed 2' --space z film.gif", 2, "--recipe goes through W"),
    ("--recipe '--seed 1' --recipe '--seed 2 --move smiling=1' film.gif", 1, "--directions FILE"),
    ("--recipe '--seed 1' --recipe '--seed 2 --mix 1:8' film.gif", 1, "layers 0 to 7"),
    ("--seeds 0,1 --directions x.safetensors film.gif", 2, "leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "status", "message"), BAD)
def test_what_makes_no_film_is_one_line(words, status, message, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("interpolate", "--ckpt", files["F"], "--device", "cpu", *shlex.split(words))
    assert done.exit_code == status, done.output
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


def test_without_w_a_film_goes_by_seeds(files, tmp_path):
    recipes = words_of(["--seed 1", "--seed 2"])
    done = run("interpolate", "--ckpt", files["A"], *recipes, tmp_path / "film.gif")
    assert done.exit_code == 1
    assert "no mapping network: use --seeds with --space z" in done.stderr
