"""`stylegan-train status`: what a run's folder tells, whole, alive, dead, or damaged."""

import json
import math
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stylegan.checkpoint import newest_checkpoint
from stylegan.train import status_command
from stylegan.training.cost import Phase
from stylegan.training.schedule import TrainingPoint
from stylegan.training.status import last_trouble, phase_times, read_status
from stylegan_eval.engine.files import held, is_held
from stylegan_eval.results.run_folder import append_rows, read_rows


def show(*args, **options):
    return CliRunner().invoke(status_command, [str(arg) for arg in args], **options)


@pytest.fixture
def run(finished, tmp_path):
    """Copy of a finished run: 8x8, fade, 16x16."""
    return shutil.copytree(finished, tmp_path / "f16")


def lines_of(result):
    assert result.exit_code == 0, result.output
    found = (line.split(maxsplit=1) for line in result.output.splitlines() if line.strip())
    return {words[0]: words[1] for words in found if len(words) == 2}


def keep_rows(run, count):
    """As if the run were younger."""
    path = run / "log.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:count]))


def young(run, kimg):
    """As if the run were to last longer."""
    tree = json.loads((run / "run.json").read_text())
    tree["config"]["schedule"]["total_kimg"] = kimg
    (run / "run.json").write_text(json.dumps(tree))


def words(run, *texts):
    with (run / "train.log").open("a") as file:
        file.writelines(f"2026-01-01 00:00:00  {text}\n" for text in texts)


def test_a_finished_run(run):
    result = show(run)
    shown = lines_of(result)
    row = read_rows(run / "log.jsonl")[0][-1]
    assert shown["configuration"] == "F (+ Mixing regularization), 16x16, mirrored"
    assert shown["state"].startswith("finished; to train on: stylegan-train --resume --out ")
    assert shown["progress"].startswith(f"kimg {row['nimg'] / 1000:.1f} of 0.6 (100%)")
    assert "left" not in shown["progress"]
    assert shown["losses"].startswith(f"loss_D {row['loss_D']:.4g}  loss_G {row['loss_G']:.4g}")
    assert f"{row['img_per_s']:.1f} img/s" in shown["speed"]
    assert shown["metrics"] == "none measured"
    assert f"newest {newest_checkpoint(run).name}" in shown["checkpoints"]
    assert result.output.count("done") == 3
    phases = [line[14:32].strip() for line in result.output.splitlines()[-3:]]
    assert phases == ["8x8", "fade to 16x16", "16x16"]
    assert "\x1b" not in result.output


def test_a_terminal_gets_colours(run):
    assert "\x1b[32mfinished" in show(run, color=True).output


def test_a_run_that_a_process_holds_is_running(run):
    young(run, 6.0)
    assert not is_held(run / "train.log")
    ago = time.time() - 3 * 3600
    os.utime(run / "log.jsonl", (ago, ago))
    with held(run / "train.log"):
        shown = lines_of(show(run))
        assert shown["state"] == "running: a process holds the run, its last tick was 3.0 h ago"
        assert shown["progress"].endswith(" left")
        # Looking does not take the lock away.
        assert is_held(run / "train.log")
    assert lines_of(show(run))["state"].startswith("stopped without an error message (killed?)")


def test_trouble_is_told_until_a_new_process_begins(run):
    young(run, 6.0)
    words(run, "stopped by signal 15; continue with --resume --out runs/f16")
    assert lines_of(show(run))["state"] == (
        "stopped by signal 15; continue with --resume --out runs/f16"
    )
    begins = (run / "train.log").read_text().splitlines()[0].partition("  ")[2]
    assert begins.startswith("config F, seed 5, ")
    words(run, begins, "kimg 0.7  lod 0.00")
    assert last_trouble(run / "train.log") == ""
    grey = begins.replace("config F, seed", "config F, images of 1 channel(s), seed")
    words(run, "stopped by signal 15", grey, "kimg 0.7  lod 0.00")
    assert last_trouble(run / "train.log") == ""
    collapse = "training collapsed at kimg 0.8: the scores of D reached 1.0e+06; lower it"
    words(run, collapse)
    assert lines_of(show(run))["state"] == f"stopped: {collapse}"
    words(run, "error: cannot write checkpoint-000001.pt: No space left on device")
    state = lines_of(show(run))["state"]
    assert "No space left on device; continue with stylegan-train --resume --out" in state
    with held(run / "train.log"):  # warned, and training on
        assert "No space left" in lines_of(show(run))["trouble"]


