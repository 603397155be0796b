"""Train and measure what a question asks for, one network after the other, until all is there.

Several runners may share a folder: each takes what no living one has (`benchmarks.processes`). A
runner that is stopped or killed is continued by any other, from the last checkpoint.
"""

import contextlib
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.folder import (
    FINISHED,
    GENERATOR,
    ResultsFolder,
    open_folder,
    place_of,
    write_json,
)
from benchmarks.jobs import Measurement, Question, Training, cells_of
from benchmarks.outcomes import objection, read_training, read_value
from benchmarks.processes import call, claimed
from benchmarks.scales import Protocol
from benchmarks.tables import TableLine
from stylegan.configs import config_to_dict
from stylegan.runtime import Runtime
from stylegan.training.batches import look_at
from stylegan.training.evaluate import check_reals
from stylegan.training.fit import check_fit
from stylegan.training.partition import Execution
from stylegan.training.schedule import final_nimg
from stylegan.training.settings import MetricSettings
from stylegan_eval.engine.command import tell
from stylegan_eval.engine.device import pick_device
from stylegan_eval.engine.files import is_held, locked, sha256_of
from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from stylegan_eval.results.run_folder import TEXT_LOG

Job = tuple[Training, Mapping[str, Measurement]]  # a training, and its measurements by name
_PATIENCE = 120.0
_POLL_SECONDS = 2.0
_NO_CLASSIFIERS = "no attribute classifiers: name a file with --classifiers"


def curve_metric(protocol: Protocol) -> str:
    """Name of the distance that a training measures along the way."""
    return f"{'fid' if protocol.features == 'inception' else 'fd'}{protocol.curve_num}"


def check_trainable(question: Question, lines: Sequence[TableLine], data: Path) -> None:
    """Refuse images, or a number of processes, that some row could not be trained with."""
    runtime = Runtime(torch.device("cpu"), Processes(world=question.gpus))
    protocol, reals = question.scale.protocol, look_at(data)
    metrics = MetricSettings(metrics=curve_metric(protocol), metrics_features=protocol.features)
    for network in dict.fromkeys(line.network for line in lines):
        config = question.config(network)
        Execution().check(config, runtime)
        check_fit(config, reals)
        check_reals(metrics.named(), data, config.resolution)


