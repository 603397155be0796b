"""The runner as a user meets it: real trainings of tiny networks, killed, shared, failing."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.folder import FINISHED, read_folder
from benchmarks.keeping import keep_finished
from benchmarks.outcomes import read_outcomes
from benchmarks.processes import call
from benchmarks.scales import SCALES
from benchmarks.tables import TABLES
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.data import main as data_main
from stylegan.datasets.archive import write_archive
from stylegan_eval.engine.files import sha256_of
from tests import starting

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def avatars(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "avatars32.zip"
    arguments = ["avatars", str(path), "--count", "128", "--resolution", "32"]
    result = CliRunner().invoke(data_main, arguments)
    assert result.exit_code == 0, result.output
    return path


def command(avatars, out, *options, table="table1"):
    arguments = ["run", table, "--scale", "tiny-32", "--data", str(avatars), "--out", str(out)]
    return [sys.executable, "-m", "benchmarks", *arguments, "--device", "cpu", *options]


def finish(avatars, out, *options, table="table1"):
    return starting.run(
        command(avatars, out, *options, table=table),
        capture_output=True, text=True, env=ENVIRONMENT, nested=True,
    )  # fmt: skip


def states(out):
    outcomes = read_outcomes(read_folder(out))
    return {(o.line, o.seed): (o.state, o.value) for o in outcomes}


def weights(out):
    """Averaged generators of all trainings by name."""
    return {
        folder.name: read_checkpoint(newest_checkpoint(folder)).networks["G_ema"]
        for folder in sorted((out / "trainings").iterdir())
    }


@pytest.fixture(scope="module")
def undisturbed(avatars, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "results"
    ended = finish(avatars, out, "--rows", "A,F", "--kimg", "0.4")
    assert ended.returncode == 0, ended.stderr
    return out, ended


def test_a_request_is_trained_measured_and_told(undisturbed):
    out, ended = undisturbed
    found = states(out)
    assert set(found) == {("A", 0), ("F", 0)}
    for (line, _), (state, value) in found.items():
        assert state == "done"
        (told,) = [row for row in ended.stdout.splitlines() if row.startswith(line)]
        assert f"{value:.4g}" in told
        assert "paper" in told
    assert "Baseline Progressive GAN" in ended.stdout
    # Curves come from measurements on the way.
    for folder in (out / "trainings").iterdir():
        assert (folder / "metrics.jsonl").read_text().count("fd_efficientnet-lite0") >= 1


def test_what_is_done_is_not_done_again(undisturbed, avatars):
    out, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    again = finish(avatars, out, "--rows", "A,F", "--kimg", "0.4")
    assert again.returncode == 0
    assert again.stderr.count(": done") == 2
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")} == before


def test_other_tables_measure_what_one_has_trained_also_in_a_copy_that_was_kept(
    undisturbed, avatars, tmp_path
):
    out = tmp_path / "results"
    keep_finished(undisturbed[0], out)
    (_, plain) = states(out)["F", 0]
    (measured,) = (out / "measurements").glob("F-*")
    shutil.rmtree(measured)
    for table, row in (("table2", "mixing-90"), ("table4", "style-8")):
        ended = finish(avatars, out, "--rows", row, "--kimg", "0.4", table=table)
        assert ended.returncode == 0, ended.stderr
    assert not list(out.rglob("*.pt"))  # nothing was trained
    outcomes = read_outcomes(read_folder(out))
    # So short a training knows one face, of which nothing can be separated.
    (unknown,) = [o for o in outcomes if o.state != "done"]
    assert (unknown.metric, unknown.state, unknown.published) == ("separability", "undefined", 3.79)
    assert "images have it" in unknown.reason
    assert unknown.reason in ended.stdout
    mixed = {o.condition: o for o in outcomes if o.request.table == "table2"}
    assert mixed["latents=1"].value == plain
    names = [mixed[f"latents={n}"].measured_as for n in (1, 2, 3, 4)]
    assert len(set(names)) == 4
    found = {o.metric: o for o in outcomes if o.request.table == "table4"}
    assert found["fid"].value == plain
    assert found["ppl_full"].measured_as.startswith("ppl_wfull[st-lpips-alex")
    assert found["ppl_end"].measured_as.startswith("ppl_wend[st-lpips-alex")

    own = shutil.copy(out / "classifiers.safetensors", tmp_path / "my own.safetensors")
    files = ("--classifiers", str(own), "--weights", f"st-lpips-alex={tmp_path}/alex.pt")
    finish(avatars, out, "--rows", "style-8", "--kimg", "0.4", *files, table="table4")
    [command] = {o.request.command for o in read_outcomes(read_folder(out), "table4*")}
    assert command.endswith(" --classifiers 'my own.safetensors' --weights st-lpips-alex=alex.pt")

    result = CliRunner().invoke(main, ["report", str(out)])
    assert result.exit_code == 0, result.output
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    for table in ("table1", "table2", "table4"):
        assert TABLES[table].title in page
    rows = pd.read_csv(out / "report" / "results.csv")
    assert len(rows) == len(outcomes)
    assert rows["value"].dropna().tolist() == [o.value for o in outcomes if o.state == "done"]


def test_two_runners_share_the_work_and_a_killed_one_is_continued(undisturbed, avatars, tmp_path):
    out, rng = tmp_path / "results", random.Random(3)
    arguments = command(avatars, out, "--rows", "A,F", "--kimg", "0.4")
    kills = 0
    with contextlib.ExitStack() as stack:
        runners = []
        for _ in range(2):
            runner = starting.Popen(
                arguments,
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=ENVIRONMENT,
                nested=True,
            )
            stack.callback(runner.wait)
            stack.callback(runner.kill)
            runners.append(runner)
        # Once trainings run, kill the runners alone: their trainings must not go on without them.
        while len(list(out.glob("trainings/*/log.jsonl"))) < 2:
            assert any(runner.poll() is None for runner in runners)
            time.sleep(0.1)
        time.sleep(rng.random())
        for runner in runners:
            if runner.poll() is None:
                runner.send_signal(signal.SIGKILL)
                kills += 1
    assert kills > 0
    ended = finish(avatars, out, "--rows", "A,F", "--kimg", "0.4")
    assert ended.returncode == 0, ended.stderr
    assert states(out) == states(undisturbed[0])
    expected, found = weights(undisturbed[0]), weights(out)
    assert found.keys() == expected.keys()
    for name, tensors in expected.items():
        for key, tensor in tensors.items():
            assert torch.equal(found[name][key], tensor), (name, key)
    assert list((out / "claims").iterdir()) == []


def test_a_failed_row_says_why_and_does_not_stop_the_others(undisturbed, avatars, tmp_path):
    out = tmp_path / "results"
    shutil.copytree(undisturbed[0], out)
    (folder,) = (out / "trainings").glob("A-*")
    for path in (folder, out / "measurements" / folder.name):
        shutil.rmtree(path)
    damaged = folder / "checkpoint-000000.pt"
    folder.mkdir()
    damaged.write_bytes(b"half a checkpoint")
    ended = finish(avatars, out, "--rows", "A,F", "--kimg", "0.4")
    assert ended.returncode == 1
    found = read_outcomes(read_folder(out))
    assert [(o.line, o.state) for o in found] == [("A", "failed"), ("F", "done")]
    assert "is damaged" in found[0].reason
    assert found[0].reason in ended.stdout
    assert "Traceback" not in ended.stderr

    damaged.unlink()  # mended: the next runner tries it again
    assert finish(avatars, out, "--rows", "A,F", "--kimg", "0.4").returncode == 0
    assert {o.state for o in read_outcomes(read_folder(out))} == {"done"}


def test_a_training_that_went_on_is_neither_done_nor_measured(undisturbed, avatars, tmp_path):
    out = tmp_path / "results"
    shutil.copytree(undisturbed[0], out)
    (folder,) = (out / "trainings").glob("A-*")
    log = folder / "log.jsonl"
    whole = log.read_text()
    log.write_text(whole + json.dumps(json.loads(whole.splitlines()[-1]) | {"nimg": 480}) + "\n")
    for table in (out / "measurements" / folder.name).iterdir():
        table.unlink()
    ended = finish(avatars, out, "--rows", "A", "--kimg", "0.4")
    assert ended.returncode == 1
    assert (
        "failed: its training went on to 0.48 kimg, where the table's end at 0.416" in ended.stderr
    )
    assert not list(out.glob(f"measurements/{folder.name}/*.csv"))
    log.write_text(whole)
    shutil.copytree(undisturbed[0] / "measurements", out / "measurements", dirs_exist_ok=True)
    (table,) = (out / "measurements" / folder.name).iterdir()
    text = table.read_text()
    digest = sha256_of(newest_checkpoint(folder))
    assert digest in text
    table.write_text(text.replace(digest, "ab" * 32))
    ended = finish(avatars, out, "--rows", "A", "--kimg", "0.4")
    assert "failed: measured of another network (digest abababababab) than" in ended.stderr
    assert ended.returncode == 1
    table.write_text(text)
    assert finish(avatars, out, "--rows", "A", "--kimg", "0.4").returncode == 0


def test_a_damaged_table_does_not_stop_the_others(undisturbed, avatars, tmp_path):
    out = tmp_path / "results"
    shutil.copytree(undisturbed[0], out)
    (table,) = (out / "measurements").glob("A-*/fid-*.csv")
    table.write_text("half a table")
    shutil.rmtree(next((out / "measurements").glob("F-*")))
    ended = finish(avatars, out, "--rows", "A,F", "--kimg", "0.4")
    assert ended.returncode == 1
    assert "is damaged or half-written: delete it, and run again" in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr
    assert list((out / "measurements").glob("F-*/fid-*.csv"))


def test_sigterm_saves_and_leaves(avatars, tmp_path):
    out = tmp_path / "results"
    with starting.Popen(
        command(avatars, out, "--rows", "F", "--kimg", "50"),
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=ENVIRONMENT, nested=True,
    ) as runner:  # fmt: skip
        while not list(out.glob("trainings/*/checkpoint-*.pt")):
            assert runner.poll() is None
            time.sleep(0.1)
        runner.terminate()
        _, said = runner.communicate()
    assert runner.returncode == 143
    assert "stopped by signal" in said.decode()
    (folder,) = (out / "trainings").iterdir()
    assert read_checkpoint(newest_checkpoint(folder)).nimg > 0
    assert not (folder / FINISHED).exists()
    assert list((out / "claims").iterdir()) == []
    assert states(out) == {("F", 0): ("waiting", None)}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["run", "table7", "--scale", "tiny-32", "--data", "x"], 2, "'table7' is not one of"),
        (["run", "table1", "--scale", "huge", "--data", "x"], 2, "'huge' is not one of"),
        (
            ["run", "table1", "--scale", "tiny-32", "--data", "x", "--rows", "A,G", "--out", "o"],
            2,
            "table1 has no row 'G'; there are: A, B, C, D, E, F",
        ),
        (
            ["run", "table1", "--scale", "tiny-32", "--data", "x", "--seeds", "1,x", "--out", "o"],
            2,
            "1,x is not a list of seeds",
        ),
        (["run", "table1", "--scale", "tiny-32", "--data", "x"], 2, "where to? Give --out DIR"),
        (["run", "table1", "--scale", "tiny-32"], 2, "trained on what? Give --data"),
        (
            ["run", "table1", "--scale", "paper-1024", "--gpus", "7", "--dry-run"],
            1,
            "7",
        ),
        (
            ["run", "table1", "--scale", "tiny-32", "--dry-run", "--throughput", "fast"],
            1,
            "--throughput must be v100, here, or a number of TFLOP/s, not 'fast'",
        ),
        (["run", "table1", "--scale", "tiny-32", "--data", "x", "--out", "o"], 1, "x"),
        (["report", "nowhere"], 1, "nowhere is no folder of results"),
    ],
)
def test_bad_input_gets_one_line(arguments, status, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status
    assert message in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_tells_what_each_row_takes_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(
        main,
        ["run", "table1", "--scale", "tiny-32", "--rows", "A,F", "--seeds", "0,1", "--dry-run"],
    )
    assert result.exit_code == 0, result.output
    rows = [line.split()[:3] for line in result.output.splitlines()[1:5]]
    assert rows == [[row, "seed", seed] for seed in "01" for row in "AF"]
    assert "GPU-days" in result.output
    assert "published times on V100s" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (75, 16, "16x16 images, too small for networks of 32x32"),
        (75, 64, "the data is 64x64, the generator draws 32x32"),
        (7, 32, "7 images, fewer than the minibatch of 8"),
        (63, 32, "fd64 needs 64 real images"),
        (75, 48, "not a power of two"),
    ],
)
def test_images_that_no_row_can_be_trained_on_are_refused_not_planned(
    count, size, message, tmp_path, monkeypatch
):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    images = (np.full((size, size, 3), k, np.uint8) for k in range(count))
    write_archive(tmp_path / "images.zip", ((image, None) for image in images))
    arguments = ["run", "table1", "--scale", "tiny-32", "--data", str(tmp_path / "images.zip")]
    for more in (["--dry-run"], ["--out", str(tmp_path / "out"), "--device", "cpu"]):
        result = CliRunner().invoke(main, [*arguments, *more])
        assert result.exit_code == 1
        assert message in result.stderr.splitlines()[-1]
        assert not result.stdout
    assert not (tmp_path / "out").exists()


def test_list_names_everything_and_says_how_a_folder_stands(undisturbed, monkeypatch, tmp_path):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    result = CliRunner().invoke(main, ["list", "--device", "cpu", "--out", str(undisturbed[0])])
    assert result.exit_code == 0, result.output
    for name in (*TABLES, *SCALES):
        assert name in result.output
    for table in TABLES.values():
        for line in table.lines:
            assert f"  {line.key} " in result.output
    assert "2 done of 2 cells" in result.output
    assert result.output.count("0.4 of 0.4 kimg, 1 of 1 cells") == 2


def test_another_data_set_is_refused_before_anything_is_done(undisturbed, tmp_path):
    out, _ = undisturbed
    other = tmp_path / "other.zip"
    arguments = ["avatars", str(other), "--count", "128", "--resolution", "32", "--seed", "9"]
    assert CliRunner().invoke(data_main, arguments).exit_code == 0
    before = sorted(out.rglob("*"))
    result = CliRunner().invoke(main, command(other, out)[3:])
    assert result.exit_code == 1
    assert "was begun with other images (avatars32.zip, 128 images" in result.output
    assert sorted(out.rglob("*")) == before


def test_a_commands_failure_is_its_own_words(tmp_path):
    log = tmp_path / "logs" / "x.log"
    reason = call("stylegan_eval", ["cache", "list", "--nonsense"], log)
    assert reason == "No such option '--nonsense'."
    assert "No such option" in log.read_text()


def test_the_configuration_of_a_training_lies_beside_it(undisturbed):
    out, _ = undisturbed
    for folder in (out / "trainings").iterdir():
        tree = json.loads((folder / "config.json").read_text())
        assert tree["name"] == folder.name.partition("-")[0]
        assert tree["schedule"]["total_kimg"] == 0.4
        assert Path(folder / FINISHED).exists()
