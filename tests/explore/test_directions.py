"""Directions of a network: its own components without a file, and sums of moves as new ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan.png import texts_of
from stylegan.sample.cli import main
from stylegan.sample.directions import COMPONENTS, combined, covariance_in, sample_of
from stylegan.sample.drawing import open_generator, ws_of
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import Move, Recipe
from stylegan_eval.cli import main as evaluate
from stylegan_eval.errors import UserError
from stylegan_eval.results.directions_file import file_of, read_directions, write_directions
from tests.explore.networks import CPU


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def subject(files):
    return open_generator(files["F"], CPU, files["directions"])


@pytest.fixture(scope="module")
def covariance(subject):
    return covariance_in(sample_of(subject.painter), subject.file)


def test_components_without_a_file_are_those_of_the_command(files, tmp_path):
    out = tmp_path / "pc.safetensors"
    args = ["--ckpt", files["F"], "--components", 10, "--out", out, "--device", "cpu"]
    done = CliRunner().invoke(evaluate, ["directions", *map(str, args)])
    assert done.exit_code == 0, done.output
    found = open_generator(files["F"], CPU, COMPONENTS)
    assert file_of(found.directions) == out.read_bytes()
    drawn = []
    for named in ("components", out):
        image = tmp_path / f"{len(drawn)}.png"
        words = ["--directions", named, "--move", "pc1=2:0-3", "--device", "cpu"]
        made = run("image", "--ckpt", files["F"], *words, image)
        assert made.exit_code == 0, made.output
        drawn.append(image.read_bytes().partition(b"IDAT")[2])
    assert drawn[0] == drawn[1]
    command = texts_of(tmp_path / "0.png")[0]
    assert "--directions components " in command
    assert "--move pc1=2:0-3 " in command


def test_the_spread_of_a_component_is_the_deviation_of_w_along_it(files):
    opened = open_generator(files["F"], CPU, COMPONENTS)
    w = sample_of(opened.painter).astype(np.float64)
    directions = opened.directions
    along = w @ directions.normals.astype(np.float64).T  # [N, K]
    np.testing.assert_allclose(along.std(axis=0, ddof=1), directions.spreads, rtol=1e-5)
    correlations = np.corrcoef(along[:, :5].T)
    np.testing.assert_allclose(correlations, np.eye(5), atol=1e-4)


def test_a_network_with_classes_takes_the_w_of_its_labels(files):
    opened = open_generator(files["conditional"], CPU, COMPONENTS)
    assert opened.directions.names[:2] == ("pc1", "pc2")
    with pytest.raises(UserError, match="no labels to draw from"):
        covariance_in(sample_of(Painter(opened.painter.network)), opened.file)


def test_a_network_without_w_has_no_components(files):
    with pytest.raises(UserError, match="no mapping network"):
        open_generator(files["A"], CPU, COMPONENTS)


@pytest.mark.parametrize("layers", [None, range(2, 5)])
def test_a_move_along_the_sum_is_the_sum_of_the_moves(layers, subject, covariance, tmp_path):
    moves = (
        Move(name="eyeglasses", amount=1.5, layers=layers),
        Move(name="smiling", amount=-1, layers=layers),
    )
    made, move = combined(moves, subject.directions, "stern", covariance)
    write_directions(tmp_path / "made.safetensors", made)
    read = read_directions(tmp_path / "made.safetensors")
    assert read.names == ("eyeglasses", "smiling", "stern")
    assert read.remarks["stern"] == f"{moves[0]} + {moves[1]}"
    assert read.spans["stern"] == (None if layers is None else (2, 4))
    expected = ws_of(Recipe(seed=1, moves=moves), subject)
    got = ws_of(Recipe(seed=1, moves=(move,)), replace(subject, directions=read))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    w = sample_of(subject.painter).astype(np.float64)
    deviation = (w @ read.normals[2].astype(np.float64)).std(ddof=1)
    assert read.spreads[2] == pytest.approx(deviation, rel=1e-5)


@pytest.mark.parametrize(
    ("moves", "name", "message"),
    [
        ("", "x", "there is no move to save"),
        (
            "eyeglasses=1:0-3 smiling=1",
            "x",
            "eyeglasses moves layers 0-3, smiling moves all layers",
        ),
        ("eyeglasses=0", "x", "cancel each other"),
        ("eyeglasses=1", "smiling", "a direction named smiling already"),
        ("eyeglasses=1", "", "no name of a direction"),
        ("eyeglasses=1", "two\nlines", "no name of a direction"),
    ],
)
def test_what_cannot_be_saved_is_told(moves, name, message, subject, covariance):
    given = [Move.parse(text) for text in moves.split()]
    with pytest.raises(UserError, match=message):
        combined(given, subject.directions, name, covariance)


def test_the_command_saves_a_sum_that_images_take(files, tmp_path):
    out = tmp_path / "both.safetensors"
    network = ("--ckpt", files["F"], "--device", "cpu")
    named = ("--directions", files["directions"])
    moves = ("--move", "eyeglasses=1", "--move", "smiling=2")
    done = run("combine", *network, *named, *moves, "--name", "both", out)
    assert done.exit_code == 0, done.output
    line, path = done.stdout.splitlines()
    assert path == str(out)
    assert line.startswith("--move both=")
    assert line.endswith(" is the sum of these moves")
    one = run("image", *network, "--directions", out, "--move", "both=1:0-3", tmp_path / "x.png")
    assert one.exit_code == 0, one.output
    for words, message in (
        ((*moves, "--name", "smiling"), "already"),
        (("--move", "hat=1", "--name", "both"), "the directions are those of"),
        (("--move", "smiling=1:0-8", "--name", "both"), "layers 0 to 7"),
    ):
        refused = run("combine", *network, *named, *words, tmp_path / "no.safetensors")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert message in refused.stderr
    for words in (network, (*network, *named)):
        refused = run("combine", *words, "--name", "both", tmp_path / "no.safetensors")
        assert refused.exit_code == 2
        assert "there is no move to save: give --move" in refused.stderr
    assert not (tmp_path / "no.safetensors").exists()
