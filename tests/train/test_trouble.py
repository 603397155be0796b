"""Memory that runs out, and measurements that fail: what is told, and what is not lost.

Real limits of the process stand in for small machines: on its address space, and on its files.
"""

import json
import os
import re
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.checkpoint import newest_checkpoint, read_checkpoint, save_checkpoint
from stylegan.configs import CONFIGS, config_text
from stylegan.datasets.archive import write_archive
from stylegan.datasets.pyramid import open_pyramid
from stylegan.presets import apply_preset, with_options
from stylegan.snapshot import Provenance
from stylegan.train import main
from stylegan.training.settings import RunSettings
from stylegan.training.state import TrainState
from stylegan.training.status import read_status, status_lines
from stylegan.training.trainer import Trainer
from stylegan_eval.errors import UserError
from stylegan_eval.results.run_folder import read_rows
from tests import starting

ROOT = Path(__file__).parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
# Trains by the arguments; when the log has a row, there is no more memory than is taken.
FULL = """
import os, resource, sys, threading, time
from pathlib import Path
from stylegan.train import main

def limit():
    while not (log.exists() and log.stat().st_size):
        time.sleep(0.002)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**22, taken + 2**22))

log = Path(sys.argv[sys.argv.index("--out") + 1]) / "log.jsonl"
if os.environ.get("RANK", "0") == sys.argv.pop(1):
    threading.Thread(target=limit, daemon=True).start()
main()
"""


def python(*words, **environment):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment
    command = [sys.executable, *map(str, words)]
    several = words[: len(TORCHRUN)] == tuple(TORCHRUN)
    return starting.run(command, env=environment, capture_output=True, text=True, nested=several)


@pytest.fixture(scope="module")
def data32(tmp_path_factory):
    """300 images of 32x32."""
    path = tmp_path_factory.mktemp("data") / "noise32.zip"
    coarse = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    write_archive(path, ((image, None) for image in coarse.repeat(8, axis=1).repeat(8, axis=2)))
    return path


@pytest.fixture
def growing(tmp_path):
    """File of a configuration that grows to 32x32 with a minibatch of 64."""
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), resolution=32, total_kimg=0.8)
    schedule = replace(
        config.schedule, minibatch=(), minibatch_base=64, minibatch_repeats=1,
        tick_kimg=((8, 0.064), (16, 0.064)), training_kimg=0.1, transition_kimg=0.1,
    )  # fmt: skip
    path = tmp_path / "growing.json"
    path.write_text(config_text(replace(config, schedule=schedule)))
    return path


@pytest.mark.parametrize("processes", [1, 2])
def test_out_of_memory_says_what_to_do_and_it_helps(processes, growing, data32, cache, tmp_path):
    out = tmp_path / "run"
    (tmp_path / "full.py").write_text(FULL)
    launcher = [*TORCHRUN, processes] if processes > 1 else []
    options = ["--config", growing, "--data", data32, "--cache", cache, "--device", "cpu"]
    options += ["--warmup", "0", "--no-tensorboard", "--out", out]
    done = python(*launcher, tmp_path / "full.py", processes - 1, *options)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "error: out of memory" in line]
    assert line.endswith(
        "divide the minibatch into smaller passes with --grad-accum 2 or --memory-limit;"
        f" last checkpoint: {newest_checkpoint(out).name}; continue with --resume --out {out}"
        " --grad-accum 2"
    )
    assert re.search(rf"{64 // processes} images of \d+x\d+ at a time", line)
    told = line.partition("error: ")[2]
    assert f"error: {told}" in (out / "train.log").read_text()
    assert read_status(out).trouble == f"error: {told}"
    advice = shlex.split(told.partition("continue with ")[2])
    again = CliRunner().invoke(main, [*advice, "--cache", str(cache), "--kimg", "0.3"])
    assert again.exit_code == 0, again.output
    assert read_checkpoint(newest_checkpoint(out)).nimg == 320


# --- measurements that fail

