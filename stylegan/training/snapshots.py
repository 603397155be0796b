"""Write, measure and prune the checkpoints of a run."""

import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from torch import Tensor

from stylegan.checkpoint import (
    checkpoint_path,
    checkpoints_in,
    existing_checkpoint,
    save_checkpoint,
)
from stylegan.configs import Config
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.evaluate import Measurements
from stylegan.training.hooks import Board, Progress, RunLog, SampleSheet
from stylegan.training.loop import Terms
from stylegan.training.monitor import Monitor
from stylegan.training.schedule import TrainingPoint
from stylegan.training.settings import RunSettings
from stylegan.training.state import TrainState
from stylegan_eval.engine.command import Terminated
from stylegan_eval.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Reports:
    """Outputs of the first process."""

    log: RunLog
    progress: Progress
    sheet: SampleSheet
    boards: Sequence[Board]


class StopSignals:
    """Handler that records a signal to stop, checked once per schedule update.

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
class Snapshots:
    """Saves and measures: the first process writes, all monitor and measure."""

    settings: RunSettings
    config: Config
    provenance: Provenance
    labels: Tensor | None
    label_names: tuple[str, ...]
    monitor: Monitor
    measurements: Measurements
    reports: Reports | None
    runtime: Runtime
    stop: StopSignals
    saved_nimg: int = -1
    saved_time: float = 0.0  # training since then would be lost
    looked_time: float = 0.0
    passing: Path | None = None  # saved between snapshots

    def begin(self, state: TrainState) -> None:
        """Save fresh networks, which shows whether the folder can be written; or go on."""
        path = existing_checkpoint(self.settings.out, state.nimg)
        self.saved_nimg = state.nimg
        if self.reports is not None:
            self.measurements.restore(state.nimg)
        if state.nimg == 0:
            self._save(state, path)
        elif path.exists() and state.nimg == state.snapshot_nimg:
            self._measure(state, path, last=False)
        elif path.exists():  # by time or a signal, before this process
            self.passing = path
        self.saved_time = self.looked_time = time.monotonic()

    def __call__(self, state: TrainState) -> None:
        """Save and measure."""
        path = checkpoint_path(self.settings.out, state.nimg)
        state.snapshot_nimg = state.nimg
        self._save(state, path)
        self._measure(state, path, last=False)
        self.saved_time = self.looked_time = time.monotonic()

    def by_time(self, state: TrainState, _point: TrainingPoint, _terms: Terms) -> None:
        """Save if the next schedule update might end too late. Called in the first process alone.

        Nothing but this file tells of it: no sheet, no measurement, no other checkpoint goes.
        """
        assert self.reports is not None
        now = time.monotonic()
        look, self.looked_time = now - self.looked_time, now
        due = now + look - self.saved_time >= 60 * self.settings.snapshot_minutes
        if not due or state.nimg == self.saved_nimg:
            return
        # The monitor will say so at the end of the tick, in all processes.
        if not self.monitor.reported and self.monitor.signs(state):
            return
        path = checkpoint_path(self.settings.out, state.nimg)
        new = not path.exists()
        with self.reports.progress.paused():
            try:
                self._write(state, path)
            except UserError as error:
                self.reports.progress.say(f"no checkpoint by time: {error}")
            else:
                self._forget_passing(path)
                self.passing = path if new else None
        self.saved_time = self.looked_time = time.monotonic()

    def _forget_passing(self, path: Path) -> None:
        """Remove the checkpoint saved between snapshots, now that a later one is there."""
        if self.passing is not None and self.passing != path:
            self.passing.unlink(missing_ok=True)
        self.passing = None

    def end(self, state: TrainState, *, finished: bool) -> bool:
        """Save, and measure at the end of the training; whether nothing is left to do."""
        path = existing_checkpoint(self.settings.out, state.nimg)
        if state.nimg != self.saved_nimg:
            state.snapshot_nimg = state.nimg if finished else state.snapshot_nimg
            self._save(state, path)
        return finished and self._measure(state, path, last=True)

    def say_stopped(self, number: int) -> None:
        """Report what ended the run, and how to continue it."""
        if self.reports is not None:
            self.reports.progress.say(
                f"stopped by signal {number}; continue with --resume --out {self.settings.out}"
            )

    def _write(self, state: TrainState, path: Path) -> None:
        content = state.snapshot(self.config, self.provenance, self.labels, self.label_names)
        save_checkpoint(path, content)

    def _save(self, state: TrainState, path: Path) -> None:
        self.monitor.check(state)
        self.saved_nimg = state.nimg
        if self.reports is None:
            return
        with self.reports.progress.paused():
            sheet = self.reports.sheet(state)
            self._write(state, path)
        for board in self.reports.boards:
            board.sheet(sheet, state.nimg)
        self._forget_passing(path)
        saved = checkpoints_in(self.settings.out)
        saved = saved[: saved.index(path) + 1]  # later ones are damaged, or of another attempt
        for old in saved[: -self.settings.keep]:
            old.unlink()
        self.reports.log.line(f"wrote {path.name}")

    def _measure(self, state: TrainState, path: Path, *, last: bool) -> bool:
        """Measure what is due; False if a signal to stop prevented it."""
        if not self.measurements.metrics:
            return True
        if self.runtime.any(here=self.stop.number is not None):
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
