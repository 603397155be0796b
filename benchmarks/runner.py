"""Train and measure what a request asks for, one network after the other, until all is there.

Several runners may share a folder: each takes what no living one has (`benchmarks.processes`). A
runner that is stopped or killed is continued by any other, from the last checkpoint.
"""

import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.folder import FINISHED, ResultsFolder, write_json
from benchmarks.jobs import Asked, Measurement, Training, Wanted
from benchmarks.processes import call, claimed
from benchmarks.scales import Protocol
from stylegan.configs import config_to_dict
from stylegan_eval.engine.files import is_held
from stylegan_eval.errors import UserError
from stylegan_eval.generators.loading import pick_device
from stylegan_eval.results.run_folder import TEXT_LOG

Say = Callable[[str], None]
_PATIENCE = 120.0


@dataclass(frozen=True, kw_only=True)
class Means:
    """With what a runner works."""

    data: Path  # Real images
    device: str = "auto"  # As `stylegan-train` names it
    classifiers: Path | None = None
    """Attribute classifiers; None where the request needs none, or there are none."""
    weights: tuple[str, ...] = ()  # Values of `stylegan-eval`'s ``--weights``


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training with all that is measured of it."""

    training: Training  # The network
    measurements: tuple[tuple[str, Measurement], ...]  # With the names of their tables


def jobs_of(cells: Sequence[Wanted], name_of: Callable[[Measurement], str]) -> list[Job]:
    """Trainings of a request, those of the first seed first, each once.

    Parameters
    ----------
    name_of : callable
        Name of a measurement's table; empty where it cannot be made.
    """
    gathered: dict[str, tuple[Training, dict[str, Measurement]]] = {}
    for cell in sorted(cells, key=lambda cell: cell.training.seed):
        _, measurements = gathered.setdefault(cell.training.name, (cell.training, {}))
        if name := name_of(cell.measurement):
            measurements[name] = cell.measurement
    return [
        Job(training=training, measurements=tuple(measurements.items()))
        for training, measurements in gathered.values()
    ]


def curve_metric(protocol: Protocol) -> str:
    """What a training measures on its way, by the name that `stylegan-train` knows."""
    return f"{'fid' if protocol.features == 'inception' else 'fd'}{protocol.curve_num}"


class Runner:
    """Works through jobs."""

    def __init__(self, folder: ResultsFolder, asked: Asked, means: Means, say: Say) -> None:
        self._folder, self._asked, self._means, self._say = folder, asked, means, say

    def work(self, jobs: Sequence[Job], *, force: bool) -> None:
        """Do every job that is not done and that no other runner has.

        What fails is written down and does not stop the others; it is tried again by the next
        runner.

        Parameters
        ----------
        jobs : sequence of Job
            In order.
        """
        for number, job in enumerate(jobs, 1):
            name = job.training.name
            title = f"[{number}/{len(jobs)}] {name}"
            if self._is_done(job) and not force:
                self._say(f"{title}: done")
                continue
            with claimed(self._folder.claims, name) as claim:
                if claim is None:
                    self._say(f"{title}: another runner has it")
                    continue
                # Another runner may have done it between the look and the claim.
                if force:
                    self._forget(job)
                elif self._is_done(job):
                    continue
                try:
                    self._do(job, title, lost=claim.is_lost)
                except UserError as error:  # of this job's files; the others may be well
                    self._folder.fail(name, reason=str(error))
                    self._say(f"{title}: failed: {error}")

    def _is_done(self, job: Job) -> bool:
        name = job.training.name
        return self._is_trained(name) and all(
            self._folder.measurement(name, measured).exists() for measured, _ in job.measurements
        )

    def _is_trained(self, name: str) -> bool:
        return (self._folder.training(name) / FINISHED).exists()

    def _forget(self, job: Job) -> None:
        name = job.training.name
        for path in (self._folder.training(name), self._folder.path / "measurements" / name):
            if path.exists():
                shutil.rmtree(path)

    def _do(self, job: Job, title: str, *, lost: Callable[[], bool]) -> None:
        name = job.training.name
        if not self._is_trained(name):
            self._say(f"{title}: training")
            if not self._train(job.training):
                self._say(f"{title}: failed: {self._folder.failure(name)}")
                return
        for measured, measurement in job.measurements:
            if lost():
                self._say(f"{title}: another runner took it over, for this one was paused")
                return
            if self._folder.measurement(name, measured).exists():
                continue
            self._say(f"{title}: measuring {measurement.kind} {' '.join(measurement.options)}")
            if not self._measure(name, measured, measurement):
                self._say(f"{title}: failed: {self._folder.failure(name, measured)}")

    def _train(self, training: Training) -> bool:
        folder = self._folder.training(training.name)
        _wait_until_free(folder / TEXT_LOG)
        config = folder / "config.json"
        write_json(config, config_to_dict(training.config))
        arguments = self.train_arguments(training, config, folder)
        if not self._call("stylegan.train", arguments, training.name):
            return False
        write_json(
            folder / FINISHED,
            {
                "machine": machine(self._means.device, self._asked),
                "command": " ".join(["stylegan-train", *arguments]),
            },
        )
        return True

    def train_arguments(self, training: Training, config: Path, folder: Path) -> list[str]:
        """Arguments of `stylegan-train`."""
        protocol = self._asked.scale.protocol
        arguments = ["--resume", "auto", "--config", str(config), "--data", str(self._means.data)]
        arguments += ["--seed", str(training.seed), "--out", str(folder), "--warmup", "0"]
        arguments += ["--precision", training.precision, "--device", self._means.device]
        arguments += ["--metrics", curve_metric(protocol)]
        arguments += ["--metrics-features", protocol.features]
        every = training.config.schedule.total_kimg / protocol.curve_points
        arguments += ["--metrics-every", f"{every:g}"]
        if self._asked.gpus > 1:
            arguments += ["--gpus", str(self._asked.gpus)]
        return arguments

    def _measure(self, training: str, name: str, measurement: Measurement) -> bool:
        path = self._folder.measurement(training, name)
        with _whole(path) as temporary:
            arguments = [measurement.kind, *measurement.options]
            arguments += ["--ckpt", str(self._folder.training(training))]
            arguments += ["--device", self._means.device, "--csv", str(temporary)]
            if measurement.kind in ("fid", "pr"):
                arguments += ["--data", str(self._means.data)]
            if measurement.needs_classifiers:
                arguments += ["--classifiers", str(self._means.classifiers)]
            else:
                arguments += [word for file in self._means.weights for word in ("--weights", file)]
            return self._call("stylegan_eval", arguments, training, name)

    def _call(self, module: str, arguments: Sequence[str], *names: str) -> bool:
        self._folder.forgive(*names)
        ended = call(module, arguments, self._folder.log(*names))
        if ended.status != 0:
            self._folder.fail(*names, reason=ended.reason)
        return ended.status == 0


def _wait_until_free(log: Path) -> None:
    """A runner that was killed leaves a training that saves before it goes."""
    until = time.monotonic() + _PATIENCE
    while is_held(log) and time.monotonic() < until:
        time.sleep(0.5)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name for a table, which becomes `path` if it was written."""
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    temporary.parent.mkdir(parents=True, exist_ok=True)
    temporary.unlink(missing_ok=True)  # of a runner that was killed
    yield temporary
    if temporary.exists():
        temporary.replace(path)


def machine(device: str, asked: Asked) -> str:
    """What a training ran on, in a few words."""
    where = pick_device(device)
    if where.type == "cuda":
        name = torch.cuda.get_device_name(where)
    else:
        threads = torch.get_num_threads()
        name = f"{_processor()}, {threads} thread{'' if threads == 1 else 's'}"
    together = f"{asked.gpus} x " if asked.gpus > 1 else ""
    return f"{together}{name}, {asked.precision}, PyTorch {torch.__version__}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
