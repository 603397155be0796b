"""One attempt at a run: from a state to the end of the training, or until a signal comes."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor

from stylegan.checkpoint import (
    checkpoint_path,
    checkpoints_in,
    existing_checkpoint,
    save_checkpoint,
)
from stylegan.configs import Config
from stylegan.datasets.pyramid import Pyramid
from stylegan.datasets.reals import Reals, as_rows
from stylegan.grid import image_grid, save_png
from stylegan.provenance import Provenance
from stylegan.runtime import Runtime
from stylegan.training.cost import PhaseCost, micro_batches, phase_costs
from stylegan.training.describe import make_plan, summary
from stylegan.training.evaluate import Measurements, check_metrics
from stylegan.training.footprint import run_files, sheet_columns, snapshot_interval
from stylegan.training.hooks import Every, Progress, RunLog, SampleSheet, say
from stylegan.training.loop import Hook, train
from stylegan.training.monitor import Monitor
from stylegan.training.settings import RunSettings, write_settings
from stylegan.training.state import TrainState
from stylegan.training.tensorboard import TensorBoard, is_installed, open_tensorboard
from stylegan_eval.command import Terminated, handling
from stylegan_eval.errors import UserError
from stylegan_eval.files import held
from stylegan_eval.precision import computing_in
from stylegan_eval.sampling import latents

TEXT_LOG = "train.log"
_LABELS_KEPT = 4096


@dataclass(frozen=True, kw_only=True)
class _Reports:
    """What the first process tells of a run."""

    log: RunLog
    progress: Progress
    sheet: SampleSheet
    board: TensorBoard | None


class Attempt:
    """One process's part in a run.

    Parameters
    ----------
    config : Config
        What is trained.
    settings : RunSettings
        Where, how often, how.
    runtime : Runtime
        Device and processes.
    pyramid : Pyramid
        Real images.
    provenance : Provenance
        What checkpoints say of their making.
    """

    def __init__(
        self,
        config: Config,
        settings: RunSettings,
        runtime: Runtime,
        pyramid: Pyramid,
        provenance: Provenance,
    ) -> None:
        self._config, self._settings, self._runtime = config, settings, runtime
        self._pyramid, self._provenance = pyramid, provenance
        self._offset = (pyramid.resolution // config.resolution).bit_length() - 1
        self._asked = settings.metrics.asked()
        self._execution = settings.execution
        if settings.memory_limit is not None:
            table = micro_batches(
                config,
                settings.memory_limit,
                execution=settings.execution,
                world=runtime.world,
            )
            self._execution = replace(settings.execution, at_a_time=table)

    def train(self, state: TrainState) -> Path:
        """Train to the end, or until a signal comes to any process.

        Returns
        -------
        Path
            The last checkpoint.

        Raises
        ------
        UserError
            The folder is in use or cannot be written, or what is to be measured cannot be.
        CollapseError
            The training has diverged.
        SystemExit
            A signal came; the checkpoint is written.
        """
        settings, runtime = self._settings, self._runtime
        start, total = state.nimg, self._config.schedule.total_kimg
        interval = snapshot_interval(self._config, settings.snapshot_kimg)
        if runtime.is_first:
            check_metrics(self._asked, settings.data, self._config.resolution, runtime.device)
        stop = StopSignals()
        with ExitStack() as stack:
            reports = self._open_reports(stack, start) if runtime.is_first else None
            snapshots = _Snapshots(
                settings=settings,
                config=self._config,
                provenance=self._provenance,
                labels=self._labels(_LABELS_KEPT),
                monitor=self._monitor(state, reports),
                measurements=self._measurements(reports),
                reports=reports,
                runtime=runtime,
                stop=stop,
            )
            stack.enter_context(handling(stop))
            # Published numbers were made in float32; TF32 keeps 10 bits of the mantissa, not 23.
            stack.enter_context(computing_in(settings.execution.precision, runtime.device.type))
            snapshots.begin(state)
            hooks: list[Hook] = [] if reports is None else [reports.progress]
            hooks.append(snapshots.monitor)
            hooks.append(Every(interval, start, snapshots))
            train(
                state,
                self._reals(),
                self._config,
                seed=settings.seed,
                runtime=runtime,
                execution=self._execution,
                hooks=hooks,
                should_stop=lambda: stop.number is not None,
            )
            if not snapshots.end(state, finished=state.nimg >= total * 1000):
                number = stop.number or signal.SIGTERM  # another process was told
                snapshots.say_stopped(number)
                raise SystemExit(128 + number)
        return existing_checkpoint(settings.out, state.nimg)

    def _open_reports(self, stack: ExitStack, start: int) -> _Reports:
        out, settings = self._settings.out, self._settings
        stack.enter_context(held(out / TEXT_LOG))
        for left in out.glob(".*.tmp"):  # by a process that was killed as it wrote
            left.unlink()
        write_settings(self._config, settings)
        board = None
        if settings.tensorboard or (settings.tensorboard is None and is_installed()):
            board = open_tensorboard(out, start)
            stack.callback(board.close)
        log = RunLog(out, start, also=() if board is None else (board.row,))
        stack.enter_context(_errors_in(log))
        costs = self._foretell(log) if settings.warmup and start == 0 else self._costs()
        progress = Progress(log, self._config, costs, start)
        stack.callback(progress.close)
        stack.enter_context(_logging_to(progress.say))
        log.line(
            f"config {self._config.name}, seed {settings.seed}, {settings.execution.name},"
            f" {self._runtime.world} process(es), from kimg {start / 1000:.1f}"
        )
        return _Reports(log=log, progress=progress, sheet=self._sheet(), board=board)

    def _costs(self) -> list[PhaseCost]:
        return phase_costs(self._config, self._execution, self._runtime.world)

    def _foretell(self, log: RunLog) -> list[PhaseCost]:
        """Say what the training will take, and where it will write."""
        settings, config = self._settings, self._config
        plan = make_plan(config, self._execution, self._runtime, budget=settings.warmup)
        files = run_files(
            config,
            settings.out,
            snapshot_kimg=settings.snapshot_kimg,
            keep=settings.keep,
            keeps_best=bool(self._asked),
        )
        for line in summary(plan, files, settings.out):
            say(line)
            log.line(line)
        return [speed.cost for speed in plan.speeds]

    def _monitor(self, state: TrainState, reports: _Reports | None) -> Monitor:
        # Terms are the same in all processes: they stop together, and the first says why. What
        # stops a run is said as its error.
        warns = self._settings.on_collapse == "warn"
        return Monitor(
            state,
            loss=self._config.loss,
            schedule=self._config.schedule,
            folder=self._settings.out,
            on_collapse=self._settings.on_collapse,
            tell=reports.progress.say if warns and reports is not None else _silent,
        )

    def _measurements(self, reports: _Reports | None) -> Measurements:
        board = None if reports is None else reports.board
        return Measurements(
            folder=self._settings.out,
            data=self._settings.data,
            asked=self._asked,
            every=self._settings.metrics.metrics_every,
            device=self._runtime.device,
            tell=_silent if reports is None else reports.progress.say,
            also=() if board is None else (board.measured,),
        )

    def _reals(self) -> Reals:
        return Reals(
            self._pyramid,
            seed=self._settings.seed,
            mirror=self._config.mirror,
            offset=self._offset,
            labelled=self._config.network.label_size > 0,
        )

    def _sheet(self) -> SampleSheet:
        """Sheet of fakes, with one of reals to compare."""
        columns = sheet_columns(self._config)
        count = columns**2
        z = latents(self._settings.seed, range(count), self._config.network.z_dim)
        reals = np.array(self._pyramid.level(self._offset)[:count])
        save_png(self._settings.out / "reals.png", image_grid(reals, columns))
        device = self._runtime.device
        return SampleSheet(self._settings.out, z.to(device), columns, labels=self._labels(count))

    def _labels(self, count: int) -> Tensor | None:
        """Labels [min(count, N), label_size] of images at equal distances in the data set."""
        labels = self._pyramid.labels
        if self._config.network.label_size == 0 or labels is None:
            return None
        chosen = np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int)
        return torch.from_numpy(as_rows(labels[chosen], self._config.network.label_size))


def _silent(_text: str) -> None:
    """In processes that do not report."""


@contextmanager
def _logging_to(tell: Callable[[str], None]) -> Iterator[None]:
    """Hand on what goes wrong below and is made up for."""
    handler = logging.Handler()
    handler.emit = lambda record: tell(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("stylegan")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def _errors_in(log: RunLog) -> Iterator[None]:
    """Leave in the log what ended a run, for those who were not there."""
    try:
        yield
    except UserError as error:
        log.line(f"error: {error}")
        raise


class StopSignals:
    """Handler that notes a signal to stop, which the training asks for at its next look.

    A second Ctrl-C, a second later, interrupts as usual: a launcher or shell may send the first
    one twice. Other signals may come any number of times: Linux sends SIGTERM for each thread of
    a launcher that dies.
    """

    def __init__(self) -> None:
        self.number: int | None = None  # the first that came
        self.at_once = False  # leave by `Terminated`: all is saved
        self._time = 0.0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.number is None:
            self.number, self._time = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() > self._time + 1:
            raise KeyboardInterrupt
        if self.at_once:
            raise Terminated(self.number)


@dataclass(kw_only=True)
class _Snapshots:
    """Saves and measures: the first process writes, all watch and measure."""

    settings: RunSettings
    config: Config
    provenance: Provenance
    labels: Tensor | None
    monitor: Monitor
    measurements: Measurements
    reports: _Reports | None
    runtime: Runtime
    stop: StopSignals
    saved_nimg: int = -1

    def begin(self, state: TrainState) -> None:
        """Save fresh networks, which shows whether the folder can be written; or go on."""
        path = existing_checkpoint(self.settings.out, state.nimg)
        self.saved_nimg = state.nimg
        if self.reports is not None:
            self.measurements.restore(state.nimg)
        if state.nimg == 0:
            self._save(state, path)
        elif path.exists():
            self._measure(state, path, last=False)

    def __call__(self, state: TrainState) -> None:
        """Save and measure."""
        path = checkpoint_path(self.settings.out, state.nimg)
        self._save(state, path)
        self._measure(state, path, last=False)

    def end(self, state: TrainState, *, finished: bool) -> bool:
        """Save what is not, measure it when the training is over; whether nothing is left to do."""
        path = existing_checkpoint(self.settings.out, state.nimg)
        if state.nimg != self.saved_nimg:
            self._save(state, path)
        return finished and self._measure(state, path, last=True)

    def say_stopped(self, number: int) -> None:
        """Say what ended the run, and how it goes on."""
        if self.reports is not None:
            self.reports.progress.say(
                f"stopped by signal {number}; continue with --resume --out {self.settings.out}"
            )

    def _save(self, state: TrainState, path: Path) -> None:
        self.monitor.check(state)
        self.saved_nimg = state.nimg
        if self.reports is None:
            return
        with self.reports.progress.paused():
            sheet = self.reports.sheet(state)
            save_checkpoint(path, state, self.config, self.provenance, labels=self.labels)
        if self.reports.board is not None:
            self.reports.board.sheet(sheet, state.nimg)
        found = checkpoints_in(self.settings.out)
        found = found[: found.index(path) + 1]  # later ones are damaged, or of another attempt
        for old in found[: -self.settings.keep]:
            old.unlink()
        self.reports.log.line(f"wrote {path.name}")

    def _measure(self, state: TrainState, path: Path, *, last: bool) -> bool:
        """Measure what is due; whether it was done, or given up for a signal to stop."""
        if not self.measurements.asked:
            return True
        if self.runtime.any(said=self.stop.number is not None):
            return False
        with ExitStack() as stack:
            if self.reports is not None:
                stack.enter_context(self.reports.progress.paused())
            self.stop.at_once = True
            try:
                self.measurements(state, path, last=last)
            except Terminated as stopped:
                self.say_stopped(stopped.number)
                raise
            finally:
                self.stop.at_once = False
        return True
