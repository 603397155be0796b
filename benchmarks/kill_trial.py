"""Trainings killed at random moments and continued, against one that never stopped.

``python -m benchmarks.kill_trial --kills 50 --processes 1``: a small configuration F that grows
through several resolutions is trained once undisturbed, then again and again killed (SIGKILL, to
all processes or to one of several) and continued by ``--resume auto``. Every third kill waits for
a checkpoint that is being written; the others come at a random moment. After each kill every
checkpoint in the folder is read; at the end of each training all weights, moments and counts must
equal the undisturbed ones bit for bit.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from stylegan.checkpoint import checkpoints_in, newest_checkpoint, read_checkpoint
from stylegan.datasets.archive import write_archive


@dataclass
class Trial:
    """A training to be killed.

    Attributes
    ----------
    folder : Path
        Where data and runs go.
    processes : int
        Processes that train together.
    kimg : float
        Length; growth from 8x8 to 64x64 takes 1.2 kimg.
    snapshot_kimg : float
        Between checkpoints.
    seen : Counter
        What the kills met.
    """

    folder: Path
    processes: int = 1
    kimg: float = 1.6
    snapshot_kimg: float = 0.03
    seen: Counter[str] = field(default_factory=Counter)

    def command(self, out: Path) -> list[str]:
        """Command line that starts or continues the training in `out`."""
        several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        launcher = [*several, str(self.processes)] if self.processes > 1 else []
        options = ["--config", "F", "--preset", "tiny-16", "--resolution", "64", "--seed", "7"]
        options += ["--data", str(self.data()), "--cache", str(self.folder / "cache")]
        options += ["--kimg", str(self.kimg), "--snapshot-kimg", str(self.snapshot_kimg)]
        options += ["--device", "cpu", "--warmup", "0", "--resume", "auto", "--out", str(out)]
        return [sys.executable, *launcher, "-m", "stylegan.train", *options]

    def data(self) -> Path:
        """200 images of 64x64 of coarse noise."""
        path = self.folder / "noise64.zip"
        if not path.exists():
            coarse = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
            images = coarse.repeat(8, axis=1).repeat(8, axis=2)
            write_archive(path, ((image, None) for image in images))
        return path

    def start(self, out: Path) -> subprocess.Popen[bytes]:
        """Start or continue, in a process group of its own."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with (self.folder / "stderr.txt").open("ab") as stderr:
            return subprocess.Popen(
                self.command(out),
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )

    def finish(self, out: Path) -> dict[str, Tensor]:
        """Train to the end without a kill; everything that the last checkpoint holds."""
        self._check(self.start(out))
        return everything_in(newest_checkpoint(out))

    def kill_once(self, out: Path, rng: random.Random, *, while_writing: bool) -> bool:
        """Start or continue, then kill; False when the training came to its end before.

        Raises
        ------
        UserError
            A checkpoint cannot be read.
        """
        logged = _size(out / "train.log")
        process = self.start(out)
        early = not while_writing and rng.random() < 0.2
        if early:
            time.sleep(rng.uniform(0, 4))  # perhaps before the first step
        elif _until(process, lambda: _size(out / "train.log") != logged):  # it trains
            time.sleep(rng.uniform(0, 1.0))
            if while_writing:
                _until(process, lambda: any(out.glob(".checkpoint-*.tmp")))
        if process.poll() is not None:
            self._check(process)
            return False
        self._kill(process, rng)
        self._look(out)
        return True

    def _kill(self, process: subprocess.Popen[bytes], rng: random.Random) -> None:
        """SIGKILL to all processes, or to one of several: then the launcher ends the others."""
        below = descendants(process.pid)
        if below and rng.random() < 0.5:
            self.seen["one of several processes"] += 1
            victims = [rng.choice(below)]
        else:
            victims = [process.pid, *below]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        while any(is_alive(pid) for pid in below):
            time.sleep(0.01)

    def _check(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait() != 0:
            raise click.ClickException((self.folder / "stderr.txt").read_text()[-2000:])

    def _look(self, out: Path) -> None:
        self.seen["kills"] += 1
        if not out.is_dir():
            self.seen["before the folder was made"] += 1
            return
        if any(out.glob(".checkpoint-*.tmp")):
            self.seen["while a checkpoint was written"] += 1
        elif any(out.glob(".*.tmp")):
            self.seen["while another file was written"] += 1
        for path in checkpoints_in(out):
            tree = read_checkpoint(path)
            self.seen["checkpoints read"] += 1
        if checkpoints_in(out) and tree["lod"] % 1 > 0:
            self.seen["newest checkpoint in a fade"] += 1


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def everything_in(path: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by its place, and the images shown."""
    tree = read_checkpoint(path)
    found = {"nimg": torch.tensor(tree["nimg"]), "lod": torch.tensor(tree["lod"])}
    branches = [(key, tree[key]) for key in ("networks", "optimizers")]
    while branches:
        place, branch = branches.pop()
        for key, value in branch.items():
            if isinstance(value, Tensor):
                found[f"{place}/{key}"] = value
            else:
                branches.append((f"{place}/{key}", value))
    return found


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _until(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> bool:
    """Wait until `condition` holds; False when the process ended before."""
    while not condition():
        if process.poll() is not None:
            return False
        time.sleep(0.0005)
    return True


@click.command(context_settings={"show_default": True})
@click.option("--kills", type=click.IntRange(min=1), default=50, help="How many.")
@click.option("--processes", type=click.IntRange(min=1), default=1, help="In each training.")
@click.option("--seed", default=0, help="Of the moments.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: a temporary one]")
def main(kills: int, processes: int, seed: int, out: Path | None) -> None:
    """Kill trainings and continue them; exit with 1 if a bit differs."""
    with tempfile.TemporaryDirectory() as temporary:
        trial = Trial(out or Path(temporary), processes)
        trial.folder.mkdir(parents=True, exist_ok=True)
        click.echo(f"{processes} process(es), {trial.kimg} kimg; first without a kill")
        differing = killed_and_compared(trial, kills, random.Random(seed))
    for name, count in trial.seen.items():
        click.echo(f"{count:6d}  {name}")
    click.echo(f"{differing:6d}  tensors that differ")
    sys.exit(1 if differing else 0)


def killed_and_compared(trial: Trial, kills: int, rng: random.Random) -> int:
    """Kill `kills` times in as many trainings as it takes; count the tensors that differ."""
    expected = trial.finish(trial.folder / "whole")
    differing, run = 0, 0
    while trial.seen["kills"] < kills:
        run += 1
        out = trial.folder / f"killed-{run}"
        while trial.seen["kills"] < kills:
            if not trial.kill_once(out, rng, while_writing=trial.seen["kills"] % 3 == 2):
                break
        found = trial.finish(out)
        assert found.keys() == expected.keys()
        trial.seen["trainings compared"] += 1
        trial.seen["tensors compared"] += len(found)
        differing += sum(not torch.equal(found[key], value) for key, value in expected.items())
    return differing


if __name__ == "__main__":
    main()
