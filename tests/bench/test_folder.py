"""A folder of results: what is refused, and how its files are read."""

import json

import pytest
from click.testing import CliRunner

import benchmarks.folder
from benchmarks.__main__ import main
from benchmarks.folder import (
    FINISHED,
    FORMAT,
    open_folder,
    read_folder,
    write_json,
)
from benchmarks.listing import left_out, noted_lines, progress_lines, request_lines
from benchmarks.outcomes import read_outcomes, read_training, read_value
from benchmarks.report.tables import sections
from benchmarks.report.write import tables_frame
from stylegan_eval.errors import UserError
from stylegan_eval.results.results import Row, append_csv
from stylegan_eval.results.run_folder import append_rows


@pytest.fixture
def folder(tmp_path):
    return open_folder(tmp_path / "results", "d1" * 20, "avatars.zip, 64 images")


def request(**changes):
    cell = {
        "line": "A",
        "label": "Baseline Progressive GAN",
        "space": "",
        "metric": "fid",
        "condition": "",
        "seed": 0,
        "network": "A",
        "training": "A-seed0-x",
        "measurement": "fid-y",
        "missing": "",
        "row": "",
        "published": 8.04,
    }
    return {
        "table": "table1",
        "title": "Table 1",
        "scale": "demo-32",
        "dataset": "ffhq",
        "kimg": 100.0,
        "command": "python -m benchmarks run table1",
        "cells": [cell | changes],
    }


def measured(path, **changes):
    values = {"metric": "fd_x", "value": 12.5, "stderr": 0.5} | changes
    row = Row(
        **values, num=10, seed=0, protocol={"resize": "none"}, precision="fp32", device="cpu",
        seconds=1.0,
    )  # fmt: skip
    append_csv(path, [row])


def test_a_folder_remembers_its_data(folder):
    again = open_folder(folder.path, folder.data, folder.images)
    assert again == folder == read_folder(folder.path)


def test_other_images_are_refused(folder):
    with pytest.raises(UserError, match=r"begun with other images .avatars.zip, 64 images, dig"):
        open_folder(folder.path, "d2" * 20, "faces.zip, 64 images")


def test_another_version_is_refused(folder, monkeypatch):
    monkeypatch.setattr(benchmarks.folder, "__version__", "99.0")
    with pytest.raises(UserError, match=r"begun by version .* this is 99.0"):
        open_folder(folder.path, folder.data, folder.images)
    assert read_folder(folder.path) == folder  # it can still be looked at


def test_another_format_is_refused(folder):
    about = folder.path / "bench.json"
    about.write_text(about.read_text().replace(FORMAT, "stylegan-bench-results/0"))
    for attempt in (read_folder, lambda path: open_folder(path, folder.data, folder.images)):
        with pytest.raises(UserError, match="has format 'stylegan-bench-results/0'"):
            attempt(folder.path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", json.dumps({"format": FORMAT}), "[" * 10**5]
)
def test_a_damaged_folder_is_refused(folder, text):
    (folder.path / "bench.json").write_text(text)
    with pytest.raises(UserError, match="damaged or half-written"):
        read_folder(folder.path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "photo.png").touch()
    with pytest.raises(UserError, match=r"holds photo.png but no bench.json"):
        open_folder(tmp_path, "digest", "images")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]
    with pytest.raises(UserError, match=r"is no folder of results"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree: tree.pop("cells"),
        lambda tree: tree.update(kimg="long"),
        lambda tree: tree["cells"][0].pop("training"),
        lambda tree: tree["cells"][0].update(seed="0"),
        lambda tree: tree["cells"][0].update(training="../../etc"),
        lambda tree: tree["cells"].append(None),
    ],
)
def test_a_damaged_request_is_refused(folder, damage):
    tree = request()
    damage(tree)
    folder.write_request("table1", tree)
    with pytest.raises(UserError, match=r"table1.json is damaged or half-written"):
        read_outcomes(folder)


def test_outcomes_tell_how_cells_stand(folder):
    folder.write_request("table1", request())
    assert [o.state for o in read_outcomes(folder)] == ["waiting"]

    folder.fail("A-seed0-x", reason="out of memory")
    (outcome,) = read_outcomes(folder)
    assert (outcome.state, outcome.reason) == ("failed", "out of memory")

    folder.forgive("A-seed0-x")
    folder.fail("A-seed0-x", "fid-y", reason="no weights")
    (outcome,) = read_outcomes(folder)
    assert (outcome.state, outcome.reason) == ("failed", "no weights")

    measured(folder.measurement("A-seed0-x", "fid-y"))
    (outcome,) = read_outcomes(folder)
    assert (outcome.state, outcome.value, outcome.stderr) == ("done", 12.5, 0.5)
    assert (outcome.measured_as, outcome.published) == ("fd_x", 8.04)
    (line,) = request_lines([outcome])
    assert line.endswith("  12.50 ± 0.50  paper 8.04")
    assert outcome.request.data == "avatars.zip, 64 images"
    assert outcome.conditions == (("precision", "fp32"),)


