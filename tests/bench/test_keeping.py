"""What is kept of a folder of results: all that its report shows, and nothing that grows."""

import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.folder import FINISHED, GENERATOR, open_folder, read_folder, write_json
from benchmarks.keeping import generator_of, keep_finished
from benchmarks.outcomes import checkpoint_digest, read_outcomes
from benchmarks.report.pictures import draw_samples
from benchmarks.report.write import results_frame
from stylegan_eval.errors import UserError
from stylegan_eval.results.run_folder import append_rows, read_rows
from tests.bench.report_fakes import untrained
from tests.bench.test_folder import measured, request

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path):
    """One finished training and one that was just begun."""
    folder = open_folder(tmp_path / "results", "d1" * 20, "avatars.zip, 64 images")
    tree = request(training="A-seed0-x")
    tree["cells"] += request(training="A-seed1-y", seed=1)["cells"]
    folder.write_request("table1", tree)
    for name in ("A-seed0-x", "A-seed1-y"):
        untrained("A", folder.training(name))
    finish(folder, "A-seed0-x")
    (folder.training("A-seed0-x") / "config.json").write_text("{}")
    folder.fail("A-seed1-y", reason="out of memory")
    return folder


def finish(folder, name):
    command = f"stylegan-train --out {folder.path}"
    write_json(folder.training(name) / FINISHED, {"machine": "cpu, 1 thread", "command": command})
    files = {"generator": str(folder.training(name) / "x.pt"), "data": str(folder.path / "x.zip")}
    measured(folder.measurement(name, "fid-y"), **files)
    append_rows(folder.training(name) / "metrics.jsonl", [{"nimg": 1500, "metric": "is"} | files])


def shown(path):
    """Rows of the report without those of what is not finished."""
    return results_frame([o for o in read_outcomes(read_folder(path)) if o.state == "done"])


def files(path):
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


def test_a_copy_is_a_folder_of_the_same_results(folder, tmp_path):
    copy = tmp_path / "kept"
    assert keep_finished(folder.path, copy) == ["A-seed0-x"]
    assert files(copy) == {
        "bench.json",
        "measurements/A-seed0-x/fid-y.csv",
        "requests/table1.json",
        f"trainings/A-seed0-x/{FINISHED}",
        f"trainings/A-seed0-x/{GENERATOR}",
        "trainings/A-seed0-x/log.jsonl",
        "trainings/A-seed0-x/metrics.jsonl",
    }
    assert shown(copy).equals(shown(folder.path))
    rows, damaged = read_rows(copy / "trainings" / "A-seed0-x" / "metrics.jsonl")
    assert (len(rows), damaged, rows[-1]["generator"], rows[-1]["data"]) == (3, 0, "x.pt", "x.zip")
    states = [(outcome.seed, outcome.state) for outcome in read_outcomes(read_folder(copy))]
    assert states == [(0, "done"), (1, "waiting")]
    for file in copy.rglob("*"):
        assert not file.is_file() or str(tmp_path).encode() not in file.read_bytes()


def test_a_kept_generator_draws_the_images_of_its_checkpoint(folder, tmp_path):
    keep_finished(folder.path, tmp_path / "kept")
    [before] = [o.training for o in read_outcomes(folder) if o.seed == 0]
    [after] = [o.training for o in read_outcomes(read_folder(tmp_path / "kept")) if o.seed == 0]
    np.testing.assert_array_equal(draw_samples(before, CPU), draw_samples(after, CPU))
    assert generator_of(before.folder).suffix == ".pt"
    assert generator_of(after.folder).name == GENERATOR


def test_a_later_copy_adds_what_is_new(folder, tmp_path):
    copy = tmp_path / "kept"
    keep_finished(folder.path, copy)
    untouched = {path: path.stat().st_mtime_ns for path in (copy / "trainings").rglob("*.*")}
    finish(folder, "A-seed1-y")
    folder.forgive("A-seed1-y")
    result = CliRunner().invoke(main, ["keep", str(folder.path), str(copy)])
    assert result.exit_code == 0, result.output
    assert result.output == f"{copy}: A-seed1-y\n"
    assert shown(copy).equals(shown(folder.path))
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched


