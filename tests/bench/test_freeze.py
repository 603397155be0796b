"""What a record of outputs takes for equal, and what it does not."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks.freeze import __main__ as freeze
from benchmarks.freeze.content import content_of, stable_text


def test_times_speeds_and_the_folder_do_not_count(tmp_path):
    once = f'{tmp_path}/a.pt in 12.5 s at 99 img/s, 2026-01-01 10:00:00, 3.5 GiB, "seconds": 1.5'
    again = (
        f'{tmp_path}/a.pt in 9 s at 101.2 img/s, 2026-11-30T09:59:59+00:00, 12 GiB, "seconds": 9'
    )
    assert stable_text(once, tmp_path) == stable_text(again, tmp_path)
    assert stable_text("kimg 12.5, fid 3.25", tmp_path) == ["kimg 12.5, fid 3.25"]


def test_progress_and_speeds_in_columns_do_not_count(tmp_path):
    once = (
        "100%|██████| 0.5/0.5 kimg [00:20, lod 0.00]f16/checkpoint.pt\n    \n"
        "kimg 0.4  lod 1.08      8.5 img/s\n"
        "         0.2  fade to 16x16         43.3       9 s       done"
    )
    again = (
        "draw:  52%|███   | 2/5\n100%|██████| 0.5/0.5 kimg [00:09, lod 0.00]\nf16/checkpoint.pt\n"
        "kimg 0.4  lod 1.08     18.5 img/s\n"
        "         0.2  fade to 16x16        143.3      12 s       done"
    )
    assert stable_text(once, tmp_path) == stable_text(again, tmp_path)
    for part in ("checkpoint", "lod 1.08", "0.2  fade"):
        assert stable_text(once.replace(part, "x"), tmp_path) != stable_text(again, tmp_path)


def test_times_of_files_do_not_count(tmp_path):
    for name, files in (("a", [[7808, 1796060960055978274]]), ("b", [[7808, 1796062115448031835]])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"files": files}))
    one, other = (content_of(tmp_path / f"{name}.json", tmp_path) for name in "ab")
    assert one == other
    assert "7808" in " ".join(one)


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    array = np.full((4, 4, 3), value, np.uint8)
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    elif path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, a=array)
    elif path.suffix == ".pt":
        torch.save({"G": {"w": torch.full((3,), value)}, "nimg": 5}, path)
    elif path.suffix == ".csv":
        path.write_text(f"metric,value,seconds\nfid,{value},{np.random.default_rng().random()}\n")
    else:
        tree = {"value": value, "seconds": np.random.default_rng().random()}
        path.write_text(json.dumps(tree) + "\n")


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.pt", "a.csv", "a.json", "a.jsonl"])
def test_a_file_is_known_by_what_it_holds(tmp_path, name):
    for folder, value in (("one", 1), ("same", 1), ("other", 2)):
        write(tmp_path / folder / name, value)
    one, same, other = (content_of(tmp_path / f / name, tmp_path) for f in ("one", "same", "other"))
    assert one == same != other


def test_a_change_is_shown_and_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(freeze, "_helps", lambda: iter(()))
    run = CliRunner().invoke
    cases = ["--cases", "plans"]
    monkeypatch.setattr(freeze, "CASES", {"plans": ("stylegan-train --preset list",)})
    assert run(freeze.main, ["record", str(tmp_path), *cases]).exit_code == 0
    assert run(freeze.main, ["compare", str(tmp_path), *cases]).exit_code == 0
    path = tmp_path / "plans.json"
    path.write_text(path.read_text().replace("Seconds:", "Hours:"))
    changed = run(freeze.main, ["compare", str(tmp_path), *cases])
    assert changed.exit_code == 1
    assert "Hours:" in changed.output
    assert "Seconds:" in changed.output