MEASURED = ["--config", "F", "--preset", "tiny-16", "--resolution", "32", "--kimg", "0.3"]
MEASURED += ["--snapshot-kimg", "0.1", "--metrics", "fd20,ppl4_wend", "--ppl-crop", "none"]
MEASURED += ["--metrics-features", "efficientnet-lite0", "--ppl-distance", "st-lpips-alex"]
# Trains by the arguments behind the first two: what is lost, and when it is measured a file.
SPOILT = """
import resource, signal, sys, threading, time
from pathlib import Path
from stylegan.train import main

what, path = sys.argv[1:3]
del sys.argv[1:3]
out = Path(sys.argv[sys.argv.index("--out") + 1])

def lose():
    while not (out / "metrics.jsonl").exists():
        time.sleep(0.002)
    Path(path).rename(path + ".gone")

if what == "reals":
    threading.Thread(target=lose, daemon=True).start()
else:  # no room for 1280 x 1280 moments, but for checkpoints
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 2**20, 8 * 2**20))
main()
"""


@pytest.mark.parametrize(
    ("what", "processes", "reason"),
    [("reals", 1, "does not exist"), ("disk", 2, "cannot write")],
)
def test_a_failed_measurement_ends_no_training(
    what, processes, reason, data32, cache, tmp_path, monkeypatch
):
    out, reals = tmp_path / "run", tmp_path / "reals.zip"
    reals.write_bytes(data32.read_bytes())
    (tmp_path / "spoilt.py").write_text(SPOILT)
    launcher = [*TORCHRUN, processes] if processes > 1 else []
    options = [*MEASURED, "--data", reals, "--cache", cache, "--out", out, "--device", "cpu"]
    options += ["--warmup", "0", "--no-tensorboard"]
    done = python(
        *launcher, tmp_path / "spoilt.py", what, reals, *options,
        STYLEGAN_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(newest_checkpoint(out)).nimg >= 300
    rows, damaged = read_rows(out / "metrics.jsonl")
    assert damaged == 0
    failed = [row for row in rows if "error" in row]
    assert {row["asked"] for row in failed} == {"fd20"}
    assert all(reason in row["error"] and row["value"] is None for row in failed)
    measured = {row["asked"]: row["nimg"] for row in rows if row["value"] is not None}
    assert measured["ppl4_wend"] == max(row["nimg"] for row in rows)  # what could be measured was
    log = (out / "train.log").read_text()
    line = f"fd20 could not be measured: {failed[-1]['error']}; the training goes on"
    assert line in log
    assert done.stderr.count(line) == log.count(line) == len(failed)
    assert f"fd20 at kimg {failed[-1]['kimg']:.1f}: " in "\n".join(status_lines(read_status(out)))
    if what == "reals":  # back again: what could not be measured is, once
        reals.with_name("reals.zip.gone").rename(reals)
        monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
        words = ["--resume", "--out", str(out), "--cache", str(cache)]
        again = CliRunner().invoke(main, words)
        assert again.exit_code == 0, again.output
        rows, _ = read_rows(out / "metrics.jsonl")
        assert (rows[-1]["asked"], rows[-1]["nimg"]) == ("fd20", failed[-1]["nimg"])
        assert rows[-1]["value"] is not None
        assert read_status(out).unmeasured == []


SMALLER = """
import resource, sys
from pathlib import Path
import torch
from stylegan.checkpoint import read_checkpoint
from stylegan.training.state import load_state
from stylegan.runtime import Runtime
from stylegan.training.evaluate import Measurements
from stylegan.training.settings import MetricSettings

def limit(size):
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))

def tell(text):
    print(text)
    if "trying" in text:  # libraries crash where the last bytes are gone: this is no test of them
        limit(resource.RLIM_INFINITY)

torch.set_num_threads(1)
checkpoint, data = map(Path, sys.argv[1:3])
state = load_state(read_checkpoint(checkpoint), Runtime.choose("cpu"))
settings = MetricSettings(metrics="fd96", metrics_features="efficientnet-lite0")
measure = Measurements(
    folder=checkpoint.parent, data=data, metrics=settings.named(), every=0, batch=1,
    device=torch.device("cpu"), tell=tell,
)
state.nimg = 1
measure(state, checkpoint)  # loads what is needed at any rate
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit(taken + int(sys.argv[3]) * 2**20)
measure.batch, state.nimg = 128, 2
measure(state, checkpoint)
"""


def test_a_measurement_without_memory_is_made_in_smaller_batches(runtime, tmp_path):
    """Batches of 256x256 take more than anything else that is computed."""
    script, data = tmp_path / "smaller.py", tmp_path / "noise256.zip"
    script.write_text(SMALLER)
    config = with_options(apply_preset(CONFIGS["F"], "tiny-16"), resolution=256)
    state = TrainState.fresh(config, runtime, seed=1)
    state.lod = 0.0
    checkpoint = tmp_path / "checkpoint-000000.pt"
    save_checkpoint(checkpoint, state.snapshot(config, Provenance(seed=1, data="", version="")))
    images = np.random.default_rng(0).integers(0, 256, (96, 8, 8, 3), dtype=np.uint8)
    images = images.repeat(32, axis=1).repeat(32, axis=2)
    write_archive(data, ((image, None) for image in images))
    for spare in range(150, 400, 50):  # MiB
        (tmp_path / "metrics.jsonl").unlink(missing_ok=True)
        cache = str(tmp_path / "cache")
        done = python(script, checkpoint, data, str(spare), STYLEGAN_CACHE=cache)
        if done.returncode != -signal.SIGSEGV:  # of a library that does not check: no test of it
            break
    assert done.returncode == 0, done.stderr
    assert "out of memory as fd96 was measured: trying --metrics-batch 64" in done.stdout
    first, second = read_rows(tmp_path / "metrics.jsonl")[0]
    assert second["value"] == pytest.approx(first["value"], rel=1e-4)


TOGETHER = """
import json, sys
from pathlib import Path
from stylegan.runtime import Runtime
from stylegan.training.evaluate import _attempt
from stylegan_eval.errors import UserError

processes = Runtime.join("cpu").processes
told = []
meetings = {
    "wait": processes.wait,
    "of_first": lambda: processes.of_first(list(range(1000))),
    "of_first, a bool": lambda: processes.of_first(True),
    "of_all": lambda: processes.of_all("x"),
    "nothing": lambda: None,
}
errors = {"memory": MemoryError(), "user": UserError("no"), "bug": KeyError("x")}
for name, error in errors.items():
    for rank in (0, 1):
        for meeting in meetings.values():
            def work():
                if processes.rank == rank:
                    raise error
                meeting()
                return "went on"
            told.append([name, *_attempt(work, processes)])
told.append(_attempt(lambda: processes.of_first(processes.rank), processes))
Path(f"{sys.argv[1]}/{processes.rank}.json").write_text(json.dumps(told))
Runtime.join("cpu").processes.exit(0)
"""


def test_what_fails_in_one_process_fails_in_all_wherever_they_wait(tmp_path):
    (tmp_path / "together.py").write_text(TOGETHER)
    done = python(*TORCHRUN, 2, tmp_path / "together.py", tmp_path)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        told = json.loads((tmp_path / f"{rank}.json").read_text())
        for name, trouble, full in (
            ("memory", "out of memory", True),
            ("user", "no", False),
            ("bug", "KeyError: 'x'", False),
        ):
            assert (
                told.count([name, None, trouble, full]) == 2 * 5
            )  # of either, wherever the other is
        assert told[-1] == [0, "", False]  # and they go on together
        assert len(told) == 31


def test_damaged_images_are_found_before_their_sheet_is_drawn(tiny, data, runtime, tmp_path):
    pyramid = open_pyramid(data, cache=tmp_path / "cache", progress=False)
    with (pyramid.folder / "0016.npy").open("r+b") as file:  # behind the back of who has opened it
        file.seek(128)
        file.write(bytes(300 * 3 * 16 * 16))
    settings = RunSettings(out=tmp_path / "run", data=data)
    provenance = Provenance(seed=0, data=pyramid.digest, version="0")
    trainer = Trainer(tiny, settings, runtime, pyramid, provenance)
    settings.out.mkdir()
    with pytest.raises(UserError, match=r"image \d+ of 16x16 is damaged on the disk"):
        trainer.train(TrainState.fresh(tiny, runtime, 0))
    assert not (settings.out / "reals.png").exists()