def test_a_collapse_is_told_of_a_finished_run(run, tmp_path):
    """As --on-collapse warn leaves it: the last network may be the best, and is a collapsed one."""
    collapse = "training collapsed at kimg 0.4: the scores of D reached 1.0e+06; last good: x"
    best = {"asked": "fid9", "metric": "fid9", "value": 7.5, "kimg": 0.6, "nimg": 600}
    append_rows(run / "metrics.jsonl", [best])
    (run / "best.json").write_text(json.dumps(best))
    (run / "best.pt").write_bytes(b"")
    begins = (run / "train.log").read_text().splitlines()[0].partition("  ")[2]
    assert "trouble" not in lines_of(show(run))
    words(run, collapse)
    shown = lines_of(show(run))
    assert shown["state"].startswith("finished")
    assert shown["trouble"] == collapse
    assert shown["metrics"].endswith("best fid9 7.5000 at kimg 0.6, after the collapse")
    other = shutil.copytree(run, tmp_path / "other")
    assert show(run, other).stdout.count("finished, collapsed") == 2
    # Gone on from a checkpoint after it, and stopped; then from one before it.
    words(run, begins.replace("from kimg 0.0", "from kimg 0.5"), "error: no memory")
    young(run, 6.0)
    shown = lines_of(show(run))
    assert shown["trouble"] == collapse
    assert "error: no memory" in shown["state"]
    words(run, begins.replace("from kimg 0.0", "from kimg 0.3"))
    assert "trouble" not in lines_of(show(run))
    assert "collapse" not in lines_of(show(run))["metrics"]
    # Stopped by it, the training has no collapsed checkpoint.
    words(run, f"{collapse}; or go on regardless with --on-collapse warn")
    assert "trouble" not in lines_of(show(run))


def test_metrics_and_the_best_checkpoint(run):
    def row(kimg, asked, metric, value, stderr=None):
        return {
            "nimg": kimg * 1000, "kimg": kimg, "asked": asked, "metric": metric, "value": value,
            "stderr": stderr,
        }  # fmt: skip

    append_rows(
        run / "metrics.jsonl",
        [
            row(1, "fid9", "fid9", 7.5),
            row(2, "fid9", "fid9", 9.25),
            row(2, "fid9", "fid9_inf", 9.0),
            row(2, "ppl_wend", "ppl_wend", math.nan),
            row(2, "kid9", "kid9", 0.12345, 0.0234),
        ],
    )
    expected = "kimg 2.0: fid9 9.2500, ppl_wend ?, kid9 0.123 ± 0.023"
    assert lines_of(show(run))["metrics"] == expected
    (run / "best.json").write_text(json.dumps(row(1, "fid9", "fid9", 7.5, 0.31)))
    (run / "best.pt").write_bytes(b"")
    shown = lines_of(show(run))
    assert shown["metrics"].endswith("; best fid9 7.50 ± 0.31 at kimg 1.0")
    assert shown["checkpoints"].endswith("best.pt of kimg 1.0")
    (run / "best.json").write_text('{"value": "x"}')
    assert "best" not in lines_of(show(run))["metrics"]


def test_a_run_that_has_just_begun(run):
    for path in (run / "log.jsonl", run / "train.log"):
        path.unlink()
    result = show(run)
    assert lines_of(result)["progress"] == "kimg 0.0 of 0.6 (0%); no tick is over yet"
    assert [line.split()[-1] for line in result.output.splitlines()[-3:]] == ["?"] * 3


def test_damaged_lines_are_left_out_and_counted(run):
    before = lines_of(show(run))
    path = run / "log.jsonl"
    text = path.read_bytes()
    path.write_bytes(b"\xff\x00nonsense\n" + text + b'{"nimg": 700, "loss')
    shown = lines_of(show(run))
    assert shown["damaged"].startswith("2 lines of log.jsonl")
    assert shown["losses"] == before["losses"]
    path.write_bytes(text + b'{"nimg": 650, "img_per_s": null, "loss_D": "x"}\n')
    assert lines_of(show(run))["losses"] == "loss_D ?"


