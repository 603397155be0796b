"""The ending of a file that a command writes says what is in it, or is refused at once."""

from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.convert import main as convert
from stylegan.data import main as data
from stylegan.sample.cli import main as sample
from stylegan.train import main as train
from stylegan_eval.cli import main as evaluate

WRITERS = [
    (sample, "grid --ckpt demo", ".png"),
    (sample, "image --ckpt demo", ".png"),
    (sample, "mixing --ckpt demo", ".png"),
    *((sample, f"figure {name} --ckpt demo", ".png") for name in "23458"),
    (sample, "project --ckpt demo face.png", ".png"),
    (sample, "project --ckpt demo face.png out.png --save", ".npy"),
    (sample, "export --ckpt demo --latents z.npy", ".npy"),
    (sample, "scores --ckpt demo --images x.npy", ".npy"),
    (sample, "interpolate --ckpt demo", ".mp4"),
    (convert, "demo", ".safetensors"),
    (convert, "demo --to onnx", ".onnx"),
    (convert, "demo --to pt2", ".pt2"),
    (convert, "demo --to torchscript", ".pt"),
    (train, "status run -o", ".png"),
    (train, "status run --csv", ".csv"),
    (data, "avatars", ".zip"),
    (data, "prepare images --dry-run --report", ".csv"),
    (evaluate, "fid --ckpt demo --csv", ".csv"),
    (evaluate, "compare --csv", ".csv"),
    (evaluate, "directions --ckpt demo --csv", ".csv"),
    (evaluate, "directions --ckpt demo --out", ".safetensors"),
    (evaluate, "classifiers train --data x.zip --out", ".safetensors"),
    (evaluate, "report . -o", ".html"),
]
OTHERS = [".png", ".npy", ".jpg", ".csv", ".onnx", ".safetensors", ".html", ".gif", ".zip"]
KIN = {".mp4": {".gif", ".png"}}  # other kinds that the command writes


@pytest.mark.parametrize(("command", "line", "ending"), WRITERS)
def test_an_ending_of_another_kind_is_refused_before_any_work(
    tmp_path, monkeypatch, command, line, ending
):
    monkeypatch.chdir(tmp_path)
    for other in OTHERS:
        if other == ending or other in KIN.get(ending, ()):
            continue
        done = CliRunner().invoke(command, [*line.split(), f"out{other}"])
        assert done.exit_code == 2, done.output
        assert ending in done.stderr
        assert f"out{other}" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["prepare", "export"])
@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tfrecords", ".png", ".npz", ".7z"])
def test_a_set_of_images_is_a_zip_or_a_folder(tmp_path, command, ending):
    done = CliRunner().invoke(data, [command, str(tmp_path), str(tmp_path / f"x{ending}")])
    assert done.exit_code == 2
    assert "is to be a folder, or to end in .zip" in done.stderr


def options_that_write(command, names=()):
    """Paths of all commands that do not name what is read."""
    if isinstance(command, click.Group):
        for name, part in command.commands.items():
            yield from options_that_write(part, (*names, name))
        return
    for param in command.params:
        if param.name in ("out", "save", "table", "picture", "report", "csv"):
            yield (*names, param.name), param


def test_no_command_writes_a_file_without_looking_at_its_ending():
    unchecked = [
        "/".join(name)
        for command in (sample, train, data, evaluate, convert)
        for name, param in options_that_write(command)
        if isinstance(param.type, click.Path) and type(param.type) is click.Path
        and param.callback is None
    ]  # fmt: skip
    # Folders; whatever --to says; checked with the rest of what it needs.
    assert sorted(unchecked) == ["images/out", "out", "stats/out"]


@pytest.mark.parametrize("name", ["sheet.png", "SHEET.PNG", "sheet"])
def test_the_right_ending_in_any_case_or_none_is_written(tmp_path, name):
    out = tmp_path / name
    done = CliRunner().invoke(
        sample, ["grid", "--ckpt", "demo", "--seeds", "0", "--device", "cpu", str(out)]
    )
    assert done.exit_code == 0, done.output
    with Image.open(out) as image:
        assert image.format == "PNG"
        assert np.asarray(image).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("command", "words", "name"),
    [
        (evaluate, ["fid", "--images", "", "--data", "x"], "--images"),
        (evaluate, ["fid", "--images", "x", "--data="], "--data"),
        (evaluate, ["report", ""], "an argument"),
        (train, ["--data", "x.zip", "--out", ""], "--out"),
        (train, ["status", ""], "an argument"),
        (data, ["prepare", "", "x.zip"], "an argument"),
        (sample, ["grid", "--ckpt", "", "x.png"], "--ckpt"),
        (convert, ["demo", ""], "an argument"),
    ],
)
def test_an_empty_word_is_not_the_current_folder(tmp_path, monkeypatch, command, words, name):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 2
    assert f"{name} is empty: expected a value" in done.stderr
    assert not list(tmp_path.iterdir())


OVER = [
    (data, "prepare in.zip OUT", ".zip"),
    (data, "export in.zip OUT", ".zip"),
    (convert, "in.pt OUT --to torchscript", ".pt"),
    (sample, "project --ckpt demo in.png OUT", ".png"),
    (sample, "difference other.png in.png OUT", ".png"),
    (sample, "export --ckpt demo --latents in.npy OUT", ".npy"),
    (sample, "scores --ckpt demo --images in.npy OUT", ".npy"),
    (sample, "combine --ckpt demo --directions in.safetensors --move a=1 --name b OUT",
     ".safetensors"),
    (evaluate, "compare other.csv in.csv --csv OUT", ".csv"),
    (evaluate, "fid --ckpt demo --data in.csv --csv OUT", ".csv"),
    (evaluate, "stats OUT --data in.npz", ".npz"),
    (evaluate, "directions --ckpt demo --classifiers in.safetensors --out OUT", ".safetensors"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "line", "ending"), OVER)
@pytest.mark.parametrize("name", ["in", "./in", "../x/in", "link"])
def test_no_command_writes_over_what_it_reads(tmp_path, monkeypatch, command, line, ending, name):
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    for file in ("in", "other"):
        Path(f"{file}{ending}").write_text(file)
    Path(f"link{ending}").symlink_to(f"in{ending}")
    words = [word.replace("OUT", f"{name}{ending}") for word in line.split()]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 1, done.output
    assert "is what is read: name another file" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert Path(f"in{ending}").read_text() == "in"
    assert len(list(Path().iterdir())) == 3


def test_two_outputs_are_two_files(tmp_path):
    pictures = ["-o", str(tmp_path / "x.png"), "--film", str(tmp_path / "x.png")]
    done = CliRunner().invoke(train, ["status", str(tmp_path), *pictures])
    assert done.exit_code == 1
    assert "is the name of two outputs" in done.stderr
