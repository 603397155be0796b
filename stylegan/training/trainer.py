"""Train from a given state to the end, or until a signal to stop."""

import logging
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor

from stylegan.checkpoint import checkpoints_in, existing_checkpoint
from stylegan.configs import Config, changes_of_row
from stylegan.datasets.pyramid import Pyramid
from stylegan.datasets.reals import Reals, as_rows
from stylegan.png import image_grid, save_png
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.cost import Phase, phase_costs
from stylegan.training.evaluate import Measurements
from stylegan.training.hooks import (
    Every,
    Progress,
    RunLog,
    SampleSheet,
    add_line,
    open_boards,
    say,
    sheet_columns,
)
from stylegan.training.loop import Hook, train
from stylegan.training.measuring import MetricMemory, words_on_metrics
from stylegan.training.plan import make_plan, run_files, summary
from stylegan.training.schedule import growth_left, training_point
from stylegan.training.settings import RunSettings, write_settings
from stylegan.training.snapshots import Monitor, Reports, Snapshots, StopSignals
from stylegan.training.state import TrainState
from stylegan_eval.engine.command import handling
from stylegan_eval.engine.device import choosing_algorithms, computing_in
from stylegan_eval.engine.files import sweep
from stylegan_eval.engine.progress import lasting_stderr
from stylegan_eval.engine.sampling import latents, random_choice
from stylegan_eval.errors import UserError, is_out_of_memory
from stylegan_eval.results.run_folder import TEXT_LOG

_LABELS_KEPT = 4096


