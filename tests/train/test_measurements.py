"""Metrics during training: the numbers of `stylegan-eval`, once each, and the best kept."""

import json
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stylegan.checkpoint import checkpoint_path, read_checkpoint, save_checkpoint
from stylegan.configs import CONFIGS
from stylegan.datasets.archive import write_archive
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.presets import apply_preset, with_options
from stylegan.snapshot import Provenance
from stylegan.training.batches import look_at
from stylegan.training.evaluate import Measurements, check_metrics, read_best
from stylegan.training.hooks import RunLog
from stylegan.training.loop import train
from stylegan.training.run import check, fresh
from stylegan.training.settings import MetricSettings, RunSettings, parse_metric
from stylegan.training.state import TrainState
from stylegan_eval.cli import main as stylegan_eval
from stylegan_eval.errors import UserError
from stylegan_eval.results.run_folder import append_rows, read_rows
from tests import starting

CPU = torch.device("cpu")
TWO = """
import sys
from pathlib import Path
import torch
from stylegan.checkpoint import read_checkpoint
from stylegan.training.state import load_state
from stylegan.runtime import Runtime
from stylegan.training.evaluate import Measurements
from stylegan.training.settings import MetricSettings

torch.set_num_threads(1)
checkpoint, data = map(Path, sys.argv[1:])
state = load_state(read_checkpoint(checkpoint), Runtime.choose("cpu"))
asked = MetricSettings(metrics="fd40", metrics_features="efficientnet-lite0").named()
measure = Measurements(
    folder=checkpoint.parent, data=data, metrics=asked, every=0, device=torch.device("cpu")
)
for _ in range(2):  # the second time it is not due
    measure(state, checkpoint)
Runtime.join("cpu").processes.exit(0)
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights"))


@pytest.fixture(scope="module")
def data32(tmp_path_factory):
    """64 images of 32x32."""
    path = tmp_path_factory.mktemp("data") / "noise32.zip"
    coarse = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), dtype=np.uint8)
    write_archive(path, ((image, None) for image in coarse.repeat(8, axis=1).repeat(8, axis=2)))
    return path


@pytest.fixture
def saved(runtime, tmp_path):
    """Make a state after `nimg` images, and its checkpoint in the run's folder."""
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), resolution=32)

    def make(nimg):
        state = TrainState.fresh(config, runtime, seed=nimg)
        state.nimg, state.lod = nimg, 0.0
        path = checkpoint_path(tmp_path / "run", nimg)
        save_checkpoint(path, state.snapshot(config, Provenance(seed=nimg, data="", version="")))
        return state, path

    return make


def network(metrics, **options):
    options = {"metrics_features": "efficientnet-lite0", "ppl_crop": "none"} | options
    return MetricSettings(metrics=metrics, **options).named()


def measuring(folder, data, asked, *, every=0.0, **options):
    return Measurements(folder=folder, data=data, metrics=asked, every=every, device=CPU, **options)


def restore(measure, nimg):
    """As a run does that goes on from image `nimg`."""
    RunLog(measure.folder, nimg)
    measure.restore()


def rows_of(folder):
    return read_rows(folder / "metrics.jsonl")[0]


