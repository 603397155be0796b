"""Slurm's part in a batch script, played by real processes on one machine.

A node is a loopback address in a network namespace and a host name of its own. `srun` starts the
tasks there with the variables of Slurm, sends signals on to them, and ends with the highest of
their statuses; `scontrol show hostnames` and `scontrol requeue` do what their manual says.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# Name resolution by a file, so that nodes find each other by name.
START = """
ip link set lo up
mount --bind {folder}/hosts /etc/hosts
exec {command}
"""
SRUN = f"""#!{sys.executable}
import runpy
runpy.run_path({__file__!r}, run_name="srun")
"""
SCONTROL = """#!/bin/sh
case "$1 $2" in
    "show hostnames") echo "$3" | tr , '\\n' ;;
    requeue*) echo "$2" >> {folder}/requeued ;;
    *) exit 2 ;;
esac
"""


class Queue:
    """A queue that runs a batch script on nodes."""

    def __init__(self, folder: Path, nodes: Sequence[str] = ("node1",)) -> None:
        self.folder, self.nodes = folder, nodes
        hosts = [f"127.0.0.{k} {name}\n" for k, name in enumerate(self.nodes, 1)]
        (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(hosts))
        tools = folder / "tools"
        tools.mkdir()
        scontrol = SCONTROL.format(folder=folder)
        for name, text in (("srun", SRUN), ("scontrol", scontrol)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)

    def start(
        self, script: str, arguments: Sequence[str], variables: Mapping[str, str]
    ) -> "subprocess.Popen[str]":
        """Run a batch script on the first node, as `sbatch` has it run."""
        path = self.folder / "script"
        path.write_text(script)
        tools = f"{self.folder / 'tools'}:{Path(sys.executable).parent}"
        environment = os.environ | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "SLURM_JOB_ID": "77",
            "SLURM_JOB_NODELIST": ",".join(self.nodes),
            "SLURM_NNODES": str(len(self.nodes)),
            "SLURM_GPUS_ON_NODE": "1",
            "SLURM_CPUS_PER_TASK": "1",
            **variables,
        }
        command = shlex.join(["bash", str(path), *arguments])
        words = ["unshare", "--net", "--mount", "--uts", "sh", "-euc"]
        return subprocess.Popen(
            [*words, START.format(folder=self.folder, command=command)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def requeued(self) -> list[str]:
        """Jobs that asked to be queued again."""
        path = self.folder / "requeued"
        return path.read_text().split() if path.exists() else []


def signal_before_end(script: str) -> tuple[str, bool]:
    """Signal that a script asks for before its time ends; whether for itself, not its steps."""
    (wanted,) = re.findall(r"^#SBATCH .*--signal=(B:)?(\w+)@\d+", script, flags=re.MULTILINE)
    return wanted[1], wanted[0] == "B:"


def _srun() -> int:
    nodes = os.environ["SLURM_JOB_NODELIST"].split(",")
    tasks = [
        subprocess.Popen(
            ["unshare", "--uts", "sh", "-ec", 'hostname "$0"; exec "$@"', node, *sys.argv[1:]],
            env=os.environ | {"SLURM_PROCID": str(k), "SLURM_NODEID": str(k), "SLURM_LOCALID": "0"},
        )
        for k, node in enumerate(nodes)
    ]

    def pass_on(number: int, _frame: object) -> None:
        for task in tasks:
            task.send_signal(number)

    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, pass_on)
    return max(status if status >= 0 else 128 - status for status in (t.wait() for t in tasks))


if __name__ == "srun":
    sys.exit(_srun())
