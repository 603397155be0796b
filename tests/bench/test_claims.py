"""Claims: one living process at a time, and one heir of a dead one."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.processes import claimed, is_claimed

_HOLD = """
import sys, time
from pathlib import Path
from benchmarks.processes import claimed
with claimed(Path(sys.argv[1]), "row") as claim:
    print("none" if claim is None else claim.generation, flush=True)
    time.sleep(60 if claim is not None else 0)
"""


@contextlib.contextmanager
def holder(folder):
    """Another process that claims the row and sleeps."""
    command = [sys.executable, "-c", _HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_claim_keeps_others_out_and_ends_with_the_block(tmp_path):
    with claimed(tmp_path, "row") as first, claimed(tmp_path, "row") as second:
        assert first is not None
        assert second is None
        assert is_claimed(tmp_path, "row")
        assert not is_claimed(tmp_path, "other row")
        assert not first.is_lost()
    assert not is_claimed(tmp_path, "row")
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_gives_the_claim_up(tmp_path):
    with pytest.raises(ZeroDivisionError), claimed(tmp_path, "row"):
        _ = 1 / 0
    assert not is_claimed(tmp_path, "row")


def test_another_process_is_seen_and_a_killed_one_is_succeeded(tmp_path):
    with holder(tmp_path) as (process, said):
        assert said == "0"
        with claimed(tmp_path, "row") as claim:
            assert claim is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_claimed(tmp_path, "row")
        with claimed(tmp_path, "row") as claim:
            assert claim is not None
            assert claim.generation == 1
            with holder(tmp_path) as (_, said_then):
                assert said_then == "none"
    assert list(tmp_path.iterdir()) == []


def _race(folder, barrier, winners):
    barrier.wait()
    with claimed(folder, "row") as claim:
        if claim is not None:
            winners.put((os.getpid(), claim.generation))
            time.sleep(0.5)  # hold it until all others have tried


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_at_once_one_wins(tmp_path, dead):
    if dead:
        with holder(tmp_path) as (process, _):
            process.send_signal(signal.SIGKILL)
    context = multiprocessing.get_context("fork")
    barrier, winners = context.Barrier(8), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, barrier, winners)) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    _, generation = winners.get(timeout=5)
    assert generation == int(dead)
    assert winners.empty()
    assert list(tmp_path.iterdir()) == []


def _elsewhere(folder, age):
    """A claim as another machine makes it, touched `age` seconds ago."""
    path = folder / "row.0"
    path.write_text("another kernel")
    then = time.time() - age
    os.utime(path, (then, then))


def test_a_claim_of_another_machine_counts_while_it_is_fresh(tmp_path):
    _elsewhere(tmp_path, age=processes.DEAD_AFTER / 2)
    assert is_claimed(tmp_path, "row")
    _elsewhere(tmp_path, age=processes.DEAD_AFTER * 2)
    assert not is_claimed(tmp_path, "row")
    with claimed(tmp_path, "row") as claim:
        assert claim is not None
        assert claim.generation == 1


def _look(folder, answers):
    if os.getuid() == 0:  # to whom nothing is read-only
        os.setgid(65534)
        os.setuid(65534)
    answers.put((os.access(folder, os.W_OK), is_claimed(folder, "row")))


@pytest.mark.parametrize(("age", "alive"), [(0.5, True), (2, False)])
def test_claims_of_another_machine_can_be_looked_at_in_a_folder_that_cannot_be_written(age, alive):
    with tempfile.TemporaryDirectory() as name:  # whose parents anyone may enter
        folder = Path(name)
        _elsewhere(folder, age=processes.DEAD_AFTER * age)
        folder.chmod(0o555)
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        child = context.Process(target=_look, args=(folder, answers))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert answers.get(timeout=5) == (False, alive)
        folder.chmod(0o755)


def test_a_paused_holder_notices_its_heir(tmp_path):
    with claimed(tmp_path, "row") as claim:
        (tmp_path / "row.1").write_text("another kernel")
        assert claim.is_lost()
    # What belongs to the heir stays.
    assert (tmp_path / "row.1").exists()


def test_names_that_begin_alike_do_not_meet(tmp_path):
    with claimed(tmp_path, "row"), claimed(tmp_path, "row.0") as claim:
        assert claim is not None