def test_a_number_comes_with_the_note_of_its_row(folder):
    folder.write_request("table1", request())
    measured(folder.measurement("A-seed0-x", "fid-y"), note="few images")
    (outcome,) = read_outcomes(folder)
    assert (outcome.value, outcome.note) == (12.5, "few images")
    assert noted_lines([outcome]) == ["A fid seed 0: few images"]


def test_the_conditions_of_a_measurement_are_read(folder):
    folder.write_request("table1", request())
    about = {"detector": "classifiers-small", "weights_sha256": "1f" * 32}
    about |= {"data_digest": folder.data, "data_count": 64}
    measured(folder.measurement("A-seed0-x", "fid-y"), **about)
    (outcome,) = read_outcomes(folder)
    expected = {key: str(value) for key, value in about.items()} | {"precision": "fp32"}
    assert dict(outcome.conditions) == expected


def test_what_was_never_measurable_says_why(folder):
    folder.write_request("table3", request(measurement="", missing="no attribute classifiers"))
    (outcome,) = read_outcomes(folder)
    assert (outcome.state, outcome.reason) == ("failed", "no attribute classifiers")


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        ("", "fd_x is nan"),
        (
            "no ls_w: suit (all 64 images lack it): leave out with --attributes=-suit; 64 images",
            "no ls_w: suit (all 64 images lack it); 64 images",
        ),
    ],
)
def test_a_number_that_is_not_finite_is_undefined_and_no_failure(folder, note, reason):
    folder.write_request("table1", request())
    measured(folder.measurement("A-seed0-x", "fid-y"), value=float("nan"), note=note)
    (outcome,) = read_outcomes(folder)
    assert (outcome.state, outcome.value) == ("undefined", None)
    reason += "; the same network gives no other result, one trained for longer may"
    assert outcome.reason == reason
    (line,) = request_lines([outcome])
    assert f"seed 0 undefined: {reason}" in line
    assert any("1 undefined of 1 cells" in line for line in progress_lines(folder))
    row = tables_frame(sections([outcome])).iloc[0]
    assert (row["undefined"], row["failed"], row["reason"]) == (1, 0, reason)


@pytest.mark.parametrize(
    ("reached", "described", "reason"),
    [
        (100.0, "100.0", ""),
        (100.12, "100.1", ""),  # it ends at an update of the schedule: here of 0.128 kimg
        (100.13, "100.0", "its training went on to 100.13 kimg, where the table's end at 100"),
        (200.0, "200.0", "its training went on to 200 kimg, where the table's end at 100"),
        (100.0, "50.0", "measured after 50 kimg, where the table's trainings end at 100"),
        (100.0, "140.0", "measured after 140 kimg, where the table's trainings end at 100"),
    ],
)
def test_a_network_of_another_length_is_none_of_the_table(folder, reached, described, reason):
    folder.write_request("table1", request())
    training = folder.training("A-seed0-x")
    training.mkdir(parents=True)
    append_rows(training / "log.jsonl", [{"nimg": round(1000 * reached), "minibatch": 32}])
    about = {"description": f"config A, 32x32, {described} kimg"}
    measured(folder.measurement("A-seed0-x", "fid-y"), **about)
    (outcome,) = read_outcomes(folder)
    assert outcome.state == ("failed" if reason else "done")
    assert outcome.reason.startswith(reason)
    if reason:
        assert outcome.reason.endswith(
            f": delete {training} and {folder.path}/measurements/A-seed0-x, and run again"
        )


def test_a_cell_has_the_length_of_its_own_training(folder):
    """A is trained for 12,000 kimg in the paper, the others for 25,000."""
    tree = request(kimg=50.0)
    folder.write_request("table1", tree)
    about = {"description": "config A, 32x32, 50.0 kimg"}
    measured(folder.measurement("A-seed0-x", "fid-y"), **about)
    assert [o.state for o in read_outcomes(folder)] == ["done"]
    del tree["cells"][0]["kimg"]  # an earlier request
    folder.write_request("table1", tree)
    assert [o.state for o in read_outcomes(folder)] == ["failed"]
    folder.write_request("table1", tree | {"scale": "paper-1024"})
    assert [o.state for o in read_outcomes(folder)] == ["done"]


