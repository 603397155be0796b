"""One seed, one number: whatever the batch, the processes, and how often it was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from stylegan_eval.cli import main
from tests import starting

ROOT = Path(__file__).parents[2]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
ALL = [  # 320 images are the fewest that are cut into ten blocks
    *("--metrics", "fid,kid,is,prdc,ppl", "-n", "320", "--subset-size", "100"),
    *("--features", "efficientnet-lite0", "--pairs", "320", "--distance", "st-lpips-alex"),
    *("--device", "cpu", "--json"),
]


@pytest.fixture
def start(tmp_path, fake_loader, image_folder):
    """Start `stylegan-eval all` in a process of its own, with a cache of its own."""
    ckpt = tmp_path / "linear.ckpt"
    ckpt.write_text("FAKE 64")
    data = image_folder("reals", 320, size=64)
    site = tmp_path / "site"

    def run(cache, launcher=(), module="stylegan_eval"):
        env = {
            **os.environ,
            "STYLEGAN_CACHE": str(tmp_path / cache),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{site}",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, *launcher, "-m", module, "all", *ALL]
        return starting.Popen(
            [*command, "--ckpt", str(ckpt), "--data", str(data)],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            nested=bool(launcher),
        )  # fmt: skip

    return run


def results(process):
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    return rows_in(stdout)


def rows_in(stdout):
    return {row["metric"]: row for row in json.loads(stdout)["results"]}


def test_neither_batch_nor_processes_nor_a_kill_changes_a_number(tmp_path, start, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    inputs = ["--ckpt", str(tmp_path / "linear.ckpt"), "--data", str(tmp_path / "reals")]

    def here(*options):
        result = CliRunner().invoke(main, ["all", *ALL, *inputs, *options])
        assert result.exit_code == 0, result.output
        return rows_in(result.stdout)

    whole = here()
    assert len(whole) == 11
    assert all(
        row["stderr"] is not None for name, row in whole.items() if name[:4] not in ("prdc", "fd_e")
    )

    # Other batches round differently: path lengths divide that by epsilon squared.
    other = here("--batch", "7")
    assert other.keys() == whole.keys()
    for name, row in other.items():
        bound = 2e-3 if name.startswith("ppl") else 2e-5
        assert row["value"] == pytest.approx(whole[name]["value"], rel=bound), name

    # The same blocks, whoever computes them: the same bits.
    two = results(start("two", launcher=TORCHRUN))
    assert [row["processes"] for row in two.values()] == [2] * len(two)
    assert {n: (r["value"], r["stderr"]) for n, r in two.items()} == {
        n: (r["value"], r["stderr"]) for n, r in whole.items()
    }

    # On two machines that share nothing.
    launcher = ["4" if word == "2" else word for word in TORCHRUN]
    four = results(start("apart", launcher=launcher, module="tests.eval.apart"))
    assert [row["processes"] for row in four.values()] == [4] * len(four)
    assert {n: (r["value"], r["stderr"]) for n, r in four.items()} == {
        n: (r["value"], r["stderr"]) for n, r in whole.items()
    }
    for machine in ("machine 0", "machine 1"):
        assert list((tmp_path / "apart" / machine / "work").iterdir()) == []

    killed = start("killed")
    work = tmp_path / "killed" / "work"
    while len(list(work.glob("*/*.npz"))) < 14 and killed.poll() is None:  # reals: 10 blocks
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    again = results(start("killed"))
    assert {n: (r["value"], r["stderr"]) for n, r in again.items()} == {
        n: (r["value"], r["stderr"]) for n, r in whole.items()
    }
    assert list(work.iterdir()) == []
