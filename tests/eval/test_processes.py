"""Commands in several processes: how they end, and that none outlives its launcher."""

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from stylegan_eval.engine import processes
from stylegan_eval.errors import UserError
from tests import starting

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
# The head of a command that joins the others; its body follows.
WORK = """
import atexit, os, signal, sys, time
import click
from stylegan_eval.engine.command import ErrorLineGroup
from stylegan_eval.errors import UserError
from stylegan_eval.engine.processes import processes_from_environment

@click.group(cls=ErrorLineGroup)
def main(): pass

@main.command()
def work():
    processes = processes_from_environment()
"""
COMMAND = f"""{WORK}
    os.write(1, b"%d\\n" % os.getpid())  # in one piece: the processes share this pipe
    if "sleep" in sys.argv:
        time.sleep(600)
    processes.wait()
    if "fail" in sys.argv:
        raise UserError("no such file")

atexit.register(print, "the interpreter's own end")
main(["work"])
"""


def start(tmp_path, how):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    return starting.Popen(
        [*TORCHRUN, script, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
        nested=True,
    )


@pytest.mark.parametrize("how", ["succeed", "fail"])
def test_they_end_before_a_thread_of_gloo_can_abort_them(how, tmp_path):
    out, err = start(tmp_path, how).communicate()
    assert out.count("\n") == 2  # a number each, perhaps on one line
    assert ("error: no such file" in err) == ("exitcode  : 1 " in err) == (how == "fail")


def test_they_end_with_a_killed_launcher(tmp_path):
    launcher = start(tmp_path, "sleep")
    ranks = [int(launcher.stdout.readline()) for _ in range(2)]
    launcher.send_signal(signal.SIGKILL)
    launcher.communicate()  # until none holds the other end of its output
    for rank in ranks:
        while Path(f"/proc/{rank}").exists():
            time.sleep(0.01)


def test_a_launcher_that_ended_before_its_process_began_is_told_soon(monkeypatch):
    """A pod whose first machine comes later has ten minutes instead."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    named = {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "GROUP_RANK": 0, "MASTER_PORT": port}
    named |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_USE_AGENT_STORE": True}
    for key, value in named.items():
        monkeypatch.setenv(key, str(value))
    assert processes._to_meet() == timedelta(seconds=30)
    monkeypatch.setattr(processes, "_TO_FIND_LAUNCHER", timedelta(seconds=1))
    monkeypatch.setattr(processes, "end_with_parent", lambda: None)  # these are the tests' own
    with pytest.raises(UserError, match="the launcher has ended"):
        processes.processes_from_environment()
    for key, value in (("GROUP_RANK", "1"), ("TORCHELASTIC_USE_AGENT_STORE", "False")):
        monkeypatch.setenv(key, value)
        assert processes._to_meet() == timedelta(minutes=10)