def printed(*args):
    result = CliRunner().invoke(stylegan_eval, [*map(str, args), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["results"]


def test_numbers_are_those_that_the_command_prints(saved, data32):
    state, checkpoint = saved(12_000)
    said, also = [], []
    measure = measuring(
        checkpoint.parent, data32, network("ppl8_wend,fd60,prdc60", ppl_distance="st-lpips-alex"),
        tell=said.append, also=[also.append],
    )  # fmt: skip
    measure(state, checkpoint)
    rows = rows_of(checkpoint.parent)
    common = ("--ckpt", checkpoint, "-n", 60, "--features", "efficientnet-lite0", "--data", data32)
    expected = printed(
        "ppl", "--ckpt", checkpoint, "-n", 8, "--space", "w", "--sampling", "end", "--crop", "none",
        "--distance", "st-lpips-alex",
    )  # fmt: skip
    expected += printed("fid", *common) + printed("prdc", *common)
    assert len(rows) == len(expected) == 6
    for row, other in zip(rows, expected, strict=True):
        for key in (
            "metric",
            "value",
            "protocol",
            "generator_digest",
            "num",
            "seed",
            "data_digest",
        ):
            assert row[key] == other[key]
    assert [row["asked"] for row in rows] == ["ppl8_wend", "fd60"] + ["prdc60"] * 4
    assert {(row["nimg"], row["kimg"]) for row in rows} == {(12_000, 12.0)}
    assert [row["value"] for row in also] == [row["value"] for row in rows]
    assert said[0].startswith("kimg 12.0: ppl_wend[")
    assert said[-1] == "kimg 12.0: the best so far, kept as best.pt"
    assert read_best(checkpoint.parent)["value"] == rows[0]["value"]


def test_each_interval_is_measured_once_and_the_best_outlives_pruning(saved, data32):
    """Also across a restart, which measures what a kill left out."""
    asked, folder = network("fd10"), None
    values = {}
    for nimg in (500, 900, 1000, 1900, 2300):
        state, checkpoint = saved(nimg)
        folder = checkpoint.parent
        before = [row["nimg"] for row in rows_of(folder)]
        measuring(folder, data32, asked, every=1.0)(state, checkpoint)
        measuring(folder, data32, asked, every=1.0)(state, checkpoint)
        after = [row["nimg"] for row in rows_of(folder)]
        assert after == before + [nimg] * (nimg in (1000, 2300))
        values |= {row["nimg"]: row["value"] for row in rows_of(folder)}
        contents = {checkpoint.name: checkpoint.read_bytes()}
        if nimg == 1000:
            assert (folder / "best.pt").read_bytes() == contents[checkpoint.name]
    state, checkpoint = saved(2400)
    measuring(folder, data32, asked, every=1.0)(state, checkpoint)
    assert [row["nimg"] for row in rows_of(folder)] == [1000, 2300]
    measuring(folder, data32, asked, every=1.0)(state, checkpoint, last=True)
    measuring(folder, data32, asked, every=1.0)(state, checkpoint, last=True)
    assert [row["nimg"] for row in rows_of(folder)] == [1000, 2300, 2400]
    values |= {row["nimg"]: row["value"] for row in rows_of(folder)}
    best = min(values, key=values.get)
    for path in folder.glob("checkpoint-*.pt"):
        path.unlink()
    assert read_checkpoint(folder / "best.pt").nimg == best
    assert json.loads((folder / "best.json").read_text())["kimg"] == best / 1000
    assert printed(
        "fid", "--ckpt", folder / "best.pt", "--data", data32, "-n", 10,
        "--features", "efficientnet-lite0",
    )[0]["value"] == values[best]  # fmt: skip


def row(nimg, value, asked="fd10"):
    return {
        "nimg": nimg, "kimg": nimg / 1000, "asked": asked, "metric": asked, "value": value,
        "stderr": None, "checkpoint": checkpoint_path(Path(), nimg).name,
    }  # fmt: skip


def test_a_restart_drops_rows_of_the_future_and_finishes_what_a_kill_left(saved, data32):
    _, first = saved(1000)
    _, second = saved(2000)
    folder = first.parent
    append_rows(
        folder / "metrics.jsonl",
        [row(1000, 9.0), row(1000, 1.0, "other"), row(2000, 5.0), row(3000, 1.0)],
    )
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"nimg": 2000, "cut')
    measure = measuring(folder, data32, network("fd10"))
    restore(measure, 2000)
    assert [each["value"] for each in rows_of(folder)] == [9.0, 1.0, 5.0]
    # Killed after the row was written and before the checkpoint was kept.
    assert read_best(folder)["nimg"] == 2000
    assert (folder / "best.pt").read_bytes() == second.read_bytes() != first.read_bytes()
    assert not (folder / "best.pt").samefile(second)  # which may be written to
    before = (folder / "best.json").stat().st_ino
    restore(measure, 2000)
    assert (folder / "best.json").stat().st_ino == before
    # A best of the future stays: the run will come to it again.
    restore(measure, 1000)
    assert read_best(folder)["nimg"] == 2000
    # Another first metric decides anew.
    append_rows(folder / "metrics.jsonl", [row(1000, 0.5, "pr20")])
    append_rows(folder / "metrics.jsonl", [row(500, 0.9, "pr20")])  # its checkpoint is pruned
    restore(measuring(folder, data32, network("pr20")), 1000)
    assert (folder / "best.pt").read_bytes() == first.read_bytes()


def test_a_checkpoint_of_another_time_under_the_same_name_is_not_taken(saved, data32):
    _, path = saved(1900)
    path.rename(path.with_name(row(1000, 9.0)["checkpoint"]))  # as earlier versions named it
    append_rows(path.parent / "metrics.jsonl", [row(1000, 9.0)])
    restore(measuring(path.parent, data32, network("fd10")), 1900)
    assert not (path.parent / "best.pt").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"metric": "fd10[nocrop]"}, {"metric": "fd10"}),
        ({"protocol": {"crop": "none"}}, {"protocol": {"crop": "face"}}),
        ({"detector": "inception-2015"}, {"detector": "efficientnet-lite0"}),
    ],
)
def test_the_best_is_of_one_metric_and_protocol(before, after, saved, data32):
    """A run may go on with another crop or network, whose numbers are on another scale."""
    [folder] = {saved(nimg)[1].parent for nimg in (1000, 2000, 3000)}
    measure = measuring(folder, data32, network("fd10"))
    append_rows(folder / "metrics.jsonl", [row(1000, 1.0) | before])
    restore(measure, 1000)
    assert read_best(folder)["value"] == 1.0
    rows = [row(2000, 3.0) | after, row(3000, 2.0) | after]
    append_rows(folder / "metrics.jsonl", rows)
    restore(measure, 3000)
    assert read_best(folder)["nimg"] == 3000
    assert read_checkpoint(folder / "best.pt").nimg == 3000