def test_a_copy_of_a_copy_is_equal(folder, tmp_path):
    keep_finished(folder.path, tmp_path / "one")
    keep_finished(tmp_path / "one", tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    for name in files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_training_that_was_only_half_kept_is_kept_again(folder, tmp_path):
    copy = tmp_path / "kept"
    keep_finished(folder.path, copy)
    (copy / "trainings" / "A-seed0-x" / FINISHED).unlink()
    (copy / "trainings" / "A-seed0-x" / GENERATOR).write_bytes(b"half")
    assert keep_finished(folder.path, copy) == ["A-seed0-x"]
    assert (copy / "trainings" / "A-seed0-x" / GENERATOR).stat().st_size > 1000


def test_a_copy_never_loses_cells(folder, tmp_path):
    copy = tmp_path / "kept"
    keep_finished(folder.path, copy)
    fewer = request(training="A-seed0-x")
    folder.write_request("table1", fewer)
    before = {name: (copy / name).read_bytes() for name in files(copy)}
    with pytest.raises(UserError, match=r"has row A, seed 1 of table1, which .*results lacks"):
        keep_finished(folder.path, copy)
    assert {name: (copy / name).read_bytes() for name in files(copy)} == before


def test_what_cannot_be_copied_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="is what is copied: name another folder"):
        keep_finished(folder.path, folder.path)
    with pytest.raises(UserError, match="is no folder of results"):
        keep_finished(tmp_path / "nothing", tmp_path / "kept")
    (folder.training("A-seed0-x") / FINISHED).unlink()
    with pytest.raises(UserError, match="has no finished training yet"):
        keep_finished(folder.path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    finish(folder, "A-seed0-x")
    open_folder(tmp_path / "other", "d2" * 20, "faces.zip, 9 images")
    with pytest.raises(UserError, match="begun with other images"):
        keep_finished(folder.path, tmp_path / "other")
    shutil.copy(tmp_path / "other" / "bench.json", tmp_path / "photo.png")
    with pytest.raises(UserError, match="is no folder of results"):
        keep_finished(tmp_path / "photo.png", tmp_path / "kept")


def add_measurement(folder, name="A-seed0-x", **about):
    """Measure again, of the network there unless `about` says of which."""
    table = folder.measurement(name, "fid-y")
    table.unlink()
    measured(table, **({"generator_digest": checkpoint_digest(folder.training(name))} | about))


def test_a_number_of_another_network_is_not_kept(folder, tmp_path):
    add_measurement(folder, generator_digest="ab" * 32)
    with pytest.raises(UserError, match=r"A-seed0-x: measured of another network .digest abab"):
        keep_finished(folder.path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    add_measurement(folder)
    keep_finished(folder.path, tmp_path / "kept")
    keep_finished(tmp_path / "kept", tmp_path / "again")  # of the checkpoint, which stayed behind
    assert shown(tmp_path / "again").equals(shown(folder.path))
    add_measurement(read_folder(tmp_path / "kept"), generator_digest="ab" * 32)
    with pytest.raises(UserError, match="measured of another network"):
        keep_finished(tmp_path / "kept", tmp_path / "again")


def test_a_training_that_went_on_is_not_kept(folder, tmp_path):
    append_rows(folder.training("A-seed0-x") / "log.jsonl", [{"nimg": 140_000, "minibatch": 8}])
    with pytest.raises(UserError, match=r"A-seed0-x: its training went on to 140 kimg, where the"):
        keep_finished(folder.path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_training_that_was_repeated_replaces_the_one_kept(folder, tmp_path):
    add_measurement(folder)
    keep_finished(folder.path, tmp_path / "kept")
    shutil.rmtree(folder.training("A-seed0-x"))
    untrained("A", folder.training("A-seed0-x"), seed=5)
    write_json(folder.training("A-seed0-x") / FINISHED, {})
    add_measurement(folder)
    assert keep_finished(folder.path, tmp_path / "kept") == ["A-seed0-x"]
    [before] = [o.training for o in read_outcomes(folder) if o.seed == 0]
    [after] = [o.training for o in read_outcomes(read_folder(tmp_path / "kept")) if o.seed == 0]
    np.testing.assert_array_equal(draw_samples(before, CPU), draw_samples(after, CPU))


@pytest.mark.parametrize("text", ["", "metric,value\nfd,1,2\n", '"half', "\udcff"])
def test_a_damaged_table_is_named(text, folder, tmp_path):
    table = folder.measurement("A-seed0-x", "fid-y")
    table.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"fid-y.csv is damaged or half-written \(.*\): delete it"):
        keep_finished(folder.path, tmp_path / "kept")
