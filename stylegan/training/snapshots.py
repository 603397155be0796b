"""Checkpoints of a run: none of a collapsed training; written, measured and pruned."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch
from torch import Tensor

from stylegan.checkpoint import (
    checkpoint_path,
    checkpoints_in,
    existing_checkpoint,
    save_checkpoint,
)
from stylegan.configs import Config, LossConfig, ScheduleConfig
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.evaluate import Measurements
from stylegan.training.hooks import Board, Progress, SampleSheet
from stylegan.training.loop import Terms
from stylegan.training.schedule import TrainingPoint
from stylegan.training.settings import OnCollapse, RunSettings
from stylegan.training.state import TrainState
from stylegan_eval.engine.command import Terminated
from stylegan_eval.errors import UserError

# Schedule updates that are kept: 64 steps of the published schedule.
_KEPT = 16
# One step of 8-bit images in [-1, 1]: images that differ by less are one image.
LEAST_SPREAD = 2 / 255
# An untrained G maps all z to nearly one image: low diversity is a sign of collapse only after it
# has been higher.
_ARMED = 4 * LEAST_SPREAD


class CollapseError(UserError):
    """A training that will not recover; the message says what was seen and what to do."""


def score_limit(loss: LossConfig) -> float:
    """Absolute mean score of D beyond which no training recovers.

    Logistic loss: in float32, softplus is flat from a score of about 17 on, so nothing in the loss
    drives scores further; healthy trainings stay below 100. WGAN-GP: the drift costs more than a
    score gains from 1 / drift on (1000 as published). A factor of 10 or more stands between either
    and the limit.
    """
    if loss.kind == "wgan-gp":
        return 10 / max(loss.drift, 1e-3)
    return 1000.0


class Look(NamedTuple):
    """Measurements at one schedule update."""

    broken: float  # 1 where a loss, score or penalty was infinite or not a number, otherwise 0
    score: float  # Larger mean score of D, of real or of generated images, without sign
    spread: float  # Mean over pixels of the standard deviation over a minibatch of generated images
    skipped_G: float
    skipped_D: float
    """skipped_G, skipped_D: Steps of either network that were left out because a gradient was not
    finite."""


def signs_of_collapse(
    looks: Sequence[Look], *, limit: float, best_spread: float, steps: int
) -> Iterator[str]:
    """Signs of collapse in the latest schedule updates, oldest first; none for a healthy training.

    `best_spread` is the largest spread so far, `steps` lie between two of `looks`.
    """
    if not looks:
        return
    if looks[-1].broken:
        yield "a loss, score or penalty is not a finite number"
    score = min(look.score for look in looks[-2:])  # one look alone may be a spike
    if score > limit:
        yield f"the scores of D reached {score:.1e} (limit {limit:.0e})"
    for name in ("G", "D"):
        skipped = sum(look.skipped_G if name == "G" else look.skipped_D for look in looks)
        if skipped > len(looks) * steps / 2:
            yield (
                f"{skipped:.0f} of the last {len(looks) * steps} steps of {name} had gradients that"
                " are not finite"
            )
    if len(looks) >= _KEPT and best_spread > _ARMED:
        spread = max(look.spread for look in looks)
        if spread < LEAST_SPREAD:
            yield f"G draws one image for every z (they differ by {spread:.1e}, range [-1, 1])"


class Monitor:
    """Hook that records signs of collapse without waiting for the device, and checks them at ticks.

    `on_collapse` is to raise `CollapseError`, which names the newest checkpoint of `folder` as the
    last good one, or to say it once and go on. `tell` takes the message, once, before the error is
    raised.
    """

    def __init__(
        self,
        state: TrainState,
        *,
        loss: LossConfig,
        schedule: ScheduleConfig,
        folder: Path,
        on_collapse: OnCollapse = "stop",
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        device = state.G.w_avg.device
        self.limit = score_limit(loss)
        self.steps = schedule.minibatch_repeats
        self.folder = folder
        self.on_collapse = on_collapse
        self.tell = tell
        self.reported = False
        self.looks = 0
        self.tick_nimg = state.nimg
        self.kept = torch.zeros(_KEPT, len(Look._fields), device=device)
        self.best_spread = torch.zeros((), device=device)
        self.skipped = _skipped(state, device)

    def __call__(self, state: TrainState, point: TrainingPoint, terms: Terms) -> None:
        """Record one schedule update; `check` at the end of a tick."""
        # Norms of gradients are left to the count of skipped steps, which is theirs.
        judged = [term for key, term in terms.items() if key.startswith(("loss", "score", "r1"))]
        judged += [terms[key] for key in ("gp",) if key in terms]
        broken = ~torch.stack(judged).isfinite().all()
        score = torch.maximum(terms["score_real"].abs(), terms["score_fake"].abs())
        spread = terms.get("fake_spread", self.best_spread)
        skipped = _skipped(state, score.device)
        noted = torch.stack([broken.float(), score.float(), spread.float()])
        self.kept[self.looks % _KEPT] = torch.cat([noted, skipped - self.skipped])
        self.best_spread = torch.fmax(self.best_spread, spread.float())
        self.skipped = skipped
        self.looks += 1
        if state.nimg - self.tick_nimg >= point.tick_kimg * 1000:
            self.tick_nimg = state.nimg
            self.check(state)

    def check(self, state: TrainState) -> None:
        """Raise CollapseError where training has collapsed; called before a save."""
        signs = [] if self.reported else self.signs(state)
        if not signs:
            return
        self.reported = True
        text = f"training collapsed at kimg {state.nimg / 1000:.1f}: {'; '.join(signs)}"
        saved = checkpoints_in(self.folder) if self.folder.is_dir() else []
        good = f"last good checkpoint: {saved[-1].name}" if saved else "no checkpoint before it"
        text = f"{text}; {good}"
        if self.on_collapse == "warn":
            self.tell(text)
            return
        text += (
            "; train with a lower learning rate or in full precision, or go on regardless with"
            " --on-collapse warn"
        )
        self.tell(text)
        raise CollapseError(text)

    def signs(self, state: TrainState) -> list[str]:
        """Signs of collapse so far, in words."""
        signs = list(
            signs_of_collapse(
                self._latest(),
                limit=self.limit,
                best_spread=self.best_spread.item(),
                steps=self.steps,
            )
        )
        signs += [
            f"weights of {name} are not finite"
            for name, network in state.networks.items()
            if not torch.stack([p.isfinite().all() for p in network.parameters()]).all()
        ]
        return signs

    def _latest(self) -> list[Look]:
        rows = [Look(*row) for row in self.kept.tolist()]
        if self.looks <= _KEPT:
            return rows[: self.looks]
        oldest = self.looks % _KEPT
        return rows[oldest:] + rows[:oldest]


def _skipped(state: TrainState, device: torch.device) -> Tensor:
    """Steps of G and of D left out so far, [2], a copy on the device."""
    counts = (state.skipped_G, state.skipped_D)
    return torch.stack([torch.as_tensor(n, dtype=torch.float32, device=device) for n in counts])


@dataclass(frozen=True, kw_only=True)
class Reports:
    """Outputs of the first process."""

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
    measurements: Measurements | None  # None without metrics
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
        if self.measurements is not None and self.reports is not None:
            self.measurements.restore()
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
        self.reports.progress.log.line(f"wrote {path.name}")

    def _measure(self, state: TrainState, path: Path, *, last: bool) -> bool:
        """Measure what is due; False if a signal to stop prevented it."""
        if self.measurements is None:
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
