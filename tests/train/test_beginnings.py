"""Where a training begins: plan against run, who may have a folder, a checkpoint alone."""

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.checkpoint import checkpoints_in, newest_checkpoint, read_checkpoint
from stylegan.configs import config_text
from stylegan.datasets.archive import write_archive
from stylegan.presets import with_options
from stylegan.train import main
from stylegan.training.schedule import phases, training_points
from stylegan.training.settings import read_settings
from stylegan_eval.engine.files import held
from stylegan_eval.results.run_folder import read_rows
from tests import starting

TRAIN = [sys.executable, "-m", "stylegan.train"]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}
F16 = ["--config", "F", "--preset", "tiny-16"]


def train(*args):
    return CliRunner().invoke(main, ["--warmup", "0", *map(str, args), "--device", "cpu"])


def refused(message, *args):
    result = train(*args)
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not result.stdout


@pytest.fixture(scope="module")
def data64(tmp_path_factory):
    """64 images of 64x64."""
    path = tmp_path_factory.mktemp("data") / "noise64.zip"
    coarse = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    write_archive(path, ((image, None) for image in coarse.repeat(8, axis=1).repeat(8, axis=2)))
    return path


def table_of(lines):
    """(from kimg, resolution, minibatch, images in a pass) of each phase of a plan."""
    start = lines.index("phases:") + 2
    rows = itertools.takewhile(bool, lines[start:])
    found = [re.match(r"\s*([\d.]+)\s+(\d+)(?: fade)?\s+(\d+)\s+(\d+)", row) for row in rows]
    return [(float(row[1]), *map(int, row.groups()[1:])) for row in found]


def line_of(lines, name):
    return next(line for line in lines if line.startswith(f"{name}:"))