@dataclass(kw_only=True)
class Runner:
    """Works on a question in a folder of results."""

    question: Question
    data: Path  # Real images
    out: Path
    say: Callable[[str], None]
    device: str = "auto"
    classifiers: Path | None = None
    weights: tuple[str, ...] = ()  # Values of `stylegan-eval`'s ``--weights``
    folder: ResultsFolder = field(init=False)

    def run(self, lines: Sequence[TableLine], seeds: Sequence[int], *, force: bool) -> None:
        """Do all of the question that is not done and that no other runner has.

        What fails is written down and does not stop the rest; the next runner tries it again.
        """
        check_trainable(self.question, lines, self.data)
        jobs = self._prepare(lines, seeds)
        for number, (training, measurements) in enumerate(jobs, 1):
            name = training.name
            title = f"[{number}/{len(jobs)}] {name}"
            if not force and self._is_done(training, measurements):
                self.say(f"{title}: done")
                continue
            with claimed(self.folder.claims, name) as claim:
                if claim is None:
                    self.say(f"{title}: another runner has it")
                    continue
                # Another runner may have done it between the look and the claim.
                if force:
                    self._forget(name)
                elif self._is_done(training, measurements):
                    continue
                try:
                    self._do(training, measurements, title, lost=claim.is_lost)
                except UserError as error:  # of this job's files; the others may be well
                    self.folder.fail(name, reason=str(error))
                    self.say(f"{title}: failed: {error}")

    def _files(self) -> list[str]:
        """Options that name files for measurements, in the question's command line."""
        words = [] if self.classifiers is None else ["--classifiers", self.classifiers.name]
        for weights in self.weights:
            name, equals, path = weights.rpartition("=")
            words += ["--weights", f"{name}{equals}{Path(path).name}"]
        return words

    def _prepare(self, lines: Sequence[TableLine], seeds: Sequence[int]) -> list[Job]:
        """Write the question into its folder; its jobs, those of the first seed first."""
        with open_images(self.data) as files:
            digest, images = content_digest(files), f"{self.data.name}, {len(files):,d} images"
        self.folder = open_folder(self.out, digest, images)
        cells = cells_of(self.question, lines, seeds, digest)
        given, missing = self._files(), ""
        if self.classifiers is None and any(c.measurement.needs_classifiers for c in cells):
            missing = _NO_CLASSIFIERS
            if not self.question.scale.is_papers:
                try:
                    self.classifiers, missing = self._train_classifiers(), ""
                except UserError as error:
                    missing = str(error)
        digest = sha256_of(self.classifiers) if self.classifiers is not None else ""
        trees: list[dict[str, Any]] = []
        jobs: dict[str, tuple[Training, dict[str, Measurement]]] = {}
        for cell in cells:
            measurement = cell.measurement
            absent = missing if measurement.needs_classifiers else ""
            name = "" if absent else measurement.name(digest)
            trees.append(cell.tree(name, absent))
            _, measurements = jobs.setdefault(cell.training.name, (cell.training, {}))
            if name:
                measurements[name] = measurement
        self._keep(trees, given)
        return sorted(jobs.values(), key=lambda job: job[0].seed)

    def _train_classifiers(self) -> Path:
        """Attribute classifiers, trained on the data by the first runner that needs them."""
        path = self.folder.classifiers
        while not path.exists():
            with claimed(self.folder.claims, "classifiers") as claim:
                if claim is not None and not path.exists():
                    tell("training attribute classifiers")
                    arguments = ["classifiers", "train", "--data", str(self.data)]
                    arguments += ["--out", str(path), "--epochs", "8", "--skip-constant"]
                    arguments += ["--device", self.device]
                    log = self.folder.log("classifiers")
                    if reason := call("stylegan_eval", arguments, log):
                        raise UserError(f"no attribute classifiers: {reason}")
            if claim is None:
                time.sleep(_POLL_SECONDS)
        return path

    def _keep(self, cells: Iterable[dict[str, Any]], files: Sequence[str]) -> None:
        """Write the question down; other lines and seeds of an earlier one stay in it."""
        name, table = self.question.name, self.question.table
        with locked(self.folder.path / "bench.json"):
            before = [cell for tree in self.folder.requests(name) for cell in tree["cells"]]
            by_place = {place_of(cell): cell for cell in (*before, *cells)}
            lines = [line.key for line in table.lines]
            columns = [(q.metric, q.condition) for q in table.quantities]
            ordered = [
                by_place[place]
                for place in sorted(
                    by_place,
                    key=lambda place: (lines.index(place[0]), columns.index(place[1:3]), place[3]),
                )
            ]
            seeds = sorted({cell["seed"] for cell in ordered})
            rows = list(dict.fromkeys(cell["line"] for cell in ordered))
            network = table.lines[-1].network
            self.folder.write_request(
                name,
                {
                    "table": table.name,
                    "title": table.title,
                    "scale": self.question.scale.name,
                    "dataset": self.question.dataset,
                    "kimg": self.question.config(network).schedule.total_kimg,
                    "command": self.question.command(seeds, rows, files),
                    "cells": ordered,
                },
            )

    def _is_done(self, training: Training, measurements: Iterable[str]) -> bool:
        name = training.name
        files = (self.folder.measurement(name, measured) for measured in measurements)
        with contextlib.suppress(UserError):  # of a damaged file, which `_do` tells
            return (
                self._is_trained(name)
                and all(file.exists() for file in files)
                and not self._objection(training)
            )
        return False

    def _objection(self, training: Training) -> str:
        """Why the network or the measurements there are not the training's; empty if they are."""
        name = training.name
        path, end = self.folder.training(name), final_nimg(training.config) / 1000
        state = read_training(
            self.folder, name, {"network": training.network, "seed": training.seed}
        )
        if state.kimg > end:
            return (
                f"its training went on to {state.kimg:g} kimg, where the table's end at {end:g}:"
                f" delete {path} and {self.folder.path / 'measurements' / name}, and run again"
            )
        length = training.config.schedule.total_kimg
        rows = (read_value(table, "") for table in self.folder.measurements(name))
        reasons = (objection(self.folder, length, state, row) for row in rows)
        return next((reason for reason in reasons if reason), "")

    def _is_trained(self, name: str) -> bool:
        return (self.folder.training(name) / FINISHED).exists()

    def _forget(self, name: str) -> None:
        for path in (self.folder.training(name), self.folder.path / "measurements" / name):
            if path.exists():
                shutil.rmtree(path)

    def _do(
        self,
        training: Training,
        measurements: Mapping[str, Measurement],
        title: str,
        *,
        lost: Callable[[], bool],
    ) -> None:
        name = training.name
        if not self._is_trained(name):
            self.say(f"{title}: training")
            if not self._train(training):
                self.say(f"{title}: failed: {self.folder.failure(name)}")
                return
        if reason := self._objection(training):
            raise UserError(reason)
        self.folder.forgive(name)
        for measured, measurement in measurements.items():
            if lost():
                self.say(f"{title}: another runner took it over, for this one was paused")
                return
            if self.folder.measurement(name, measured).exists():
                continue
            self.say(f"{title}: measuring {measurement.kind} {' '.join(measurement.options)}")
            if not self._measure(name, measured, measurement):
                self.say(f"{title}: failed: {self.folder.failure(name, measured)}")

    def _train(self, training: Training) -> bool:
        folder = self.folder.training(training.name)
        _wait_until_free(folder / TEXT_LOG)
        config = folder / "config.json"
        write_json(config, config_to_dict(training.config))
        protocol = self.question.scale.protocol
        arguments = ["--resume", "auto", "--config", str(config), "--data", str(self.data)]
        arguments += ["--seed", str(training.seed), "--out", str(folder), "--warmup", "0"]
        arguments += ["--fixed-length"]
        arguments += ["--precision", training.precision, "--device", self.device]
        arguments += ["--metrics", curve_metric(protocol)]
        arguments += ["--metrics-features", protocol.features]
        every = training.config.schedule.total_kimg / protocol.curve_points
        arguments += ["--metrics-every", f"{every:g}"]
        if self.question.gpus > 1:
            arguments += ["--gpus", str(self.question.gpus)]
        if not self._call("stylegan.train", arguments, training.name):
            return False
        command = " ".join(["stylegan-train", *arguments])
        write_json(folder / FINISHED, {"machine": self._machine(), "command": command})
        return True

    def _measure(self, training: str, name: str, measurement: Measurement) -> bool:
        path = self.folder.measurement(training, name)
        with _whole(path) as temporary:
            arguments = [measurement.kind, *measurement.options]
            kept = self.folder.training(training) / GENERATOR
            arguments += ["--ckpt", str(kept if kept.exists() else kept.parent)]
            arguments += ["--device", self.device, "--csv", str(temporary)]
            if measurement.kind in ("fid", "pr"):
                arguments += ["--data", str(self.data)]
            if measurement.needs_classifiers:
                arguments += ["--classifiers", str(self.classifiers)]
            else:
                arguments += [word for file in self.weights for word in ("--weights", file)]
            return self._call("stylegan_eval", arguments, training, name)

    def _call(self, module: str, arguments: Sequence[str], *names: str) -> bool:
        self.folder.forgive(*names)
        if reason := call(module, arguments, self.folder.log(*names)):
            self.folder.fail(*names, reason=reason)
        return not reason

    def _machine(self) -> str:
        """Hardware, precision and PyTorch version of a training."""
        where = pick_device(self.device)
        if where.type == "cuda":
            name = torch.cuda.get_device_name(where)
        else:
            threads = torch.get_num_threads()
            name = f"{_processor()}, {threads} thread{'' if threads == 1 else 's'}"
        gpus = self.question.gpus
        together = f"{gpus} x " if gpus > 1 else ""
        return f"{together}{name}, {self.question.precision}, PyTorch {torch.__version__}"


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


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
