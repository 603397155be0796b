import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.engine.blocks import Run, load_arrays, save_arrays, split, split_all
from stylegan_eval.engine.processes import Processes, processes_from_environment
from stylegan_eval.errors import UserError
from tests import starting

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


@given(st.integers(1, 300_000))
def test_blocks_are_a_partition(num):
    blocks = split(num)
    assert blocks[0].start == 0
    assert blocks[-1].stop == num
    assert all(a.stop == b.start for a, b in pairwise(blocks))
    sizes = {len(block) for block in blocks}
    assert max(sizes) - min(sizes) <= 1
    assert len(blocks) == 1 or min(sizes) >= 32
    assert len(blocks) in (1, 10, 20, 40)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=4))
def test_blocks_of_several_are_blocks_of_each(nums):
    whole = split_all(nums)
    assert whole[0].start == 0
    assert whole[-1].stop == max(nums)
    cuts = {block.stop for block in whole}
    assert all(block.stop in cuts for num in nums for block in split(num))


def make(calls):
    def compute(block, tick):
        calls.append(block)
        tick(len(block))
        return {"sum": np.array(sum(block)), "first": np.array([block.start])}

    return compute


def test_what_is_there_is_not_computed_again(tmp_path):
    run = Run(device=CPU, folder=tmp_path)
    calls = []
    first = run.map_blocks({"a": 1}, split(500), make(calls), "work")
    assert len(calls) == 10
    assert sum(int(part["sum"]) for part in first) == sum(range(500))
    again = Run(device=CPU, folder=tmp_path).map_blocks({"a": 1}, split(500), make(calls), "work")
    assert len(calls) == 10
    for a, b in zip(first, again, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)
    Run(device=CPU, folder=tmp_path).map_blocks({"a": 2}, split(500), make(calls), "work")
    assert len(calls) == 20
    run.finish()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_keeps_what_was_done(tmp_path):
    calls = []

    def fails(block, tick):
        if block.start >= 250:
            raise UserError("the fifth")
        return make(calls)(block, tick)

    with pytest.raises(UserError, match="the fifth"):
        Run(device=CPU, folder=tmp_path).map_blocks({}, split(500), fails, "work")
    assert len(calls) == 5
    Run(device=CPU, folder=tmp_path).map_blocks({}, split(500), make(calls), "work")
    assert [block.start for block in calls] == list(range(0, 500, 50))


def test_a_damaged_block_is_made_again(tmp_path):
    run = Run(device=CPU, folder=tmp_path)
    first = list(run.map_blocks({}, split(500), make([]), "work"))
    path = sorted(tmp_path.rglob("*.npz"))[3]
    path.write_bytes(path.read_bytes()[:100])
    calls = []
    again = list(Run(device=CPU, folder=tmp_path).map_blocks({}, split(500), make(calls), "work"))
    assert [block.start for block in calls] == [150]
    for a, b in zip(first, again, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_block_under_the_name_of_another_is_made_again(tmp_path):
    """Swapped, or copied from other work; files of earlier versions do not say which they are."""
    run = Run(device=CPU, folder=tmp_path)
    first = list(run.map_blocks({}, split(500), make([]), "work"))
    paths = sorted(tmp_path.rglob("*.npz"))
    paths[3].rename(tmp_path / "x")
    paths[4].rename(paths[3])
    (tmp_path / "x").rename(paths[4])
    other = Run(device=CPU, folder=tmp_path)
    list(other.map_blocks({"seed": 1}, split(500), make([]), "work"))
    (theirs,) = set(tmp_path.rglob(paths[6].name)) - {paths[6]}
    theirs.rename(paths[6])
    arrays = np.load(paths[8])
    np.savez(paths[8], **{name: arrays[name] for name in arrays if name != "block"})
    calls = []
    again = list(Run(device=CPU, folder=tmp_path).map_blocks({}, split(500), make(calls), "work"))
    assert [block.start for block in calls] == [150, 200, 300]
    for a, b in zip(first, again, strict=True):
        assert a.keys() == b.keys() == {"sum", "first"}
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_run_that_finishes_does_not_take_the_blocks_of_its_twin(tmp_path):
    twin, calls = Run(device=CPU, folder=tmp_path), []

    def compute(block, tick):
        if block.start == 450:  # of the last one, when all others are there
            twin.map_blocks({}, split(500), make([]), "work")
            twin.finish()
        return make(calls)(block, tick)

    parts = Run(device=CPU, folder=tmp_path).map_blocks({}, split(500), compute, "work")
    assert sum(int(part["sum"]) for part in parts) == sum(range(500))


def test_arrays_survive_a_file(tmp_path):
    arrays = {"a": np.arange(5), "b": np.ones((2, 3), np.float32), "text": np.array("é {}")}
    save_arrays(tmp_path / "x.npz", arrays)
    read = load_arrays(tmp_path / "x.npz")
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[name], arrays[name]) for name in arrays)
    assert load_arrays(tmp_path / "absent.npz") is None
    (tmp_path / "text.npz").write_text("no archive")
    assert load_arrays(tmp_path / "text.npz") is None
    np.savez(tmp_path / "pickle.npz", a=np.array([{}], dtype=object))
    assert load_arrays(tmp_path / "pickle.npz") is None


@given(st.lists(st.integers(), max_size=50), st.integers(1, 9))
def test_processes_share_everything_once(items, world):
    shares = [Processes(rank=rank, world=world).share(items) for rank in range(world)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_an_environment_that_is_not_torchruns_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(UserError, match=r"WORLD_SIZE is set but .*unset WORLD_SIZE"):
        processes_from_environment()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert processes_from_environment() == Processes()


def test_a_killed_run_goes_on_with_equal_bits(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(
        "import sys, time, numpy as np, torch\n"
        "from pathlib import Path\n"
        "from stylegan_eval.engine.blocks import Run, split\n"
        "def compute(block, tick):\n"
        "    print(block.start, flush=True)\n"
        "    time.sleep(0.05)\n"
        "    rng = np.random.default_rng(block.start)\n"
        "    return {'x': rng.standard_normal(len(block))}\n"
        "run = Run(device=torch.device('cpu'), folder=Path(sys.argv[1]))\n"
        "parts = run.map_blocks({'k': 1}, split(5000), compute, 'work')\n"
        "print('bits', np.concatenate([p['x'] for p in parts]).tobytes().hex()[:4000])\n"
    )

    def start(folder):
        return starting.Popen(
            [sys.executable, str(script), str(tmp_path / folder)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        )  # fmt: skip

    whole = start("whole").communicate()[0].splitlines()
    killed = start("killed")
    seen = [killed.stdout.readline() for _ in range(7)]
    os.kill(killed.pid, signal.SIGKILL)
    seen += killed.communicate()[0].splitlines(keepends=True)
    rest = start("killed").communicate()[0].splitlines()
    assert len(rest) < len(whole)
    assert len(rest) + len(seen) <= len(whole) + 1  # at most the block that was being written
    assert rest[-1] == whole[-1]