def test_a_number_of_other_images_is_not_the_folders(folder):
    folder.write_request("table1", request())
    table = folder.measurement("A-seed0-x", "fid-y")
    measured(table, data_digest=folder.data)
    assert [o.state for o in read_outcomes(folder)] == ["done"]
    table.unlink()
    measured(table, data_digest="d2" * 20)
    (outcome,) = read_outcomes(folder)
    assert (outcome.state, outcome.value) == ("failed", None)
    assert outcome.reason == (
        "measured with other images (digest d2d2d2d2d2d2) than this folder is of (avatars.zip,"
        " 64 images, digest d1d1d1d1d1d1): keep it in a folder of its own"
    )


def test_a_number_without_images_is_of_those_that_its_network_was_trained_on(folder):
    """Some metrics, such as path length, use no real images."""
    folder.write_request("table1", request())
    measured(folder.measurement("A-seed0-x", "fid-y"))
    metrics = folder.training("A-seed0-x") / "metrics.jsonl"
    metrics.parent.mkdir(parents=True)
    append_rows(metrics, [{"nimg": 500, "value": 1.0, "data_digest": folder.data}])
    assert [o.state for o in read_outcomes(folder)] == ["done"]
    metrics.unlink()
    append_rows(metrics, [{"nimg": 500, "value": 1.0, "data_digest": "d2" * 20}])
    (outcome,) = read_outcomes(folder)
    assert outcome.state == "failed"
    assert outcome.reason.startswith("trained on other images (digest d2d2d2d2d2d2) than")


def test_what_no_request_names_is_told_in_one_line(folder):
    folder.write_request("table1", request())
    measured(folder.measurement("A-seed0-x", "fid-y"))
    write_json(folder.training("A-seed0-x") / FINISHED, {})
    folder.training("F-seed0-b").mkdir()  # just begun
    assert left_out(folder) == []
    measured(folder.measurement("A-seed0-x", "fid-z"))
    for name in ("B-seed0-x", "C-seed0-x"):
        measured(folder.measurement(name, "fid-y"))
        write_json(folder.training(name) / FINISHED, {})
    [line] = left_out(folder)
    assert line.startswith("not shown, for no request in ")
    assert line.endswith(
        "names them: 2 finished trainings and 1 measurement (B-seed0-x, C-seed0-x, A-seed0-x/fid-z)"
    )
    [*_, last] = progress_lines(folder)
    assert last == line
    result = CliRunner().invoke(main, ["report", str(folder.path)])
    assert result.exit_code == 0
    assert result.stderr == f"note: {line}\n"


def test_the_right_row_is_read(tmp_path):
    path = tmp_path / "x.csv"
    names = ("ppl_wfull[x]_inf", "ls_w[6]/hat", "ppl_zfull[x]", "ppl_wfull[x]", "ls_w[6]")
    for value, name in enumerate(names):
        measured(path, metric=name, value=float(value))
    assert read_value(path, "ppl_wfull")["metric"] == "ppl_wfull[x]"
    assert read_value(path, "ls_w")["value"] == "4.0"
    with pytest.raises(UserError, match="damaged or half-written"):
        read_value(path, "fid")


@pytest.mark.parametrize(("old", "new"), [(",0.5,", ",x,"), ("freedom=9", "freedom=0")])
def test_an_error_that_is_no_number_is_refused(tmp_path, old, new):
    path = tmp_path / "x.csv"
    measured(path, details={"stderr-freedom": "9"})
    assert read_value(path, "fd_x")["value"] == "12.5"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=r"x.csv is damaged or half-written: delete it"):
        read_value(path, "fd_x")


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_a_half_written_table_is_refused(tmp_path, cut):
    path = tmp_path / "x.csv"
    measured(path)
    whole = path.read_bytes()
    head = whole.index(b"\n") + 1
    path.write_bytes(whole[: head + int(cut * (len(whole) - head))])
    with pytest.raises(UserError, match=r"x.csv is damaged or half-written: delete it"):
        read_value(path, "fd_x")


def test_seconds_of_a_resumed_training_add_up(folder):
    path = folder.training("A-seed0-x")
    path.mkdir(parents=True)
    rows = [(1000, 10.0), (2000, 25.0), (3000, 4.0), (4000, 9.5)]  # resumed after 2 kimg
    lines = [json.dumps({"nimg": n, "kimg": n / 1000, "seconds": s}) + "\n" for n, s in rows]
    (path / "log.jsonl").write_text("".join(lines))
    training = read_training(folder, "A-seed0-x", {"network": "A", "seed": 0})
    assert (training.kimg, training.seconds) == (4.0, 34.5)
