"""A run killed, stopped, damaged or full goes on where it was, and says what was wrong."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import kill_trial
from benchmarks.kill_trial import Trial, descendants, everything_in, killed_and_compared
from stylegan.checkpoint import checkpoints_in, newest_checkpoint, read_checkpoint
from stylegan.datasets.archive import write_archive
from stylegan.train import main
from stylegan.training.settings import RunSettings, read_settings
from stylegan.training.snapshots import CollapseError
from stylegan.training.state import load_state
from stylegan_eval.engine.files import is_held
from tests import starting
from tests.fresh import start_run

TRAIN = [sys.executable, "-m", "stylegan.train"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
ENV = os.environ | {"OMP_NUM_THREADS": "1"}
TINY = ["--config", "F", "--preset", "tiny-16", "--device", "cpu", "--warmup", "0"]


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def copy_of(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_moments_it_ends_as_the_run_never_stopped(
    processes, tmp_path, monkeypatch
):
    """`python -m benchmarks.kill_trial` does this fifty times."""
    starting.fork_all_of(monkeypatch)
    children = kill_trial.children_of
    monkeypatch.setattr(
        kill_trial, "children_of", lambda pid: starting.without_servers(children(pid))
    )
    trial = Trial(tmp_path, processes=processes, workers=2, kimg=0.4)
    assert killed_and_compared(trial, 2, random.Random()) == 0
    assert trial.seen["kills"] == 2
    assert trial.seen["tensors compared"] > 300
    assert trial.seen["rows compared"] >= 4


@pytest.mark.parametrize(
    ("launcher", "number"),
    [
        ([*TORCHRUN, "-m", "stylegan.train", "--workers", "2"], signal.SIGTERM),
        ([*TRAIN, "--gpus", "2", "--workers", "2"], signal.SIGUSR1),
        pytest.param(
            [*CONTAINER, *TORCHRUN, "-m", "stylegan.train"],
            signal.SIGTERM,
            marks=pytest.mark.skipif(
                subprocess.run([*CONTAINER, "true"], capture_output=True).returncode != 0,
                reason="no namespaces here",
            ),
        ),
    ],
    ids=["torchrun", "gpus", "container"],
)
def test_a_signal_to_the_launcher_saves_and_leaves(
    launcher, number, ticking, data, cache, tmp_path
):
    """Which sends it on to each process and its workers; in a container it is number 1."""
    out = tmp_path / "run"
    command = [*launcher, "--config", ticking, "--data", data, "--out", out, "--cache", cache]
    command += ["--device", "cpu", "--kimg", "1000", "--snapshot-kimg", "500", "--warmup", "0"]
    command = [str(part) for part in command]
    process = starting.Popen(command, env=ENV, stderr=subprocess.PIPE, nested=True)
    while not (out / "log.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    above = launcher[: len(CONTAINER)] == CONTAINER
    os.kill(descendants(process.pid)[0] if above else process.pid, number)
    stderr = process.communicate()[1].decode()
    assert f"stopped by signal {number}; continue with --resume" in stderr
    assert read_checkpoint(newest_checkpoint(out)).nimg > 0
    if launcher[: len(TRAIN)] == TRAIN:
        assert process.returncode == 128 + number
        assert "Traceback" not in stderr
    else:
        assert process.returncode != 0  # its own way to end


def test_when_the_launcher_is_killed_its_processes_save_and_leave(ticking, data, cache, tmp_path):
    out = tmp_path / "run"
    command = [*TORCHRUN, "-m", "stylegan.train", "--config", ticking, "--data", data]
    command += ["--device", "cpu", "--out", out, "--cache", cache]
    command += ["--kimg", "1000", "--snapshot-kimg", "500", "--warmup", "0"]
    command = [str(part) for part in command]
    process = starting.Popen(command, env=ENV, stderr=subprocess.DEVNULL, nested=True)
    while not (out / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    while is_held(out / "train.log"):
        time.sleep(0.05)
    assert read_checkpoint(newest_checkpoint(out)).nimg > 0


def test_auto_starts_where_there_is_nothing_and_goes_on_where_there_is(data, cache, tmp_path):
    options = [*TINY, "--data", data, "--cache", cache, "--out", tmp_path / "run"]
    assert run("--resume", "auto", *options, "--kimg", "0.1").exit_code == 0
    first = read_checkpoint(newest_checkpoint(tmp_path / "run"))
    assert run("--resume", "auto", *options, "--kimg", "0.2").exit_code == 0
    second = read_checkpoint(newest_checkpoint(tmp_path / "run"))
    assert (first.nimg, second.nimg) == (128, 224)


def test_what_was_chosen_once_is_remembered_unless_chosen_anew(data, cache, tmp_path):
    out = tmp_path / "run"
    options = [*TINY, "--data", data, "--cache", cache, "--kimg", "0.05"]
    chosen = ["--grad-accum", "2", "--keep", "7", "--on-collapse", "warn", "--precision", "bf16"]
    assert run(*options, *chosen, "--out", out).exit_code == 0
    resumed = run("--resume", "--out", out, "--cache", cache, "--kimg", "0.1", "--keep", "5")
    assert resumed.exit_code == 0, resumed.output
    settings = read_settings(out)
    assert (settings.keep, settings.on_collapse) == (5, "warn")
    assert (settings.execution.grad_accum, settings.execution.precision) == (2, "bf16")


def test_a_run_of_fixed_length_becomes_longer_in_another_folder_alone(data, cache, tmp_path):
    out, other = tmp_path / "run", tmp_path / "longer"
    options = ["--resume", "auto", *TINY, "--data", data, "--cache", cache, "--out", out]
    ended = run(*options, "--kimg", "0.05", "--fixed-length")
    assert ended.exit_code == 0
    assert "at 0.4: give --kimg 0.6" in ended.stderr
    assert "stylegan-train" not in ended.stderr  # no advice that would be refused
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    refused = run("--resume", "--out", out, "--cache", cache, "--kimg", "0.1")
    assert refused.exit_code == 1
    assert f"--resume {out} --out FOLDER --kimg 0.1" in refused.stderr
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert run(*options, "--kimg", "0.05").exit_code == 0  # of the same length: nothing to do
    assert f"--resume {out} --out FOLDER --kimg" in run("status", out).output
    assert run("--resume", out, "--out", other, "--cache", cache, "--kimg", "0.1").exit_code == 0
    assert not read_settings(other).fixed_length


def test_a_checkpoint_says_how_it_was_computed(data, cache, tmp_path):
    out = tmp_path / "run"
    options = [*TINY, "--data", data, "--cache", cache, "--kimg", "0.05"]
    assert run(*options, "--out", out).exit_code == 0
    changed = ["--kimg", "0.1", "--precision", "bf16"]
    assert run("--resume", "--out", out, "--cache", cache, *changed).exit_code == 0
    provenance = read_checkpoint(newest_checkpoint(out)).provenance
    assert provenance.execution == ((0, "fp32"), (64, "bf16"))


def test_a_damaged_checkpoint_is_passed_over(finished, cache, tmp_path):
    out = copy_of(finished, tmp_path)
    newest = newest_checkpoint(out)
    later = out / "checkpoint-000099.pt"
    later.write_bytes(newest.read_bytes()[:-100])
    killed = out / ".checkpoint-000099.pt.stylegan-00000000-0123456789ab.tmp"
    killed.write_bytes(b"left by a kill")
    os.utime(killed, (0, 0))  # on another machine, long ago
    (out / ".mine.tmp").write_bytes(b"a user's")
    result = run("--resume", "--out", out, "--cache", cache, "--kimg", "0.7")
    assert result.exit_code == 0, result.output
    assert f"passed over: {later} is damaged" in result.stderr
    assert [path.name for path in out.glob(".*.tmp")] == [".mine.tmp"]
    for path in checkpoints_in(out):
        if path != later:
            path.unlink()
    result = run("--resume", "--out", out, "--cache", cache)
    assert result.exit_code == 1
    assert "no checkpoint in" in result.stderr


def test_a_folder_has_one_live_process(finished, data, cache, tmp_path):
    out = tmp_path / "run"
    command = [*TRAIN, *TINY, "--data", data, "--out", out, "--cache", cache, "--kimg", "1000"]
    process = starting.Popen([str(part) for part in command], env=ENV, stderr=subprocess.DEVNULL)
    try:
        while not (out.is_dir() and checkpoints_in(out)):
            assert process.poll() is None
            time.sleep(0.05)
        before = (out / "run.json").read_bytes()
        result = run("--resume", "--out", out, "--cache", cache, "--keep", "9")
        assert result.exit_code == 1
        assert f"{out} is in use by another process" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert (out / "run.json").read_bytes() == before
    finally:
        process.kill()
        process.wait()
    assert run("--resume", "--out", out, "--cache", cache, "--kimg", "0.01").exit_code == 0


def test_a_full_disk_ends_the_run_with_its_old_checkpoint(finished, cache, tmp_path):
    """A real limit on file sizes stands in for the disk."""
    out = copy_of(finished, tmp_path)
    old = newest_checkpoint(out)
    whole = everything_in(old)
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from stylegan.train import main; main()"
    )
    args = ["--resume", "--out", out, "--cache", cache, "--kimg", "0.8", "--device", "cpu"]
    command = [sys.executable, "-c", program, *args, "--no-tensorboard", "--snapshot-kimg", "0.1"]
    done = starting.run([str(part) for part in command], env=ENV, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch("error: cannot write .*: File too large", last), last
    assert "Traceback" not in done.stderr
    assert newest_checkpoint(out) == old
    assert all(torch.equal(value, whole[key]) for key, value in everything_in(old).items())
    assert not list(out.glob(".*.tmp"))


def test_a_checkpoint_between_snapshots_does_not_count_among_those_kept(
    tiny, data, cache, runtime, tmp_path
):
    """Stopped where no snapshot is due: what is saved there makes room for the next one."""
    out = tmp_path / "run"
    endless = replace(tiny, schedule=replace(tiny.schedule, total_kimg=5))
    out.mkdir()
    settings = RunSettings(
        out=out, data=data, cache=cache, snapshot_kimg=100, snapshot_minutes=1e-6, keep=3
    )

    def stop():
        while len(checkpoints_in(out)) < 2:  # the first, and one by time
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)  # should it come too late
    stopping = threading.Thread(target=stop)
    stopping.start()
    try:
        with pytest.raises(SystemExit):
            start_run(endless, settings, runtime)
    finally:
        stopping.join()
        signal.signal(signal.SIGTERM, before)
    first, stopped = checkpoints_in(out)
    kimg = read_checkpoint(stopped).nimg / 1000 + 0.1
    resumed = run("--resume", "--out", out, "--cache", cache, "--device", "cpu", "--kimg", kimg)
    assert resumed.exit_code == 0, resumed.output
    kept = checkpoints_in(out)
    assert len(kept) == 2
    assert kept[0] == first
    assert kept[1] != stopped


def test_a_diverging_run_stops_with_its_last_good_checkpoint(tiny, data, cache, runtime, tmp_path):
    wild = replace(tiny, schedule=replace(tiny.schedule, lrate_base=30.0, total_kimg=20.0))
    settings = RunSettings(out=tmp_path / "wild", data=data, snapshot_kimg=0.05, cache=cache)
    with pytest.raises(CollapseError, match=r"training collapsed at kimg .*; last good checkpoint"):
        start_run(wild, settings, runtime)
    assert "training collapsed" in (tmp_path / "wild" / "train.log").read_text()
    state = load_state(read_checkpoint(newest_checkpoint(tmp_path / "wild")), runtime)
    assert all(p.isfinite().all() for p in state.G_ema.parameters())


# --- beginning with the networks of another run


def test_networks_of_a_finished_run_are_trained_further(finished, data, cache, tmp_path):
    out = tmp_path / "further"
    options = ["--init", finished, "--data", data, "--cache", cache, "--out", out]
    result = run(*options, "--kimg", "0.1", "--seed", "9", "--warmup", "0")
    assert result.exit_code == 0, result.output
    source = read_checkpoint(newest_checkpoint(finished))
    first, last = (
        read_checkpoint(path) for path in (checkpoints_in(out)[0], newest_checkpoint(out))
    )
    assert last.config.schedule.initial_resolution == 16  # grown already
    assert (last.nimg, last.lod, last.provenance.seed) == (128, 0.0, 9)
    assert len(last.provenance.init) == 64
    moved = [
        not torch.equal(last.networks["D"][key], value)
        for key, value in source.networks["D"].items()
    ]
    assert any(moved)
    distance = (last.networks["G_ema"]["w_avg"] - source.networks["G_ema"]["w_avg"]).norm()
    assert distance < source.networks["G_ema"]["w_avg"].norm()  # it began there
    assert first.provenance == last.provenance


def test_networks_that_do_not_fit_are_refused(finished, data, cache, tmp_path):
    def refused(message, *args, status=1):
        result = run(*args, "--data", data, "--cache", cache, "--out", tmp_path / "x")
        assert result.exit_code == status
        assert message in result.stderr
        assert not (tmp_path / "x").exists()

    refused("have resolution 16, not 8", "--init", finished, "--resolution", "8")
    refused(
        "have network.noise True, not False",
        "--init",
        finished,
        "--config",
        "D",
        "--preset",
        "tiny-16",
    )
    refused("no checkpoint at", "--init", tmp_path / "nothing")
    refused("give one of them", "--init", finished, "--resume", finished, status=2)


def test_data_of_another_size_or_kind_are_refused(finished, cache, tmp_path):
    other = tmp_path / "other.zip"
    write_archive(other, ((np.full((8, 8, 3), k, np.uint8), None) for k in range(30)))
    result = run("--init", finished, "--data", other, "--cache", cache, "--out", tmp_path / "x")
    assert result.exit_code == 1
    assert "too small for networks of 16x16" in result.stderr
