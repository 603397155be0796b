"""One process or two, one pass or several: the same gradients, the same order of images."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.kill_trial import descendants, is_alive
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.configs import CONFIGS
from stylegan.datasets.archive import write_archive
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals, Slice
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.train import main
from stylegan.training.batches import feed, slices
from stylegan.training.partition import Execution
from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from tests import starting
from tests.train import two_processes

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
SCRIPT = Path(two_processes.__file__)
ENV = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """300 images of 16x16 in three classes."""
    path = tmp_path_factory.mktemp("labelled") / "noise16.zip"
    coarse = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    images = coarse.repeat(4, axis=1).repeat(4, axis=2)
    write_archive(path, ((image, k % 3) for k, image in enumerate(images)))
    return path


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        limit = 1e-5 * value.abs().max().item()
        torch.testing.assert_close(found[key], value, rtol=1e-5, atol=limit, msg=key)


def test_two_processes_give_the_gradients_of_one(labelled, cache, runtime, tmp_path):
    """In a fade, with labels, mixing, and one group of the minibatch more than processes."""
    out = tmp_path / "gradients.pt"
    command = [*TORCHRUN, "2", SCRIPT, labelled, cache, out]
    done = starting.run(
        [str(part) for part in command],
        env=ENV | {"PYTHONPATH": str(SCRIPT.parents[2])},
        capture_output=True,
        text=True,
        nested=True,
    )
    assert done.returncode == 0, done.stderr
    found = torch.load(out, weights_only=True)
    for row in "AF":
        alone = two_processes.gradients(row, labelled, cache, runtime, Execution())
        assert 0 < alone["lod"] % 1 < 1
        assert_same_gradients(found[row], alone)


@pytest.mark.parametrize("row", ["A", "F"])
@pytest.mark.parametrize("execution", [Execution(grad_accum=4), Execution(at_a_time=((16, 8),))])
def test_several_passes_give_the_gradients_of_one(row, execution, labelled, cache, runtime):
    found = two_processes.gradients(row, labelled, cache, runtime, execution)
    alone = two_processes.gradients(row, labelled, cache, runtime, Execution())
    assert_same_gradients(found, alone)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_order_of_images_does_not_depend_on_the_number_of_processes(world):
    config = apply_preset(CONFIGS["F"], "tiny-16")
    schedule = replace(config.schedule, minibatch_base=16, total_kimg=0.2)
    config = replace(config, schedule=schedule)
    device = torch.device("cpu")
    seen = []
    for rank in range(world):
        runtime = Runtime(device, Processes(rank=rank, world=world))
        for part in slices(config, 0, Execution(grad_accum=2), runtime):
            seen += [(int(part.start + row), part.level) for row in part.rows]
    assert [place for place, _ in sorted(seen)] == list(range(256))


def train(*args, processes=1):
    launcher = [*TORCHRUN, str(processes), "-m"] if processes > 1 else [sys.executable, "-m"]
    command = [*launcher, "stylegan.train", "--device", "cpu", "--warmup", "0", *args]
    command = [str(part) for part in command]
    return starting.run(command, env=ENV, capture_output=True, text=True, nested=True)


def test_a_run_continues_on_another_number_of_processes(data, cache, tmp_path):
    out = tmp_path / "run"
    options = ["--config", "F", "--preset", "tiny-16", "--data", data, "--cache", cache]
    first = train(*options, "--out", out, "--kimg", "0.1", processes=2)
    assert first.returncode == 0, first.stderr
    assert read_checkpoint(newest_checkpoint(out)).nimg == 128
    words = ["--resume", "auto", *options, "--out", out, "--kimg", "0.2", "--device", "cpu"]
    second = CliRunner().invoke(main, [str(word) for word in words])
    assert second.exit_code == 0, second.output
    assert read_checkpoint(newest_checkpoint(out)).nimg == 224
    log = (out / "train.log").read_text()
    assert "2 process(es), from kimg 0.0" in log
    assert "1 process(es), from kimg 0.1" in log


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is set but 'RANK' is not as torchrun sets it"),
        ({"WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"}, "is not as torchrun sets it"),
    ],
)
def test_half_an_environment_of_torchrun_is_refused(environment, message, data, cache, tmp_path):
    options = ["--config", "F", "--preset", "tiny-16", "--data", data, "--out", tmp_path / "run"]
    command = [sys.executable, "-m", "stylegan.train", *options, "--cache", cache]
    done = starting.run(
        [str(part) for part in command], env=ENV | environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_gpus_starts_processes_and_their_failure_is_its_own(data, cache, tmp_path):
    options = ["--config", "F", "--preset", "tiny-16", "--data", data, "--cache", cache]
    good = train(*options, "--out", tmp_path / "a", "--kimg", "0.05", "--gpus", "2")
    assert good.returncode == 0, good.stderr
    assert "2 process(es)" in (tmp_path / "a" / "train.log").read_text()
    bad = train(*options, "--out", tmp_path / "b", "--gpus", "3")
    assert bad.returncode == 1
    assert "3 processes do not divide a minibatch of 8" in bad.stderr
    assert "Traceback" not in bad.stderr
    assert not (tmp_path / "b").exists()


# PyTorch warns of more workers than cores.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_images_read_ahead_are_those_read_in_time(labelled, cache, runtime, caplog):
    """Also when a worker is killed, as the system does where memory is short."""
    config = apply_preset(CONFIGS["F"], "tiny-16")
    config = replace(config, schedule=replace(config.schedule, total_kimg=0.3))
    reals = Reals(open_pyramid(labelled, cache=cache), seed=0, mirror=True, labelled=True)
    ahead, in_time = (
        list(feed(reals, config, 160, Execution(workers=workers), runtime)) for workers in (2, 0)
    )
    assert len(ahead) == len(in_time) > 10
    for first, second in zip(ahead, in_time, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert {batch.images.shape[-1] for batch in ahead} == {8, 16}  # through a growth
    others = {*multiprocessing.active_children()}  # of other tests' fixtures
    interrupted = feed(reals, config, 160, Execution(workers=2), runtime)
    left = [next(interrupted)]
    next(each for each in multiprocessing.active_children() if each not in others).kill()
    left += interrupted
    for first, second in zip(left, in_time, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert "ended by SIGKILL (out of memory?); from here on the training process" in caplog.text


# PyTorch warns of more workers than cores.
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_one_line_also_from_a_worker(labelled, tmp_path, runtime, workers):
    config = apply_preset(CONFIGS["F"], "tiny-16")
    pyramid = open_pyramid(labelled, cache=tmp_path)
    reals = Reals(pyramid, seed=0, mirror=True)
    np.load(pyramid.folder / "0008.npy", mmap_mode="r+")[:] = 0
    with pytest.raises(UserError) as error:
        next(feed(reals, config, 0, Execution(workers=workers), runtime))
    assert re.fullmatch(rf"{pyramid.folder}: image \d+ of 8x8 is damaged [^\n]*", str(error.value))


WORKERS = """
import multiprocessing, sys
from dataclasses import replace
from pathlib import Path
import torch
from stylegan.configs import CONFIGS
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.training.partition import Execution
from stylegan.training.batches import feed

