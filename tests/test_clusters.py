"""The scripts for Slurm and the commands for several machines, as the document shows them.

With processes on nodes that are host names and loopback addresses in a network namespace.
"""

import os
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kill_trial import descendants
from stylegan.checkpoint import checkpoints_in, newest_checkpoint, read_checkpoint
from stylegan.datasets.archive import write_archive
from tests.containers import namespaces
from tests.documents import block, indented, smaller
from tests.slurm import Queue, signal_before_end

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "clusters.md"

pytestmark = pytest.mark.skipif(not namespaces(), reason="no namespaces, or no root, here")


@pytest.fixture
def data(tmp_path):
    """64 images."""

    def make(size):
        coarse = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 3), dtype=np.uint8)
        images = coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)
        write_archive(tmp_path / "ffhq.zip", ((image, None) for image in images))

    return make


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A queue of these nodes, with commands in a folder of their own and this source tree."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def make(*nodes):
        folder = tmp_path / "-".join(nodes)
        folder.mkdir()
        return Queue(folder, nodes)

    return make


def script(name):
    return block(PAGE, "bash", after=f"`{name}`")


def submitted(name):
    """Arguments of the script where the document submits it."""
    (line,) = [line for line in indented(PAGE) if line.startswith(f"sbatch {name} ")]
    return smaller(shlex.split(line)[2:])


def signalled(queue, name, arguments, ready, **variables):
    """Run a script, and send the signal that it asks for, where it asks for it, once ready."""
    text = script(name)
    wanted, itself = signal_before_end(text)
    job = queue.start(text, arguments, variables)
    while not ready():
        assert job.poll() is None, job.communicate()
        time.sleep(0.05)
    (srun, *_) = [pid for pid in descendants(job.pid) if b"srun" in command_of(pid)]
    for pid in [job.pid] if itself else descendants(srun):
        os.kill(pid, getattr(signal, f"SIG{wanted}"))
    stderr = job.communicate()[1]
    return job.returncode, stderr


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1]


def saved_in(run):
    return read_checkpoint(newest_checkpoint(run)).nimg


def test_jobs_that_are_stopped_save_and_others_continue(queue, data, tmp_path):
    """On one node, then on two, then on two machines without a queue, to the end."""
    data(8)
    run = tmp_path / "runs" / "ffhq"
    length = ["--kimg", "1000", "--warmup", "0"]

    def ready():
        return run.is_dir() and len(checkpoints_in(run)) > 1

    one = queue("node1")
    status, stderr = signalled(
        one, "one-node.sbatch", [*submitted("one-node.sbatch"), *length], ready
    )
    assert (status, one.requeued) == (0, ["77"]), stderr
    first = saved_in(run)
    assert first > 0

    before = newest_checkpoint(run)

    def further():
        return checkpoints_in(run)[-1] != before

    two = queue("node1", "node2")
    status, stderr = signalled(two, "nodes.sbatch", [*submitted("nodes.sbatch"), *length], further)
    assert (status, two.requeued) == (0, ["77"]), stderr
    second = saved_in(run)

    (line,) = [line for line in indented(PAGE) if line.startswith("torchrun --nnodes 2")]
    words = smaller(shlex.split(line))
    machines = queue("first", "second")
    end = str((second + 64) / 1000)
    job = machines.start(shlex.join(["srun", *words, "--kimg", end]), [], {})
    _, stderr = job.communicate()
    assert job.returncode == 0, stderr
    assert saved_in(run) >= second + 64
    begun = [line for line in (run / "train.log").read_text().splitlines() if "process(es)" in line]
    assert ["1 process" in begun[0], *("2 process" in line for line in begun[1:])] == [True] * 3
    assert f"from kimg {second / 1000:.1f}" in begun[2]


def test_an_array_trains_a_row_with_a_seed_in_each_job(queue, data, tmp_path):
    data(32)
    one = queue("node1")
    trainings = tmp_path / "tables" / "trainings"

    def ready():
        return any(trainings.glob("*/checkpoint-*.pt"))

    status, stderr = signalled(
        one, "table.sbatch", submitted("table.sbatch"), ready, SLURM_ARRAY_TASK_ID="7"
    )
    assert (status, one.requeued) == (0, ["77"]), stderr
    (name,) = [path.name for path in trainings.iterdir()]
    assert name.startswith("B-seed1-"), name


@pytest.mark.parametrize(("name", "expected"), [("one-node.sbatch", 2), ("nodes.sbatch", 1)])
def test_an_error_is_no_reason_to_queue_again(queue, name, expected):
    """torchrun has a status of its own."""
    one = queue("node1")
    job = one.start(script(name), [*submitted(name), "--keep", "none"], {})
    _, stderr = job.communicate()
    assert job.returncode == expected
    assert "'none' is not a valid" in stderr
    assert one.requeued == []
