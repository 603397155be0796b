"""Who has stopped is found by those who wait: by a clock of our own, and by real processes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist

from stylegan_eval.engine.heartbeat import PATIENCE, Heartbeat, Watch, patience
from stylegan_eval.errors import ProcessEndedError, UserError
from tests import starting
from tests.eval.test_processes import WORK


@pytest.fixture
def group():
    """Heartbeats of three processes that share a store."""
    store = dist.HashStore()
    beats = [Heartbeat(store, rank, 3, patience=60.0) for rank in range(3)]
    for beat in beats:
        beat.send()
    return beats


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def watched(group, seconds, *, beating, for_step=60.0):
    """What process 0 says after so many seconds in which these processes beat."""
    clock = Clock()
    watch = Watch(group[0], for_step, clock)
    group[0].read()
    for _ in range(int(seconds / 10)):
        watch.look()
        clock.now += 10.0
        for rank in beating:
            group[rank].send()
        group[0].read()
    try:
        watch.look()
    except ProcessEndedError as error:
        return str(error)
    return ""


def test_who_falls_silent_is_named(group):
    host = socket.gethostname()
    with group[2].doing("fid: img 5 to 9"):
        group[2].send()
        assert watched(group, 60, beating=[1]) == ""
        told = watched(group, 70, beating=[1])
    assert told.startswith(f"process 2 on {host} (fid: img 5 to 9) was last heard at ")
    assert "more than 60 s ago: end it and start the command again" in told


def test_who_works_for_long_only_has_to_live(group):
    with group[1].doing("fid: img 5 to 9"):
        assert watched(group, 3600, beating=[1, 2]) == ""


def test_who_lives_but_takes_no_step_is_named(group):
    with group[1].doing("kimg 3.1", step=True):
        assert watched(group, 60, beating=[1, 2]) == ""
        told = watched(group, 70, beating=[1, 2])
        assert "process 1 on " in told
        assert "lives, but has been at one step (kimg 3.1) for more than 60 s" in told
        # Where this process's own step took a minute, ten are allowed.
        assert watched(group, 600, beating=[1, 2], for_step=600.0) == ""
        # Who waits for another one is not at fault.
        with group[1].waiting():
            assert watched(group, 70, beating=[1, 2]) == ""


def test_steps_that_follow_one_another_are_none_that_hangs(group):
    clock = Clock()
    watch = Watch(group[0], 60.0, clock)
    for _ in range(20):
        clock.now += 30.0
        with group[1].doing("kimg 3.1", step=True):
            group[1].send()
            group[2].send()
            group[0].read()
            watch.look()


def test_all_that_wait_for_each_other_blame_the_network(group):
    with group[1].waiting(), group[2].waiting():
        told = watched(group, 80, beating=[1, 2])
    assert "all processes have waited for each other for more than 60 s" in told


def test_a_slow_step_allows_the_others_ten_times_as_long(group):
    own = group[0]
    with own.doing("kimg 3.1", step=True):
        own._begun -= 100.0
        with own.waiting() as watch:
            assert watch._for_step == pytest.approx(1000, rel=0.01)
    with own.waiting() as watch:
        assert watch._for_step == 60.0  # the patience, as this step took no time


@pytest.mark.parametrize("given", ["soon", "0", "-1", "inf", "nan"])
def test_a_patience_that_is_none_is_refused(given, monkeypatch):
    monkeypatch.setenv(PATIENCE, given)
    with pytest.raises(UserError, match=r"STYLEGAN_PATIENCE is .*, expected seconds, such as 600"):
        patience()


COMMAND = f"""{WORK}
    if processes.rank == 1:
        time.sleep(2)  # twice the patience, and alive
    assert processes.of_all(processes.rank) == [0, 1]
    print("met", flush=True)
    if processes.rank == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGSTOP)
    processes.wait()

main(["work"])
"""


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_slow_process_is_waited_for_and_a_stopped_one_is_not(stopped, tmp_path):
    """Without a launcher: process 0 keeps the store, so that with it the store stands still."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        starting.Popen(
            [sys.executable, script, str(stopped)],
            env=os.environ
            | {"PYTHONPATH": str(Path(__file__).parents[2]), PATIENCE: "1"}
            | group
            | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    out, err = ranks[1 - stopped].communicate()
    ranks[stopped].send_signal(signal.SIGKILL)
    assert ranks[stopped].communicate()[0] == out == "met\n"
    assert ranks[1 - stopped].returncode == 1
    assert err.count("\n") == 1
    named = f"error: process {stopped} on {socket.gethostname()} (begins) was last heard at "
    assert err.startswith(named), err