@pytest.mark.parametrize("given_", ["absent", "file", "empty"])
def test_what_is_no_run_is_one_line(given_, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    result = show(tmp_path / given_)
    assert result.exit_code == 1
    assert result.output.startswith("error: ")
    assert "stylegan-train --out" in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", '{"config": {}, "data": "x", "seed": 0}'])
def test_damaged_settings_are_one_line(text, run):
    (run / "run.json").write_text(text)
    result = show(run)
    assert result.exit_code == 1
    assert "run.json is damaged or of another version" in result.output
    assert len(result.output.splitlines()) == 1


def cost(start, images, flop, lod=0.0):
    point = TrainingPoint(
        nimg=start, lod=lod, resolution=8, minibatch=8, lrate=0.001, tick_kimg=1.0
    )  # fmt: skip
    return Phase(point=point, images=images, flop_per_image=flop, at_a_time=8, memory=0)


def test_time_left_follows_from_the_speed_and_the_cost_of_images():
    costs = [cost(0, 1000, 1e9), cost(1000, 1000, 2e9), cost(2000, 3000, 8e9)]
    rows = [
        {"nimg": 500, "img_per_s": 100.0}, {"nimg": 1000, "img_per_s": 50.0},
        {"nimg": 1500, "img_per_s": 25.0},
    ]  # fmt: skip
    first, second, third = phase_times(costs, rows)
    assert (first.spent, first.left, first.current) == (5.0 + 10.0, 0.0, False)
    assert first.img_per_s == pytest.approx(1000 / 15)
    assert (second.spent, second.left, second.current) == (20.0, 20.0, True)
    # A quarter of the images per second of the second phase.
    assert (third.spent, third.left) == (0.0, pytest.approx(3000 / (25 / 4)))
    assert third.img_per_s is None


def test_a_tick_over_two_phases_is_shared_out_by_cost():
    costs = [cost(0, 1000, 1e9), cost(1000, 1000, 3e9)]
    first, second = phase_times(costs, [{"nimg": 1500, "img_per_s": 150.0}])
    assert first.spent == pytest.approx(10 * 1000 / 2500)
    assert second.spent == pytest.approx(10 * 1500 / 2500)
    assert second.left == pytest.approx(second.spent)


@given(
    st.lists(st.tuples(st.integers(1, 900), st.floats(0.1, 1e4)), min_size=1, max_size=20),
    st.integers(1, 3000),
)
def test_no_time_is_lost_between_phases(ticks, second_phase):
    costs = [cost(0, second_phase, 1e9), cost(second_phase, 5000, 3e9)]
    rows, nimg = [], 0
    for shown, speed in ticks:
        nimg += shown
        rows.append({"nimg": nimg, "img_per_s": speed})
    phases = phase_times(costs, rows)
    expected = sum(shown / speed for shown, speed in ticks)
    assert sum(phase.spent for phase in phases) == pytest.approx(expected)
    assert all(phase.left is not None and phase.left >= 0 for phase in phases)
    assert sum(phase.current for phase in phases) == 1


@pytest.mark.parametrize("state", ["whole", "one tick", "fresh"])
def test_a_picture_of_a_run_at_any_age(run, state, tmp_path):
    if state == "whole":
        rows = [
            {"nimg": n, "kimg": n / 1000, "asked": "fid9", "metric": "fid9", "value": v}
            for n, v in ((200, 9.0), (400, None), (600, 7.0))
        ]
        append_rows(run / "metrics.jsonl", rows)
        (run / "best.json").write_text(json.dumps(rows[-1]))
        (run / "best.pt").write_bytes(b"")
    else:
        keep_rows(run, 1 if state == "one tick" else 0)
    if state == "fresh":
        for path in run.glob("fakes-*.png"):
            path.write_bytes(b"damaged")
    result = show(run, "-o", tmp_path / "status.png")
    assert result.exit_code == 0, result.output
    picture = np.array(Image.open(tmp_path / "status.png").convert("RGB"))
    assert picture.shape == (850, 1500, 3)
    blue = (picture == (0x00, 0x72, 0xB2)).all(axis=2)
    assert blue.any() == (state != "fresh")  # curves, when there are rows
    # The newest sheet is there, in colours that curves do not have.
    corner = picture[460:, 1020:]
    assert (np.ptp(corner, axis=2) > 20).any() == (state != "fresh")


def test_the_ticks_as_a_table(run, tmp_path):
    (row,), _ = read_rows(run / "log.jsonl")
    nimg = row["nimg"] + 1000
    append_rows(run / "log.jsonl", [row | {"nimg": nimg}, row | {"nimg": nimg + 1}])
    rows, _ = read_rows(run / "log.jsonl")
    append_rows(run / "metrics.jsonl", [{"nimg": nimg, "metric": "fid9", "value": 7.5}])
    show(run, "--csv", tmp_path / "ticks.csv")
    table = pd.read_csv(tmp_path / "ticks.csv")
    assert list(table["nimg"]) == [row["nimg"] for row in rows]
    np.testing.assert_allclose(table["loss_D"], [row["loss_D"] for row in rows], rtol=1e-5)
    assert table["fid9"].isna().tolist() == [row["nimg"] != nimg for row in rows]
    result = show(run, "--csv", run)
    assert result.exit_code == 1
    assert "cannot write" in result.output


def test_a_picture_that_cannot_be_drawn_is_one_line(run, tmp_path, monkeypatch):
    result = show(run, "-o", tmp_path)
    assert result.exit_code == 1
    assert "it is a folder: name a file" in result.stderr
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = show(run, "-o", tmp_path / "status.png")
    assert result.exit_code == 1
    assert "pip install matplotlib" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "status.png").exists()


def test_help_imports_nothing_heavy():
    program = "import sys, stylegan.train\n"
    program += "assert not {'torch', 'numpy', 'pandas', 'PIL', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reading_changes_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    read_status(run)
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before
