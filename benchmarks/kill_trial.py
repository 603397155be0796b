"""Trainings stopped and killed at random moments and continued, against one that never stopped.

``python -m benchmarks.kill_trial --kills 50 --processes 1``: a small configuration F that grows
through several resolutions is trained once undisturbed, then again and again stopped (SIGTERM,
SIGINT, SIGUSR1, SIGHUP) or killed (SIGKILL) and continued by ``--resume auto``. A signal comes to
the process that was started (a launcher, where several train), to all at once, to one of several,
or to one that reads images ahead. Every third waits for a checkpoint that is being written; the
others come at a random moment. After each, no process may be left, a training that was asked to
stop must have saved, and every checkpoint in the folder is read; at the end of each training all
weights, moments and counts, and all rows of the log and of the metrics, must equal the undisturbed
ones.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from stylegan.checkpoint import checkpoints_in, newest_checkpoint, read_checkpoint
from stylegan.configs import CONFIGS, config_text
from stylegan.datasets.archive import write_archive
from stylegan.presets import apply_preset, with_options
from stylegan_eval.engine.processes import PROCESS_ENDED
from stylegan_eval.results.run_folder import LOG, METRICS_FILE, read_rows

ROOT = Path(__file__).parents[1]
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGKILL)
# Of the rows: what is measured by the clock, and the folder of the training.
CLOCKED = {"img_per_s", "seconds", "peak_memory_mib", "date", "processes", "generator"}


@dataclass
class Trial:
    """A training to be killed, in `folder`."""

    folder: Path
    processes: int = 1
    workers: int = 0  # that read images ahead, in each process
    metrics: str = ""
    kimg: float = 1.6  # growth from 8x8 to 64x64 takes 1.2
    snapshot_kimg: float = 0.03
    device: str = "cpu"
    options: tuple[str, ...] = ()  # Others of `stylegan-train`
    seen: Counter[str] = field(default_factory=Counter)
    _left: list[tuple[signal.Signals, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.folder.resolve()  # for processes that work in another folder

    def command(self, out: Path, launcher: Sequence[str]) -> list[str]:
        """Command line that starts or continues the training in `out`."""
        return [sys.executable, *launcher, *self.arguments(out)]

    def arguments(self, out: Path) -> list[str]:
        """Arguments of `stylegan-train` that start or continue the training in `out`."""
        options = ["--config", str(self.config()), "--seed", "7", "--workers", str(self.workers)]
        options += ["--data", str(self.data()), "--cache", str(self.folder / "cache")]
        options += ["--snapshot-kimg", str(self.snapshot_kimg), "--device", self.device]
        options += ["--warmup", "0"]
        if self.metrics:
            options += ["--metrics", self.metrics, "--metrics-every", "0.4"]
            options += ["--metrics-features", "efficientnet-lite0"]
        return [*options, *self.options, "--resume", "auto", "--out", str(out)]

    def launchers(self) -> list[list[str]]:
        """Ways to start the training."""
        module = ["-m", "stylegan.train"]
        if self.processes == 1:
            return [module]
        several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        return [
            [*several, str(self.processes), *module],
            [*module, "--gpus", str(self.processes)],
        ]

    def config(self) -> Path:
        """F at 64x64, with a row of the log every 0.1 kimg."""
        path = self.folder / "config.json"
        if not path.exists():
            config = apply_preset(CONFIGS["F"], "tiny-16")
            config = with_options(config, resolution=64, total_kimg=self.kimg)
            schedule = replace(config.schedule, tick_kimg=tuple((8 << k, 0.1) for k in range(4)))
            path.write_text(config_text(replace(config, schedule=schedule)))
        return path

    def data(self) -> Path:
        """200 images of 64x64 of coarse noise."""
        path = self.folder / "noise64.zip"
        if not path.exists():
            coarse = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
            images = coarse.repeat(8, axis=1).repeat(8, axis=2)
            write_archive(path, ((image, None) for image in images))
        return path

    def start(self, out: Path, launcher: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start or continue, in a process group of its own."""
        threads = str(torch.get_num_threads())  # sums of other threads are rounded otherwise
        paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        environment = os.environ | {"OMP_NUM_THREADS": threads}
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, paths)))
        cache = self.folder / "cache"
        cache.mkdir(exist_ok=True)
        environment["STYLEGAN_CACHE"] = str(cache)
        with (self.folder / "stderr.txt").open("ab") as stderr:
            return subprocess.Popen(
                self.command(out, launcher),
                env=environment,
                cwd=cache,  # by which all its processes are found
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )

    def finish(self, out: Path) -> dict[str, Any]:
        """Train to the end without a kill; all that must be equal."""
        self._check(self.start(out, self.launchers()[0]))
        return everything_in(newest_checkpoint(out)) | rows_in(out)

    def kill_once(self, out: Path, rng: random.Random, *, while_writing: bool) -> bool:
        """Start or continue, then stop or kill; False when the training came to its end before."""
        logged = _size(out / "train.log")
        process = self.start(out, rng.choice(self.launchers()))
        trains = False
        if not while_writing and rng.random() < 0.2:
            time.sleep(rng.uniform(0, 4))  # perhaps before the first step
        else:
            trains = _until(process, lambda: _size(out / "train.log") > logged)
            time.sleep(rng.uniform(0, 1.0))
            if while_writing:
                _until(process, lambda: any(out.glob(".checkpoint-*.tmp")))
        if process.poll() is not None:
            self._check(process)
            return False
        number, target = self._kinds(rng)
        self._send(process.pid, number, target, rng)
        process.wait()
        self._wait_for_all(out)
        self.seen["kills"] += 1
        self.seen[f"{number.name} to {target}"] += 1
        self._look(out)
        if trains and number != signal.SIGKILL and not self._saved(out, logged):
            raise click.ClickException(f"{out}: not saved after {number.name} to {target}")
        return True

    def _kinds(self, rng: random.Random) -> tuple[signal.Signals, str]:
        """A signal and whom to send it to; every pair comes before one comes again."""
        targets = ["the process started", "all"]
        targets += ["one of several"] if self.processes > 1 else []
        targets += ["a worker"] if self.workers else []
        if not self._left:
            self._left = [(number, target) for number in SIGNALS for target in targets]
            rng.shuffle(self._left)
        return self._left.pop()

    def _send(self, pid: int, number: int, target: str, rng: random.Random) -> None:
        below = descendants(pid)
        processes = children_of(pid) if self.processes > 1 else [pid]
        if target == "all":
            victims = [pid, *below]
        elif target == "one of several" and processes:
            victims = [rng.choice(processes)]
        elif target == "a worker" and (workers := [w for p in processes for w in children_of(p)]):
            _send(number, [rng.choice(workers)])
            time.sleep(rng.uniform(0, 1.0))  # the training goes on, until
            number, victims = signal.SIGTERM, [pid]
        else:
            victims = [pid]
        _send(number, victims)

    def _wait_for_all(self, out: Path) -> None:
        """Wait until all processes of the training have ended, or fail after a minute."""
        end = time.monotonic() + 60
        while left := [pid for pid in _working_in(self.folder / "cache") if is_alive(pid)]:
            if time.monotonic() > end:
                raise click.ClickException(f"{out}: processes {left} are left")
            time.sleep(0.02)

    def _saved(self, out: Path, logged: int) -> bool:
        """Whether what a training wrote after so many bytes of the log says that nothing is lost.

        It saved, or came to its end. One of several may also be stopped in a measurement, right
        after a checkpoint, or before it trains: the others then say that a process has ended.
        """
        *lines, last = (out / "train.log").read_bytes()[logged:].decode().splitlines()
        if last.endswith(PROCESS_ENDED):
            progress = [line for line in lines if " img/s " in line or "wrote checkpoint" in line]
            return not progress or "wrote checkpoint" in progress[-1]
        nimg = read_checkpoint(newest_checkpoint(out)).nimg
        return "stopped by signal" in last or nimg >= self.kimg * 1000

    def _check(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait() != 0:
            raise click.ClickException((self.folder / "stderr.txt").read_text()[-2000:])

    def _look(self, out: Path) -> None:
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
        if checkpoints_in(out) and tree.lod % 1 > 0:
            self.seen["newest checkpoint in a fade"] += 1


def children_of(pid: int) -> list[int]:
    """Processes that a process has started."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _send(number: int, victims: Sequence[int]) -> None:
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _working_in(folder: Path) -> Iterator[int]:
    """Processes that were started in a folder, and what they have started."""
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if path.readlink() == folder:
                yield int(path.parent.name)


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that these have."""
    return [each for child in children_of(pid) for each in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def everything_in(path: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by its place, and the images shown."""
    tree = read_checkpoint(path)
    values = {"nimg": torch.tensor(tree.nimg), "lod": torch.tensor(tree.lod)}
    assert tree.resume is not None
    branches: list[tuple[str, Mapping[str, Any]]] = [
        ("networks", tree.networks),
        ("optimizers", tree.resume.optimizers),
    ]
    while branches:
        place, branch = branches.pop()
        for key, value in branch.items():
            if isinstance(value, Tensor):
                values[f"{place}/{key}"] = value
            else:
                branches.append((f"{place}/{key}", value))
    return values


def rows_in(out: Path) -> dict[str, Any]:
    """Rows of the log and of the metrics by their place, without what a clock says."""
    return {
        f"{name} {place}": {key: row[key] for key in row.keys() - CLOCKED}
        for name in (LOG, METRICS_FILE)
        for place, row in enumerate(read_rows(out / name)[0])
    }


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
@click.option("--workers", type=click.IntRange(min=0), default=0, help="That read images ahead.")
@click.option("--seed", default=0, help="Of the moments.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: a temporary one]")
def main(kills: int, processes: int, workers: int, seed: int, out: Path | None) -> None:
    """Kill trainings and continue them; exit with 1 if a bit differs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    with tempfile.TemporaryDirectory() as temporary:
        trial = Trial(out or Path(temporary), processes, workers, "fd40,pr40")
        trial.folder.mkdir(parents=True, exist_ok=True)
        click.echo(f"{processes} process(es), {trial.kimg} kimg; first without a kill")
        differing = killed_and_compared(trial, kills, random.Random(seed))
    for name, count in sorted(trial.seen.items()):
        click.echo(f"{count:6d}  {name}")
    click.echo(f"{differing:6d}  tensors or rows that differ")
    sys.exit(1 if differing else 0)


def killed_and_compared(trial: Trial, kills: int, rng: random.Random) -> int:
    """Kill `kills` times in as many trainings as it takes; count tensors and rows that differ."""
    expected = trial.finish(trial.folder / "whole")
    differing, run = 0, 0
    while trial.seen["kills"] < kills:
        run += 1
        out = trial.folder / f"killed-{run}"
        while trial.seen["kills"] < kills:
            if not trial.kill_once(out, rng, while_writing=trial.seen["kills"] % 3 == 2):
                break
        reached = trial.finish(out)
        trial.seen["trainings compared"] += 1
        for place in expected.keys() | reached.keys():
            one, other = expected.get(place), reached.get(place)
            if isinstance(one, Tensor) and isinstance(other, Tensor):
                trial.seen["tensors compared"] += 1
                equal = torch.equal(one, other)
            else:
                trial.seen["rows compared"] += 1
                equal = one == other
            if not equal:
                click.echo(f"{out}: {place} differs: {one!s:.300} and {other!s:.300}", err=True)
                differing += 1
    return differing


if __name__ == "__main__":
    main()