def digest(batch):
    return [int(part.double().sum()) for part in batch]

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[3])
    reals = Reals(open_pyramid(Path(sys.argv[1]), cache=Path(sys.argv[2])), seed=0, mirror=True)
    config = apply_preset(CONFIGS["F"], "tiny-16")
    batches = feed(reals, config, 0, Execution(workers=2), Runtime.choose("cpu"))
    seen = [digest(next(batches))]
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    input()
    seen += [digest(batch) for batch, _ in zip(batches, range(20))]
    expected = feed(reals, config, 0, Execution(), Runtime.choose("cpu"))
    print(seen == [digest(batch) for batch, _ in zip(expected, range(21))], flush=True)
    input()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_leave_signals_to_the_training_and_end_with_it(method, labelled, cache, tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    training = starting.Popen(
        [sys.executable, script, labelled, cache, method],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=ENV | {"PYTHONPATH": str(SCRIPT.parents[2])},
    )  # fmt: skip
    workers = [int(pid) for pid in training.stdout.readline().split()]
    assert len(workers) == 2
    below = descendants(training.pid)  # a server that forks them, too
    for pid in below:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            os.kill(pid, number)
    training.stdin.write("\n")
    training.stdin.flush()
    assert training.stdout.readline() == "True\n"
    assert set(workers) <= set(descendants(training.pid))
    training.kill()
    assert "--workers" not in training.communicate()[1]
    while any(is_alive(pid) for pid in below):
        time.sleep(0.01)


NO_ROOM = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
NO_ROOM += ['mount -t tmpfs -o size={}k none /dev/shm && exec "$@"', "sh"]


@pytest.mark.skipif(
    subprocess.run([*NO_ROOM[:4], "true"], capture_output=True).returncode != 0,
    reason="no namespaces here",
)
@pytest.mark.parametrize("size", [4, 64])
def test_without_shared_memory_the_training_reads_images_itself(size, labelled, cache, tmp_path):
    """As in a container that has 64 MB of it: PyTorch would drop batches, and wait for them."""
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    done = starting.run(
        [*(word.format(size) for word in NO_ROOM), sys.executable, script, labelled, cache, "fork"],
        input="\n\n", capture_output=True, text=True,
        env=ENV | {"PYTHONPATH": str(SCRIPT.parents[2])},
    )  # fmt: skip
    assert done.stdout.splitlines()[1:] == ["True"], done.stderr
    assert "no room for images read ahead (--workers): /dev/shm is full" in done.stderr


def test_a_worker_is_given_the_place_of_the_images_not_the_images(labelled, cache):
    reals = Reals(open_pyramid(labelled, cache=cache), seed=0, mirror=True, labelled=True)
    sent = ForkingPickler.dumps(reals)
    assert len(sent) < 6000 < 300 * 16 * 16 * 3
    part = Slice(0, 300, np.arange(300), 0)
    for first, second in zip(ForkingPickler.loads(sent)[part], reals[part], strict=True):
        assert torch.equal(first, second)
