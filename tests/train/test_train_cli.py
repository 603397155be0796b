"""`stylegan-train`: a run from the command line, killed, resumed, and fed nonsense."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.checkpoint import checkpoints_in, newest_checkpoint, read_checkpoint
from stylegan.datasets.archive import write_archive
from stylegan.train import main
from tests import starting

TRAIN = [sys.executable, "-m", "stylegan.train"]


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def start(out, data, cache, *extra):
    command = [*TRAIN, "--config", "F", "--preset", "tiny-16", "--data", data, "--out", out]
    command += ["--cache", cache, "--snapshot-kimg", "0.1", "--seed", "7"]
    command += ["--warmup", "0", *extra]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return starting.Popen([str(part) for part in command], env=env, stderr=subprocess.PIPE)


def wait_for_checkpoint(out, process):
    while not (out.is_dir() and checkpoints_in(out)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_saves_and_leaves(data, cache, tmp_path, number):
    process = start(tmp_path / "run", data, cache, "--kimg", "1000")
    wait_for_checkpoint(tmp_path / "run", process)
    nimg = read_checkpoint(newest_checkpoint(tmp_path / "run")).nimg
    process.send_signal(number)
    stderr = process.stderr.read().decode()
    assert process.wait() == 128 + number
    process.stderr.close()
    assert "continue with --resume" in stderr
    assert "Traceback" not in stderr
    assert read_checkpoint(newest_checkpoint(tmp_path / "run")).nimg >= nimg


def test_dry_run_shows_the_chain_and_the_plan():
    options = "--config D --preset tiny-16 --dry-run --device cpu --layout contiguous"
    result = run(*options.split())
    assert result.exit_code == 0
    for text in (
        "D  + Remove traditional input",
        "network.constant_input: False -> True",
        "resolution: 1024 -> 16",
        "generator",
        "phases:",
        "on:      cpu, 1 process, fp32, contiguous",
        "memory:  about",
        "for 1 kimg in 128 steps",
    ):
        assert text in result.output
    assert "Add noise inputs" not in result.output


def test_help_is_quick_and_imports_no_torch():
    program = (
        "import sys; sys.argv = ['x', '--help']\ntry:\n import stylegan.train as t; t.main()\n"
    )
    program += "finally:\n assert not {'torch', 'numpy'} & set(sys.modules), 'heavy import'\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--dry-run" in done.stdout


def test_presets_are_listed():
    result = run("--preset", "list")
    assert result.exit_code == 0
    assert {"paper-ffhq", "paper-celebahq", "demo-32", "demo-64"} <= {
        line.split()[0] for line in result.output.splitlines()
    }


BAD = [
    ("--config G", 2, "'G' is not one of"),
    ("--data x --out y", 2, "which row of Table 1"),
    ("--config F --data {data}", 2, "where to"),
    ("--config F --out {out}", 2, "trained on what"),
    ("--config F --data {data} --out {out} --resolution 48", 2, "power of two"),
    ("--config F --data {data} --out {out} --kimg -1", 2, "kimg"),
    ("--config F --data {data} --out {out} --preset x", 1, "demo-32"),
    ("--config F --data {data} --out {out} --device tpu9", 1, "cuda:N, got tpu9"),
    ("--config F --data {out}/no.zip --out {out}", 1, "no.zip"),
    ("--config F --preset demo-32 --data {data} --out {out}", 1, "use --resolution 16"),
    (
        "--config F --preset paper-ffhq --resolution 8 --data {few} --out {out}",
        *(1, "fewer than the minibatch of 256"),
    ),
    ("--resume --out {out}", 1, "no run to resume"),
    ("--config F --preset tiny-16 --data {data} --out {file}/run", 1, "cannot write"),
]


@pytest.mark.parametrize(("args", "status", "message"), BAD)
def test_bad_input_is_one_line(args, status, message, data, cache, tmp_path):
    out, few, file = tmp_path / "out", tmp_path / "few.zip", tmp_path / "file"
    write_archive(few, ((np.full((8, 8, 3), i, np.uint8), None) for i in range(10)))
    file.write_text("a file where a folder should be")
    names = {"data": data, "out": out, "few": few, "file": file}
    result = run("--cache", cache, *(arg.format(**names) for arg in args.split()))
    assert result.exit_code == status
    assert "Traceback" not in result.output
    assert message in result.stderr
    if status == 1:
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_resume_refuses_what_does_not_fit(finished, data, cache, tmp_path):
    def refused(message, *args):
        result = run("--resume", "--out", finished, "--cache", cache, *args)
        assert result.exit_code == 1
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1

    refused("resolution 16, not 32", "--resolution", "32")
    refused("config F, not E", "--config", "E")
    refused("trained with seed 5, not 9", "--seed", "9")
    refused("trained with seed 5, not 0", "--seed", "0", "--resume", "auto")
    refused("trained with seed 5, not 9", "--seed", "9", "--dry-run")
    refused("schedule.training_kimg", "--config", "F", "--preset", "tiny-16")
    other = tmp_path / "other.zip"
    write_archive(other, ((np.full((16, 16, 3), i, np.uint8), None) for i in range(64)))
    refused("is not the data this run was trained on", "--data", other)
    small = tmp_path / "small.zip"
    write_archive(small, ((np.full((8, 8, 3), i, np.uint8), None) for i in range(64)))
    refused("too small for networks of 16x16", "--data", small)
    result = run("--config", "F", "--preset", "tiny-16", "--data", data, "--out", finished)
    assert result.exit_code == 1
    assert "already holds a run" in result.stderr
    broken = tmp_path / "checkpoint-000009.pt"
    broken.write_bytes(newest_checkpoint(finished).read_bytes()[:-100])
    result = run("--resume", broken, "--out", finished, "--cache", cache)
    assert result.exit_code == 1
    assert "damaged" in result.stderr