BEGINNINGS = {
    "preset": [*F16, "--kimg", "0.3"],
    "config": ["--config", "{config}"],
    "demo": ["--init", "demo", "--kimg", "0.02", "--data", "{data64}"],
    "folder": ["--init", "{finished}", "--kimg", "0.1"],
    "resume": ["--resume", "{newest}", "--kimg", "0.8"],
    "newest": ["--resume", "--kimg", "0.7"],
    "auto": ["--resume", "auto", *F16, "--kimg", "0.1"],
    "gpus": [*F16, "--kimg", "0.05", "--gpus", "2"],
    "grad-accum": [*F16, "--kimg", "0.05", "--grad-accum", "2"],
    "memory-limit": [*F16, "--kimg", "0.05", "--memory-limit", "3MB"],
    "metrics": [*F16, "--kimg", "0.05", "--metrics", "fd20", "--metrics-features", "NETWORK"],
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_plan_is_of_what_runs(name, finished, data, data64, tiny, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    out, config = tmp_path / "run", tmp_path / "config.json"
    config.write_text(config_text(with_options(tiny, total_kimg=0.2)))
    if name == "newest":
        shutil.copytree(finished, out)
    there = {path.name for path in out.iterdir()} if out.exists() else set()
    words = {"finished": finished, "newest": newest_checkpoint(finished), "config": config}
    words["data64"] = data64
    options = [word.format(**words) for word in BEGINNINGS[name]]
    options = ["efficientnet-lite0" if word == "NETWORK" else word for word in options]
    options += ["--out", str(out), "--cache", str(cache), "--warmup", "0.2", "--no-tensorboard"]
    options += [] if "--data" in options or "resume" in name else ["--data", str(data)]
    options += ["--snapshot-kimg", "0.1", "--device", "cpu"]

    planned = train(*options, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert ({path.name for path in out.iterdir()} if out.exists() else set()) == there
    lines = planned.stdout.splitlines()
    if name == "gpus":  # processes of their own
        command = [*TRAIN, *options]
        done = starting.run(command, env=ENV, capture_output=True, text=True, nested=True)
        assert done.returncode == 0, done.stderr
    else:
        done = train(*options)
        assert done.exit_code == 0, done.output

    tree, log = read_checkpoint(newest_checkpoint(out)), (out / "train.log").read_text()
    trained = tree.config
    goes_on = name in ("resume", "newest")
    start = int(read_checkpoint(newest_checkpoint(finished)).nimg) if goes_on else 0
    # The same phases from the same resolution on, the same steps, passes and processes.
    expected = [
        (round(max(point.nimg, start) / 1000, 1), point.resolution, point.minibatch)
        for point, end in itertools.pairwise([*phases(trained), None])
        if end is None or end.nimg > start
    ]
    assert [row[:3] for row in table_of(lines)] == expected
    looks = sum(1 for _ in training_points(trained, start))
    steps = looks * trained.schedule.minibatch_repeats
    assert f" in {steps} steps" in line_of(lines, "length")
    rows = [row for row in read_rows(out / "log.jsonl")[0] if row["nimg"] > start]
    assert {(row["resolution"], row["minibatch"]) for row in rows} <= {
        row[1:3] for row in table_of(lines)
    }
    world = 2 if name == "gpus" else 1
    assert f"{world} process(es), from kimg {start / 1000:.1f}" in log
    # What the run itself says when it begins.
    if start == 0:
        for what in ("on", "memory"):
            assert line_of(lines, what) in log
        assert line_of(lines, "writes").split("; at most")[0] in log
    settings = read_settings(out)
    execution = settings.execution_of(trained, world, "cpu")
    per_pass = {row[1]: row[3] for row in table_of(lines)}
    for point in phases(trained):
        from stylegan.runtime import Runtime
        from stylegan_eval.engine.processes import Processes

        runtime = Runtime("cpu", Processes(world=world))
        if point.resolution in per_pass:
            shares = execution.shares(point, trained, runtime)
            assert max(share.size for share in shares) == per_pass[point.resolution]
    # No more files than planned.
    checkpoints, sheets = map(
        int,
        re.search(r"(\d+) checkpoints .*?(\d+) sample sheets", line_of(lines, "writes")).groups(),
    )
    new = {path.name for path in out.iterdir()} - there
    assert sum(each.startswith(("checkpoint-", "best.pt")) for each in new) <= checkpoints
    assert sum(each.endswith(".png") for each in new) <= sheets


def test_a_plan_refuses_what_the_run_would(finished, data, data64, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    few, other = tmp_path / "few.zip", tmp_path / "other.zip"
    write_archive(few, ((np.full((16, 16, 3), i, np.uint8), None) for i in range(5)))
    write_archive(other, ((np.full((16, 16, 3), i, np.uint8), None) for i in range(64)))
    wide_images = tmp_path / "wide"
    wide_images.mkdir()
    from PIL import Image

    Image.new("RGB", (20, 10)).save(wide_images / "a.png")
    (tmp_path / "file").write_text("")
    new = ["--out", tmp_path / "new", "--cache", cache]
    for message, *args in (
        ("too small for", "--config", "F", "--preset", "demo-32", "--data", data, *new),
        ("5 images, fewer than the minibatch of 8", *F16, "--data", few, *new),
        ("20x10, not square", *F16, "--data", wide_images, *new),
        ("does not exist", *F16, "--data", tmp_path / "no.zip", *new),
        ("3 processes do not divide", *F16, "--data", data, *new, "--gpus", "3"),
        ("already holds a run", *F16, "--data", data, "--out", finished, "--cache", cache),
        ("already holds a run", "--init", "demo", "--data", data64, "--out", finished),
        ("too small for", "--init", "demo", "--data", data, *new),
        ("is not the data", "--resume", "--out", finished, "--data", other),
        ("trained with resolution 16", "--resume", "--out", finished, "--resolution", "32"),
        ("no run to resume", "--resume", "--out", tmp_path / "new"),
        ("needs 301 real images", *F16, "--data", data, *new, "--metrics", "fid301"),
        ("cannot write", *F16, "--data", data, "--out", tmp_path / "file" / "run"),
    ):
        refused(message, *args, "--dry-run", "--warmup", "0")
        refused(message, *args) if "--gpus" not in args else None
        assert not (tmp_path / "new").exists()
    with held(finished / "train.log"):
        refused("in use by another process", "--resume", "--out", finished, "--dry-run")


# --- several starts in one folder


def start(*args, processes=1):
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    command = [*launcher, "-m", "stylegan.train"] if processes > 1 else TRAIN
    command = [*command, *map(str, args), "--device", "cpu", "--warmup", "0", "--no-tensorboard"]
    return starting.Popen(
        command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        nested=processes > 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "processes"),
    [
        ("start", "start", 2), ("start", "resume", 1), ("resume", "resume", 1), ("auto", "auto", 1),
    ],
)  # fmt: skip
def test_of_two_in_one_folder_one_wins_and_is_untouched(
    first, second, processes, finished, data, cache, tmp_path
):
    """Both are let go at once: neither can find what the other is about to make."""
    out = tmp_path / "run"
    kinds = {
        "start": [*F16, "--data", data, "--kimg", "0.1"],
        "auto": [*F16, "--data", data, "--kimg", "0.1", "--resume", "auto"],
        "resume": ["--resume", "--kimg", "0.7"],
    }
    if "resume" in (first, second):
        shutil.copytree(finished, out)
    options = ["--out", out, "--cache", cache, "--snapshot-kimg", "0.1", "--keep", "100"]
    seeds = [[] if kind == "resume" else ["--seed", k] for k, kind in enumerate((first, second), 8)]
    both = [
        start(*kinds[kind], *options, *seed, processes=processes)
        for kind, seed in zip((first, second), seeds, strict=True)
    ]
    ends = [process.communicate() for process in both]
    statuses = [process.returncode for process in both]
    losers = [k for k in (0, 1) if statuses[k] != 0]
    # The later may come so late that there is nothing left to do for it.
    allowed = ("resume", "auto")
    assert len(losers) == 1 or (len(losers) == 0 and {first, second} <= set(allowed))
    for k in losers:
        said = [line for line in ends[k][1].splitlines() if line.startswith("error:")]
        assert said
        assert all(
            re.search("in use by another process|already holds a run|trained with seed", line)
            for line in said
        )
    assert processes > 1 or all("Traceback" not in err for _, err in ends)  # torchrun has its own
    # All that is there is of one run.
    winner = next(k for k in (0, 1) if statuses[k] == 0)
    provenances = [read_checkpoint(path).provenance for path in checkpoints_in(out)]
    assert len({provenance.seed for provenance in provenances}) == 1
    if "resume" not in (first, second) and losers:
        assert (
            provenances[0].seed == json.loads((out / "run.json").read_text())["seed"] == 8 + winner
        )
    length = 704 if "resume" in (first, second) else 128
    assert read_checkpoint(newest_checkpoint(out)).nimg == length
    rows = [row["nimg"] for row in read_rows(out / "log.jsonl")[0]]
    assert rows == sorted(set(rows))


def test_a_start_that_fails_leaves_nothing_behind(data, cache, tmp_path):
    out = tmp_path / "a" / "b"
    refused("too small", "--config", "F", "--preset", "demo-32", "--data", data, "--out", out)
    assert not out.parent.exists()
    out.mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    refused("too small", "--config", "F", "--preset", "demo-32", "--data", data, "--out", out)
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_results_without_checkpoints_are_refused_and_stay(finished, data, cache, tmp_path):
    """Else a new run has the old one's best.pt and sheets, and drops its log."""
    new, out = [*F16, "--data", data, "--cache", cache, "--kimg", "0.05"], tmp_path / "run"
    names = ["log.jsonl", "metrics.jsonl", "best.pt", "best.json", "fakes-000000_200.png"]
    for name in names:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        (out / name).write_text("{}")
        for how in ([], ["--resume", "auto"], ["--dry-run"]):
            refused(f"{out} holds {name} of a run", *new, *how, "--out", out)
        assert [path.name for path in out.iterdir()] == [name]
    other = [*F16, "--data", data, "--cache", cache, "--kimg", "0.01", "--out", tmp_path / "other"]
    assert train(*other).exit_code == 0
    alone = ["--resume", newest_checkpoint(tmp_path / "other"), "--cache", cache, "--out", out]
    refused("holds another run", *alone, "--kimg", "0.02")
    shutil.rmtree(out)
    assert train(*new, "--out", out).exit_code == 0
    # The folder of a start that was killed before its first checkpoint is free.
    for path in [*checkpoints_in(out), out / "log.jsonl", *out.glob("fakes-*_*.png")]:
        path.unlink()
    assert {path.name for path in out.glob("fakes-*")} == {"fakes-000000.png"}
    assert train(*new, "--resume", "auto", "--out", out).exit_code == 0


# --- a checkpoint alone


def test_a_checkpoint_alone_is_enough(finished, data, cache, tmp_path):
    alone, new = tmp_path / newest_checkpoint(finished).name, tmp_path / "new"
    shutil.copy(newest_checkpoint(finished), alone)
    nowhere = ["--resume", alone, "--cache", cache, "--out", new]
    refused("name them with --data ZIP|DIR", *nowhere)
    assert not new.exists()
    result = train(*nowhere, "--data", data, "--kimg", "0.7", "--keep", "2")
    assert result.exit_code == 0, result.output
    tree = read_checkpoint(newest_checkpoint(new))
    assert (tree.nimg, tree.provenance.seed) == (704, 5)
    settings = read_settings(new)
    assert (settings.keep, settings.seed, settings.data) == (2, 5, data.resolve())
    # The same weights as in its own folder.
    own = shutil.copytree(finished, tmp_path / "own")
    assert train("--resume", "--out", own, "--cache", cache, "--kimg", "0.7").exit_code == 0
    expected = read_checkpoint(newest_checkpoint(own)).networks["G"]
    assert all(bool((tree.networks["G"][key] == expected[key]).all()) for key in expected)


def test_a_run_file_beside_a_checkpoint_says_the_rest(finished, data, cache, tmp_path):
    own, new = shutil.copytree(finished, tmp_path / "own"), tmp_path / "new"
    checkpoint = newest_checkpoint(own)
    result = train("--resume", checkpoint, "--out", new, "--cache", cache, "--kimg", "0.65")
    assert result.exit_code == 0, result.output
    assert read_settings(new).data == data.resolve()
    assert read_settings(new).snapshot_kimg == 0.2
    # Its folder goes on where no other is named.
    result = train("--resume", checkpoint, "--cache", cache, "--kimg", "0.65")
    assert result.exit_code == 0, result.output
    assert str(own) in result.stdout
    # A folder of another run is left alone.
    other = tmp_path / "other"
    assert (
        train(*F16, "--data", data, "--cache", cache, "--out", other, "--kimg", "0.01").exit_code
        == 0
    )
    before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    refused("holds another run than", "--resume", checkpoint, "--out", other, "--cache", cache)
    assert {p: p.read_bytes() for p in other.rglob("*") if p.is_file()} == before


def test_data_of_another_machine_are_asked_for(finished, data, cache, tmp_path):
    own = shutil.copytree(finished, tmp_path / "own")
    tree = json.loads((own / "run.json").read_text())
    (own / "run.json").write_text(json.dumps(tree | {"data": "/kaggle/input/faces.zip"}))
    going_on = ["--resume", "--out", own, "--cache", cache, "--kimg", "0.65"]
    refused("/kaggle/input/faces.zip, on which", *going_on)
    moved = "--kimg 0.65 --dry-run --device cpu --data NEW/faces.zip (NEW is the folder"
    refused(moved, *going_on, "--dry-run")
    refused(moved, *going_on, "--data", "/kaggle/input/faces.zip", "--dry-run")
    (own / "run.json").write_text("{")
    refused("name the images with --data", *going_on)
    result = train(*going_on, "--data", data)
    assert result.exit_code == 0, result.output
    assert read_settings(own).data == data.resolve()


def test_advice_keeps_the_options_that_were_typed(finished, data, cache, tmp_path):
    """Each command is the one that was typed, mended: the data have moved, the run is finished."""
    own = shutil.copytree(finished, tmp_path / "own")
    tree = json.loads((own / "run.json").read_text())
    (own / "run.json").write_text(json.dumps(tree | {"data": "/old/noise16.zip"}))
    shutil.copy(data, tmp_path / "noise16.zip")
    result = train("--resume", "--out", own, "--cache", cache, "--keep", "3", "--kimg=0.6")
    _, advice = result.stderr.strip().split("if it has moved: stylegan-train ")
    result = CliRunner().invoke(main, shlex.split(advice))
    assert result.exit_code == 0, result.output
    _, advice = result.stderr.strip().split("to train on: stylegan-train ")
    assert read_settings(own).keep == 3
    words = shlex.split(advice)
    assert {"--keep", "--data"} <= {*words}
    assert [word.partition("=")[0] for word in words].count("--kimg") == 1


def test_precision_is_the_checkpoints_unless_it_is_chosen(finished, data, cache, tmp_path):
    first = tmp_path / "bf16"
    options = ["--data", data, "--cache", cache]
    assert (
        train(*F16, *options, "--out", first, "--kimg", "0.01", "--precision", "bf16").exit_code
        == 0
    )
    alone = tmp_path / "checkpoint-000000.pt"
    shutil.copy(newest_checkpoint(first), alone)
    for choice, expected in (([], "bf16"), (["--precision", "fp32"], "fp32")):
        out = tmp_path / expected / "x"
        result = train("--resume", alone, *options, "--out", out, "--kimg", "0.05", *choice)
        assert result.exit_code == 0, result.output
        assert read_settings(out).execution.precision == expected
