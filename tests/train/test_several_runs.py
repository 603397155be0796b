"""`stylegan-train status` of several runs, and the sheets of one over time."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image, ImageSequence

from stylegan.png import texts_of
from stylegan.train import main
from stylegan.training.pictures import ROWS, evenly, sheets_in
from stylegan_eval.results.run_folder import append_rows, read_rows


def show(*args):
    return CliRunner().invoke(main, ["status", *map(str, args)])


def measured(run, metric, *values):
    """Measurements at 100, 200, ... images."""
    rows = [
        {"nimg": 100 * k, "kimg": k / 10, "asked": metric, "metric": metric, "value": value}
        for k, value in enumerate(values, 1)
    ]
    append_rows(run / "metrics.jsonl", rows)


@pytest.fixture
def runs(finished, tmp_path, monkeypatch):
    """Two runs of one kind, with other seeds and lengths, measured twice and three times."""
    monkeypatch.chdir(tmp_path)
    for name, seed, kimg, values in (
        ("a", 5, 0.5, (9.0, 7.5)), ("b", 6, 0.75, (8.0, 8.5, 4.25)),
    ):  # fmt: skip
        folder = shutil.copytree(finished, tmp_path / name)
        tree = json.loads((folder / "run.json").read_text()) | {"seed": seed}
        tree["config"]["schedule"]["total_kimg"] = kimg
        (folder / "run.json").write_text(json.dumps(tree))
        measured(folder, "fid9", *values)
    measured(tmp_path / "a", "kid9", 1.0)
    return tmp_path / "a", tmp_path / "b"


def rows_of(text):
    return [line.split() for line in text.splitlines()]


def test_runs_are_compared_where_both_were_measured(runs):
    done = show("a", "b")
    assert done.exit_code == 0, done.output
    head, first, second, empty, settings, *unlike = rows_of(done.stdout)
    assert head[-4:] == ["fid9", "at", "kimg", "least"]
    ticks = [read_rows(run / "log.jsonl")[0][-1] for run in runs]
    for line, tick, words in (
        (first, ticks[0], ["a", "finished", "7.5", "0.2", "7.5"]),
        (second, ticks[1], ["b", "stopped", "8.5", "0.2", "4.25"]),  # not the 4.25 at 0.3
    ):
        assert [*line[:2], *line[-3:]] == words
        assert f"{tick['loss_D']:.4g}" in line
    assert empty == []
    assert settings == ["setting", "a", "b"]
    assert unlike == [["schedule.total_kimg", "0.5", "0.75"], ["seed", "5", "6"]]


def test_without_a_metric_in_common_it_says_so_and_shows_the_rest(runs):
    (runs[1] / "metrics.jsonl").unlink()
    done = show("a", "b")
    assert "no metric was measured in all of them" in done.stdout
    assert rows_of(done.stdout)[0][-1] == "loss_G"


def test_curves_of_several_runs_in_one_picture_and_one_table(runs):
    (row,), _ = read_rows(runs[0] / "log.jsonl")
    for k, run in enumerate(runs, 1):
        more = [row | {"nimg": row["nimg"] + 1000 * n, "loss_D": k + n / 10} for n in (1, 2)]
        append_rows(run / "log.jsonl", more)
    done = show("a", "b", "-o", "curves.png", "--csv", "ticks.csv")
    assert done.exit_code == 0, done.output
    picture = np.asarray(Image.open("curves.png").convert("RGB")).astype(int)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):  # a run each
        found = (np.abs(picture - colour).sum(axis=2) < 30).nonzero()
        assert len(found[0]) > 100
        assert 1 in found[1] // 500  # in the column of the losses of D, which differ
    assert texts_of("curves.png")[0] == ("stylegan-train status a b -o curves.png --csv ticks.csv")
    table = pd.read_csv("ticks.csv")
    assert list(table.columns[:2]) == ["run", "nimg"]
    assert table.groupby("run")["loss_D"].apply(list).map(len).to_dict() == {"a": 3, "b": 3}
    assert list(table[table.run == "b"]["loss_D"])[1:] == [2.1, 2.2]


def test_the_same_runs_settings_are_said_to_be_the_same(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        shutil.copytree(finished, name)
    assert show("a", "b").stdout.endswith("\nall settings are the same\n")


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ("a b --film x.png", 2, "--film is of one run"),
        ("a ./a", 1, "named more than once"),
        ("a nothing", 1, "no folder"),
        ("a b -o x.gif", 2, "must end in .png"),
        ("a --film x.avi", 2, "must end in .png or .gif or .mp4"),
        ("a --film b", 1, "it is a folder"),
        ("", 2, "DIR"),
    ],
)
def test_what_cannot_be_compared_is_one_line(args, status, message, runs):
    before = set(runs[0].parent.rglob("*"))
    done = show(*args.split())
    assert done.exit_code == status
    assert message in done.stderr
    assert "Traceback" not in done.output
    assert set(runs[0].parent.rglob("*")) == before


def test_a_contact_sheet_has_the_same_latents_in_each_row(runs):
    sheets = sheets_in(runs[0])
    assert sheets[0][0] == 0
    done = show("a", "--film", "film.png")
    assert done.exit_code == 0, done.output
    found = np.asarray(Image.open("film.png"))
    height, width = 32 * len(sheets), 8 * 32  # 16 pixels, enlarged
    assert found.shape[0] == height
    for k, (_, path) in enumerate(sheets):
        row = np.asarray(Image.open(path))[:16]
        expected = row.repeat(2, axis=0).repeat(2, axis=1)
        assert np.array_equal(found[32 * k : 32 * k + 32, -width:], expected)
        assert (found[32 * k : 32 * k + 32, :-width] < 128).any()  # its kimg
    assert texts_of("film.png")[0] == "stylegan-train status a --film film.png"


def test_a_film_shows_every_sheet_whole(runs):
    done = show("a", "--film", "film.apng")
    assert done.exit_code == 0, done.output
    sheets = sheets_in(runs[0])
    with Image.open("film.apng") as film:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    assert len(frames) == len(sheets) >= 3
    for frame, (_, path) in zip(frames, sheets, strict=True):
        sheet = np.asarray(Image.open(path)).repeat(2, axis=0).repeat(2, axis=1)
        assert np.array_equal(frame[: len(sheet)], sheet)
        assert frame.shape[0] % 2 == 0
        assert (frame[len(sheet) :] < 128).any()


@pytest.mark.parametrize("trouble", ["none", "damaged", "another"])
def test_sheets_that_cannot_be_shown_are_one_line(trouble, runs):
    for _, path in sheets_in(runs[0]):
        if trouble == "none":
            path.unlink()
        elif trouble == "damaged":
            path.write_bytes(path.read_bytes()[:50])
        else:
            Image.new("RGB", (9, 9)).save(path)
    done = show("a", "--film", "film.png")
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: a")
    assert not (runs[0].parent / "film.png").exists()


def test_rows_are_spread_over_the_whole_run():
    for count in (1, 2, ROWS, ROWS + 1, 1000):
        chosen = evenly(count, ROWS)
        assert len(chosen) == len(set(chosen)) == min(count, ROWS)
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        steps = np.diff(chosen)
        assert len(steps) == 0 or steps.max() - steps.min() <= 1
