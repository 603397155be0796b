"""A run that ends and is made longer, and one whose images have moved: what it says to type."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks.kill_trial import everything_in
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.train import main
from stylegan.training.schedule import training_point
from stylegan.training.settings import RunSettings, read_settings
from tests.fresh import start_run


def run(*args):
    return CliRunner().invoke(main, [*map(str, args)])


def typed(text):
    """The command in a message, as a shell splits it."""
    (command,) = re.findall(r"stylegan-train .*?(?= \(NEW|$)", text.strip())
    return shlex.split(command)[1:]


@pytest.fixture
def copy(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "a run" / "f16"))


def test_a_longer_run_is_the_one_planned_so(tiny, finished, data, cache, runtime, tmp_path):
    """Ended in the fade from 8x8 to 16x16, and extended: the bits of the run never ended."""
    out = tmp_path / "twice"
    short = replace(tiny, schedule=replace(tiny.schedule, total_kimg=0.2))
    settings = RunSettings(out=out, data=data, cache=cache, seed=read_settings(finished).seed)
    start_run(short, settings, runtime)
    nimg = read_checkpoint(newest_checkpoint(out)).nimg
    done = run("--resume", "--out", out, "--cache", cache, "--kimg", 0.6, "--device", "cpu")
    assert done.exit_code == 0, done.output
    point = training_point(nimg, tiny)
    assert 0 < point.lod < 1
    assert f"planned for kimg 0.2, goes on from {nimg / 1000:g} to 0.6" in done.stderr
    assert f"lod {point.lod:.2f} of a growth that goes on" in done.stderr
    assert f"minibatch {point.minibatch}, learning rate {point.lrate:g};" in done.stderr
    log = (out / "train.log").read_text()
    assert log.count("warning: the training ends at lod ") == 2  # as it begins, and at its end
    assert f"--resume --out {out} --kimg " in log
    first, second = (everything_in(path) for path in map(newest_checkpoint, (finished, out)))
    assert len(first) > 100
    assert first.keys() == second.keys()
    assert [key for key, value in first.items() if not torch.equal(value, second[key])] == []


def test_a_finished_run_says_so_and_what_to_type(copy, cache):
    nimg = read_checkpoint(newest_checkpoint(copy)).nimg
    done = run("--resume", "--out", copy, "--cache", cache, "--device", "cpu")
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert f"this run is finished, at kimg {nimg / 1000:g} of 0.6" in line
    args = typed(line)
    given = ["--cache", str(cache), "--device", "cpu"]  # as it was typed
    plain, longer = ["--resume", "--out", str(copy)], ["--kimg", f"{2 * nimg / 1000:g}"]
    assert args == [*plain, *given, *longer]
    planned = run(*args, "--dry-run", "--warmup", 0)
    assert planned.exit_code == 0, planned.output
    assert f"goes on from {nimg / 1000:g} to {args[-1]}, grown to full size" in planned.stderr
    shown = run("status", copy)
    (state,) = [line for line in shown.output.splitlines() if line.startswith("  state")]
    assert typed(state) == [*plain, *longer]


def moved(copy, data):
    """As if the images had been in a folder that has gone."""
    tree = json.loads((copy / "run.json").read_text())
    tree["data"] = f"/gone/{data.name}"
    (copy / "run.json").write_text(json.dumps(tree))


@pytest.mark.parametrize("where", ["here", "beside", "nowhere"])
def test_moved_images_are_told_with_the_command_to_type(
    where, copy, data, cache, tmp_path, monkeypatch
):
    moved(copy, data)
    monkeypatch.chdir(tmp_path)
    places = {"here": tmp_path, "beside": copy.parent, "nowhere": tmp_path / "NEW"}
    places[where].mkdir(exist_ok=True)
    shutil.copy(data, places[where] / data.name)
    more = ["--cache", cache, "--device", "cpu", "--kimg", "0.65"]
    done = run("--resume", "--out", copy, *more)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: /gone/{data.name}, on which {copy} was trained, is not there;")
    args = typed(line)
    named = {"here": data.name, "beside": str(copy.parent / data.name)}
    assert args == [
        *("--resume", "--out", str(copy), *map(str, more)),
        *("--data", named.get(where, f"NEW/{data.name}")),
    ]
    assert ("NEW is the folder" in line) == (where == "nowhere")
    again = run(*args)
    assert again.exit_code == 0, again.output


def test_a_checkpoint_in_another_folder_is_named(copy, data, tmp_path, monkeypatch):
    moved(copy, data)
    monkeypatch.chdir(tmp_path)
    done = run("--resume", newest_checkpoint(copy), "--out", tmp_path / "again", "--device", "cpu")
    words = ["--resume", str(newest_checkpoint(copy)), "--out", str(tmp_path / "again")]
    assert typed(done.stderr)[:4] == words