class Trainer:
    """Trains in one process of a run."""

    def __init__(
        self,
        config: Config,
        settings: RunSettings,
        runtime: Runtime,
        pyramid: Pyramid,
        provenance: Provenance,
        program: int = 0,  # see `TrainingPlan`
    ) -> None:
        self._config, self._settings, self._runtime = config, settings, runtime
        self._pyramid, self._provenance = pyramid, provenance
        self._offset = (pyramid.resolution // config.resolution).bit_length() - 1
        self._execution = settings.execution_of(config, runtime.world, runtime.device.type)
        self._program = program

    def train(self, state: TrainState) -> Path:
        """Train to the end; CollapseError if it diverges, SystemExit once a signal is handled."""
        settings, runtime = self._settings, self._runtime
        start, total = state.nimg, self._config.schedule.total_kimg
        interval = settings.interval(self._config)
        conditional = self._config.network.label_size > 0
        stop = StopSignals()
        with ExitStack() as stack:
            stack.enter_context(lasting_stderr())
            stack.enter_context(self._errors_in_log(state))
            stack.enter_context(handling(stop))
            reports = self._open_reports(stack, start) if runtime.is_first else None
            snapshots = Snapshots(
                settings=settings,
                config=self._config,
                provenance=self._provenance,
                labels=self._labels(sorted(self._chosen(_LABELS_KEPT))),
                label_names=self._pyramid.label_names if conditional else (),
                monitor=self._monitor(state, reports),
                measurements=self._measurements(reports),
                reports=reports,
                runtime=runtime,
                stop=stop,
            )
            # Published numbers were made in float32; TF32 keeps 10 bits of the mantissa, not 23.
            stack.enter_context(computing_in(settings.execution.precision, runtime.device.type))
            stack.enter_context(choosing_algorithms(settings.execution.algorithms))
            snapshots.begin(state)
            hooks: list[Hook] = [] if reports is None else [reports.progress]
            hooks.append(snapshots.monitor)
            hooks.append(Every(interval, start, snapshots))
            if reports is not None and settings.snapshot_minutes:
                hooks.append(snapshots.by_time)
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
            again = shlex.join(["stylegan-train", "--resume", "--out", str(settings.out)])
            again = "" if settings.fixed_length else again
            if reports is not None and (warning := growth_left(self._config, again)):
                reports.progress.say(f"warning: {warning}")
        return existing_checkpoint(settings.out, state.nimg)

    def _open_reports(self, stack: ExitStack, start: int) -> Reports:
        out, settings = self._settings.out, self._settings
        sweep(out)
        write_settings(self._config, settings)
        boards = open_boards(settings, self._config, start)
        for board in boards:
            stack.callback(board.close)
        log = RunLog(out, start, also=[board.row for board in boards])
        if settings.warmup and start == 0:
            costs = self._estimate(log)
        else:
            runtime = self._runtime
            costs = phase_costs(self._config, self._execution, runtime.world, runtime.device.type)
        progress = Progress(log, self._config, costs, start)
        stack.callback(progress.close)
        stack.enter_context(_logging_to(progress.say))
        channels = self._config.network.num_channels
        images = "" if channels == 3 else f" images of {channels} channel(s),"
        log.line(
            f"config {self._config.name},{images} seed {settings.seed}, {settings.execution.name},"
            f" {self._runtime.world} process(es), from kimg {start / 1000:.1f}"
        )
        changes = (f"{key} {change}" for key, change in changes_of_row(self._config).items())
        log.line(f"changes of {self._config.name}: {', '.join(changes) or 'none'}")
        if warning := growth_left(self._config):
            progress.say(f"warning: {warning}")
        return Reports(progress=progress, sheet=self._sheet(), boards=boards)

    def _estimate(self, log: RunLog) -> list[Phase]:
        """Print and log the estimated duration, memory and disk usage."""
        settings, config = self._settings, self._config
        plan = make_plan(
            config,
            self._execution,
            self._runtime,
            budget=settings.warmup,
            program=self._program,
            measuring=words_on_metrics(config, settings, self._runtime.device),
        )
        for line in summary(plan, run_files(config, settings), settings.out):
            say(line)
            log.line(line)
        return list(plan.phases)

    @contextmanager
    def _errors_in_log(self, state: TrainState) -> Iterator[None]:
        """Log the error that ends a run.

        A process that runs out of memory says so itself: the first knows only that it has ended.
        """
        try:
            yield
        except (UserError, MemoryError, RuntimeError, OSError) as error:
            full = is_out_of_memory(error)
            reported = UserError(self._remedy(state)) if full else error
            if full or self._runtime.is_first:
                with suppress(OSError):
                    add_line(self._settings.out / TEXT_LOG, f"error: {reported}")
            if reported is not error:
                raise reported from error
            raise

    def _remedy(self, state: TrainState) -> str:
        """Advice for running out of memory at this point of the training."""
        config, execution, out = self._config, self._execution, self._settings.out
        point = training_point(state.nimg, config)
        images = max(share.size for share in execution.shares(point, config, self._runtime))
        if images <= config.network.mbstd_group_size:
            option = "--precision bf16" if execution.precision != "bf16" else "--workers 0"
            advice = f"no pass can be smaller: use {option}, or a device with more memory"
        elif self._settings.memory_limit is not None:
            option = f"--memory-limit {self._settings.memory_limit // 2}"
            advice = f"divide the minibatch into smaller passes with {option}"
        else:
            option = f"--grad-accum {2 * -(-point.minibatch // (self._runtime.world * images))}"
            advice = f"divide the minibatch into smaller passes with {option} or --memory-limit"
        size = f"{point.resolution}x{point.resolution}"
        saved = checkpoints_in(out)
        last = (
            f"last checkpoint: {saved[-1].name}; continue with --resume --out {out} {option}"
            if saved
            else f"no checkpoint yet; start again with {option}"
        )
        return (
            f"out of memory ({self._runtime.device.type}) at kimg {state.nimg / 1000:.1f}, {images}"
            f" images of {size} at a time: {advice}; {last}"
        )

    def _monitor(self, state: TrainState, reports: Reports | None) -> Monitor:
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

    def _measurements(self, reports: Reports | None) -> Measurements | None:
        wanted, runtime = self._settings.metrics, self._runtime
        metrics = wanted.named()
        if not metrics:
            return None
        batch = wanted.metrics_batch
        if runtime.is_first:
            batch = MetricMemory(self._config, self._settings, runtime.device).largest_batch()
        return Measurements(
            folder=self._settings.out,
            data=self._settings.data,
            metrics=metrics,
            every=wanted.metrics_every,
            batch=runtime.processes.of_first(batch),
            device=runtime.device,
            tell=_silent if reports is None else reports.progress.say,
            also=() if reports is None else [board.measured for board in reports.boards],
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
        chosen = self._chosen(count)
        reals = self._pyramid.read(self._offset, chosen)
        save_png(self._settings.out / "reals.png", image_grid(reals, columns))
        device = self._runtime.device
        labels = self._labels(chosen)
        return SampleSheet(self._settings.out, z.to(device), columns, labels=labels)

    def _chosen(self, count: int) -> list[int]:
        """Random indices of real images: the first ones of a sorted set are all of one kind."""
        return random_choice(self._settings.seed, len(self._pyramid), count)

    def _labels(self, chosen: Sequence[int]) -> Tensor | None:
        """Labels [n, label_size] of these images."""
        labels = self._pyramid.labels
        if self._config.network.label_size == 0 or labels is None:
            return None
        return torch.from_numpy(as_rows(labels[chosen], self._config.network.label_size))


def _silent(_text: str) -> None:
    """In processes that do not report."""


@contextmanager
def _logging_to(tell: Callable[[str], None]) -> Iterator[None]:
    """Report the warnings that the package logs."""
    handler = logging.Handler()
    handler.emit = lambda record: tell(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("stylegan")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