def test_a_best_of_an_earlier_version_is_compared_by_the_metric(saved, data32):
    [folder] = {saved(nimg)[1].parent for nimg in (1000, 2000)}
    measure = measuring(folder, data32, network("fd10"))
    append_rows(folder / "metrics.jsonl", [row(1000, 1.0) | {"protocol": {"resize": "none"}}])
    restore(measure, 1000)
    older = {key: value for key, value in read_best(folder).items() if key != "protocol"}
    (folder / "best.json").write_text(json.dumps(older))
    append_rows(folder / "metrics.jsonl", [row(2000, 2.0) | {"protocol": {"resize": "none"}}])
    restore(measure, 2000)
    assert read_best(folder)["nimg"] == 1000


def test_higher_is_better_for_some(saved, data32):
    _, first = saved(1000)
    _, _second = saved(2000)
    append_rows(
        first.parent / "metrics.jsonl",
        [row(1000, 0.8, "pr20"), row(2000, None, "pr20"), row(2000, 0.2, "pr20")],
    )
    restore(measuring(first.parent, data32, network("pr20")), 2000)
    assert read_best(first.parent)["value"] == 0.8


def test_measuring_does_not_change_the_training(saved, data32, runtime):
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), resolution=32, total_kimg=0.1)
    reals = Reals(open_pyramid(data32), seed=1, mirror=True)
    _, checkpoint = saved(1000)
    measure = measuring(checkpoint.parent, data32, network("fd10"))

    def measured(state, _point, _terms):
        state.nimg += 10_000  # of another run's checkpoint, which is the same work
        measure(state, checkpoint)
        state.nimg -= 10_000

    first, second = (TrainState.fresh(config, runtime, seed=1) for _ in range(2))
    train(first, reals, config, seed=1, runtime=runtime)
    train(second, reals, config, seed=1, runtime=runtime, hooks=[measured])
    assert len(rows_of(checkpoint.parent)) == 4
    for name, value in first.G_ema.state_dict().items():
        assert torch.equal(value, second.G_ema.state_dict()[name])


