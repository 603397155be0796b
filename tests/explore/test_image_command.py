"""`stylegan-sample image`: the file that it writes, and what it refuses."""

import shlex
import sys
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.configs import config_from_dict
from stylegan.networks.generator import Generator
from stylegan.png import KEYWORD, png_of
from stylegan.sample.cli import main
from stylegan.sample.recipe import GeneratorSource, Move, Recipe
from stylegan.snapshot import built_on_meta
from tests.explore.networks import write_attributes


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image), dict(image.text)


@pytest.mark.parametrize("network", ["A", "F", "growing", "conditional"])
def test_the_defaults_draw_the_image_of_the_grid(network, files, tmp_path):
    one, sheet = tmp_path / "one.png", tmp_path / "sheet.png"
    made = run("image", "--ckpt", files[network], "--seed", 7, one)
    assert (made.exit_code, made.stdout) == (0, f"{one}\n"), made.output
    assert run("grid", "--ckpt", files[network], "--seeds", 7, sheet).exit_code == 0
    assert np.array_equal(pixels(one)[0], pixels(sheet)[0])
    assert pixels(one)[0].std() > 1


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ("--psi 0.6", ""),
        ("--psi -1 --cutoff 3", ""),
        ("--noise random", "--noise-seed 2"),  # the grid draws it by each image's seed
        ("--noise none", ""),
    ],
)
def test_options_of_the_grid_mean_here_what_they_mean_there(options, own, files, tmp_path):
    one, sheet = tmp_path / "one.png", tmp_path / "sheet.png"
    words, mine = options.split(), own.split()
    assert run("image", "--ckpt", files["F"], "--seed", 2, *words, *mine, one).exit_code == 0
    assert run("grid", "--ckpt", files["F"], "--seeds", 2, *words, sheet).exit_code == 0
    assert np.array_equal(pixels(one)[0], pixels(sheet)[0])


def test_the_file_says_which_command_makes_it_again(files, tmp_path):
    words = [
        "--seed",
        "5",
        "--psi",
        "0.7",
        "--mix",
        "8:4-7",
        "--noise",
        "none",
        "--move",
        "eyeglasses=1.5",
    ]
    named = ["--ckpt", str(files["F"]), "--directions", str(files["directions"])]
    first, again = tmp_path / "first" / "x.png", tmp_path / "again" / "x.png"
    assert run("image", *named, "--device", "cpu", *words, first).exit_code == 0
    command = pixels(first)[1][KEYWORD]
    program, *args, out = shlex.split(command)
    assert (program, out) == ("stylegan-sample", "x.png")
    assert args == ["image", *named, "--device", "cpu", *words]
    assert run(*args, again).exit_code == 0
    assert first.read_bytes() == again.read_bytes()


def test_the_text_of_the_file_may_be_of_any_script(tmp_path):
    out = tmp_path / "x.png"
    out.write_bytes(png_of(np.zeros((4, 4, 1), np.uint8), "stylegan-sample --ckpt 顔"))
    image, text = pixels(out)
    assert image.shape == (4, 4)
    assert text[KEYWORD] == "stylegan-sample --ckpt 顔"


def test_a_command_names_no_more_than_it_needs(tmp_path):
    source = GeneratorSource(ckpt=tmp_path / "a b", directions=tmp_path / "d", device="auto")
    still = source.command(Recipe(), "x.png")
    assert still == f"stylegan-sample image --ckpt '{tmp_path}/a b' --seed 0 x.png"
    moved = source.command(Recipe(moves=(Move(name="a", amount=1),)), "x.png")
    assert f"--directions {tmp_path}/d " in moved


def test_the_network_of_the_package_needs_no_file_named_for_its_attributes(tmp_path):
    still, moved = tmp_path / "still.png", tmp_path / "moved.png"
    assert run("image", "--ckpt", "demo", "--seed", 9, still).exit_code == 0
    result = run("image", "--ckpt", "demo", "--seed", 9, "--move", "eyeglasses=1.5", moved)
    assert result.exit_code == 0, result.output
    image, text = pixels(moved)
    assert not np.array_equal(image, pixels(still)[0])
    assert text[KEYWORD] == (
        "stylegan-sample image --ckpt demo --seed 9 --move eyeglasses=1.5 moved.png"
    )


def test_the_configuration_is_parsed_once_and_the_generator_built_once(tmp_path):
    watched = {config_from_dict.__code__: "parsed", Generator.__init__.__code__: "built"}
    calls = Counter()

    def count(frame, event, _argument):
        if event == "call" and frame.f_code in watched:
            calls[watched[frame.f_code]] += 1

    built_on_meta.cache_clear()
    sys.setprofile(count)
    try:
        done = run("image", "--ckpt", "demo", "--seed", 5, "--psi", "0.7", tmp_path / "x.png")
    finally:
        sys.setprofile(None)
    assert done.exit_code == 0, done.output
    assert calls == {"parsed": 1, "built": 1}


BAD = [
    ("--ckpt {F} --seed 1-2 {out}", 2, "--seed"),
    ("--ckpt {F} --seed -1 {out}", 1, "--seed"),
    ("--ckpt {F} --mix 8 {out}", 2, "8:4-7"),
    ("--ckpt {F} --mix 8:4-8 {out}", 1, "layers 0 to 7"),
    ("--ckpt {F} --class 1 {out}", 1, "unconditional"),
    ("--ckpt {conditional} --class 3 {out}", 1, "classes 0 to 2"),
    ("--ckpt {F} --move smiling=1 {out}", 1, "--directions"),
    ("--ckpt {F} --directions {directions} --move bald=1 {out}", 1, "eyeglasses, smiling"),
    ("--ckpt {F} --directions {other} --move smiling=1 {out}", 1, "sha256"),
    ("--ckpt {F} --directions {narrow} --move smiling=1 {out}", 1, "w_dim"),
    ("--ckpt {F} --directions {F} --move smiling=1 {out}", 1, "directions"),
    ("--ckpt {F} --directions {out} --move smiling=1 {out}", 1, "no such file"),
    ("--ckpt {A} --psi 0.7 {out}", 1, "mapping network"),
    ("--ckpt {A} --mix 8:0-3 {out}", 1, "mapping network"),
    ("--ckpt {A} --directions {directions} --move smiling=1 {out}", 1, "mapping network"),
    ("--ckpt {out} {out}", 1, "does not exist"),
    ("--ckpt {F} {F}/x.png", 1, "cannot write"),
]


@pytest.mark.parametrize(("args", "status", "message"), BAD)
def test_what_cannot_be_drawn_is_told_in_one_line(args, status, message, files, tmp_path):
    out = tmp_path / "out.png"
    names = files | {"out": out}
    names["other"] = write_attributes(tmp_path / "other", files["growing"])
    names["narrow"] = write_attributes(tmp_path / "narrow", files["F"], width=16)
    result = run("image", *(arg.format(**names) for arg in args.split()))
    assert result.exit_code == status, result.output
    assert message in result.stderr
    if status == 1:
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
    assert not out.exists()