def test_two_processes_share_the_work_and_one_writes(saved, data32, tmp_path):
    state, checkpoint = saved(1000)
    alone = tmp_path / checkpoint.name
    alone.hardlink_to(checkpoint)
    measuring(tmp_path, data32, network("fd40"))(state, alone)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    program = tmp_path / "two.py"
    program.write_text(TWO)
    done = starting.run(
        [*command, str(program), str(checkpoint), str(data32)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, nested=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (mine,), (shared,) = rows_of(tmp_path), rows_of(checkpoint.parent)
    assert shared["processes"] == 2
    assert shared["value"] == mine["value"]
    assert read_best(checkpoint.parent)["nimg"] == 1000


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("fid10k", "fid", {"num": 10_000, "reals": "random", "features": "inception"}),
        ("fid", "fid", {"num": 50_000}),
        ("fid50k_full", "fid", {"num": 50_000, "reals": "full"}),
        ("kid1234", "kid", {"num": 1234, "subset_size": 1000}),
        ("is50k", "is", {"num": 50_000}),
        ("pr10k", "pr", {"num": 10_000, "features": "vgg16"}),
        ("prdc", "prdc", {"num": 10_000, "k": 5}),
        ("ppl_zfull", "ppl", {"num": 100_000, "space": "z", "sampling": "full", "crop": "face"}),
        ("ppl2k_wend", "ppl", {"num": 2000, "space": "w", "sampling": "end"}),
    ],
)
def test_names_say_the_protocol(name, entry, expected):
    found = parse_metric(name, MetricSettings())
    assert (found.name, found.entry) == (name, entry)
    assert {key: getattr(found.settings, key) for key in expected} == expected


def test_another_network_is_chosen_once_for_all():
    fd, pr, ppl = network("fd10k, pr1k,ppl_wend,fd10k")
    assert fd.settings.features == pr.settings.features == "efficientnet-lite0"
    assert ppl.settings.crop == "none"


@pytest.mark.parametrize(
    ("metrics", "options", "message"),
    [
        ("fod10k", {}, "fod10k is not known: expected fid10k"),
        ("fid10k,", {"metrics_every": -1.0}, "--metrics-every must be 0 or more kimg"),
        ("fid10k", {"metrics_features": "vgg19"}, "--metrics-features: expected one of inception"),
        ("fid10k ppl", {}, "fid10k ppl is not known"),
        ("is10k_full", {}, "is not known"),
        ("fd10k", {}, "name it with --metrics-features, or use fid10k"),
        ("kid500", {}, "kid500 needs 1000 images or more, got 500"),
        ("pr3", {}, "pr3 needs 4 images or more"),
        ("fid1", {}, "fid1 needs 2 images or more"),
        ("is10k", {"metrics_features": "vgg16"}, "vgg16 has none"),
    ],
)
def test_a_bad_name_is_one_line(metrics, options, message):
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        MetricSettings(metrics=metrics, **options).named()
    assert len(str(raised.value).splitlines()) == 1


def test_what_cannot_be_measured_is_told_before_the_training(
    data32, tmp_path, runtime, monkeypatch
):
    check_metrics(network("fd64,ppl8_wend", ppl_distance="st-lpips-alex"), data32, 32, CPU)
    for metrics, resolution, message in (
        ("fd65", 32, "fd65 needs 65 real images"),
        ("fd10", 16, r"the data is 32x32, the generator draws 16x16"),
        ("kd1k_full", 32, "kd1k_full needs 1000 real images"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            check_metrics(network(metrics), data32, resolution, CPU)
        assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(UserError, match=r"ppl8_wend cannot be measured: .*--ppl-crop none"):
        check_metrics(
            network("ppl8_wend", ppl_distance="st-lpips-alex", ppl_crop="face"), data32, 32, CPU
        )
    (tmp_path / "file").write_text("")
    reals = look_at(data32)
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "file"))
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), resolution=32)
    for metrics, expected in (
        ("fd10", pytest.raises(UserError, match="set STYLEGAN_CACHE to a folder")),
        ("", nullcontext()),
    ):
        wanted = MetricSettings(metrics=metrics, metrics_features="efficientnet-lite0")
        settings = RunSettings(out=tmp_path / "run", data=data32, metrics=wanted)
        with expected:
            check(fresh(config, settings), reals, runtime)
