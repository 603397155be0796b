"""A run: a folder, a data set and a training that can be stopped and continued."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan import __version__
from stylegan.checkpoint import (
    Provenance,
    checkpoint_path,
    checkpoints_in,
    load_config,
    load_networks,
    load_state,
    newest_good_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from stylegan.configs import Config, diff
from stylegan.datasets.pyramid import Pyramid, open_pyramid
from stylegan.datasets.reals import Reals, as_rows, label_size
from stylegan.grid import image_grid, save_png
from stylegan.runtime import Runtime
from stylegan.training.cost import phase_costs
from stylegan.training.hooks import Every, Progress, RunLog, SampleSheet, say
from stylegan.training.loop import Hook, train
from stylegan.training.schedule import phases
from stylegan.training.settings import RunSettings, write_settings
from stylegan.training.state import TrainState
from stylegan_eval.errors import UserError
from stylegan_eval.files import held, sha256_of
from stylegan_eval.precision import check_precision, computing_in
from stylegan_eval.sampling import latents

TEXT_LOG = "train.log"
_LABELS_KEPT = 4096


def start_run(config: Config, settings: RunSettings, runtime: Runtime) -> Path:
    """Train from fresh weights.

    Returns
    -------
    Path
        The last checkpoint.

    Raises
    ------
    UserError
        The folder holds a run already, or data and configuration do not fit.
    """
    return _start(config, settings, runtime, lambda: _fresh(config, settings, runtime))


def start_from(
    source: Path,
    revise: Callable[[Config], Config],
    settings: RunSettings,
    runtime: Runtime,
) -> Path:
    """Train networks further that a checkpoint holds, as a new run.

    Growth goes on from the level that they were trained to, optimizers begin anew.

    Parameters
    ----------
    source : Path
        A checkpoint, or a run's folder: then its newest.
    revise : callable
        Turns the checkpoint's configuration into what the user asks for.
    settings : RunSettings
        The new run's.
    runtime : Runtime
        Device and processes.

    Raises
    ------
    UserError
        The checkpoint cannot be read or has other networks, or as `start_run`.
    """
    path, tree = _read(source, runtime)
    trained, _ = load_config(tree)
    config = revise(trained)
    for key, (old, new) in diff(trained, config).items():
        if key == "resolution" or key.startswith("network."):
            raise UserError(
                f"the networks of {path} have {key} {old}, not {new}: leave the option out, or"
                " start without --init"
            )
    grown = config.resolution >> int(tree["lod"])
    config = replace(config, schedule=replace(config.schedule, initial_resolution=grown))

    def first() -> tuple[TrainState, Provenance]:
        state, provenance = _fresh(config, settings, runtime)
        load_networks(tree, state)
        return state, replace(provenance, init=sha256_of(path))

    return _start(config, settings, runtime, first)


def resume_run(
    checkpoint: Path,
    revise: Callable[[Config], Config],
    settings: RunSettings,
    runtime: Runtime,
) -> Path:
    """Continue from a checkpoint as if the run had never stopped.

    Parameters
    ----------
    checkpoint : Path
        A checkpoint, or a run's folder: then its newest that can be read.
    revise : callable
        Turns the checkpoint's configuration into what the user asks for; only the length may
        differ.
    settings : RunSettings
        Its seed is replaced by the run's own.
    runtime : Runtime
        Device and processes, of which there may be another number than before.

    Raises
    ------
    UserError
        The checkpoint is missing, damaged, of another configuration or of other data.
    """
    _, tree = _read(checkpoint, runtime)
    trained, provenance = load_config(tree)
    config = revise(trained)
    changes = diff(trained, config)
    changes.pop("schedule.total_kimg", None)
    if config.name != trained.name:
        changes = {"config": (trained.name, config.name)} | changes
    for key, (old, new) in changes.items():
        raise UserError(
            f"the checkpoint was trained with {key} {old}, not {new}: leave the option out to "
            "continue it, or start anew without --resume"
        )
    pyramid = _open(config, settings, runtime)
    if pyramid.digest != provenance.data:
        raise UserError(
            f"{settings.data} is not the data this run was trained on: "
            "give the same file with --data, or start anew without --resume"
        )
    settings = replace(settings, seed=provenance.seed)
    provenance = provenance.going_on(int(tree["nimg"]), settings.execution.name)
    return _Run(config, settings, runtime, pyramid, provenance).train(load_state(tree, runtime))


def _start(
    config: Config,
    settings: RunSettings,
    runtime: Runtime,
    first: Callable[[], tuple[TrainState, Provenance]],
) -> Path:
    taken = settings.out.is_dir() and bool(checkpoints_in(settings.out))
    if runtime.any(said=taken):
        raise UserError(
            f"{settings.out} already holds a run: continue it with --resume, "
            "or choose another folder with --out"
        )
    pyramid = _open(config, settings, runtime)
    state, provenance = first()
    provenance = replace(provenance, data=pyramid.digest)
    return _Run(config, settings, runtime, pyramid, provenance).train(state)


def _fresh(
    config: Config, settings: RunSettings, runtime: Runtime
) -> tuple[TrainState, Provenance]:
    provenance = Provenance(
        seed=settings.seed,
        data="",
        version=__version__,
        execution=((0, settings.execution.name),),
    )
    return TrainState.fresh(config, runtime, settings.seed), provenance


def _read(source: Path, runtime: Runtime) -> tuple[Path, dict[str, Any]]:
    """Read a checkpoint by name, or the newest good one that the first process finds."""
    if not source.is_dir():
        return source, read_checkpoint(source)
    if not runtime.is_first:
        path = runtime.processes.of_first(source)
        return path, read_checkpoint(path)
    path, tree, passed_over = newest_good_checkpoint(source)
    for trouble in passed_over:
        say(f"passed over: {trouble}")
    return runtime.processes.of_first(path), tree


def _open(config: Config, settings: RunSettings, runtime: Runtime) -> Pyramid:
    """Open the images, which the first process prepares, and check that all fits."""
    check_precision(settings.execution.precision, runtime.device.type)
    if not runtime.is_first:
        runtime.processes.wait()
    pyramid = open_pyramid(settings.data, cache=settings.cache, progress=runtime.is_first)
    if runtime.is_first:
        runtime.processes.wait()
    check_fit(config, pyramid, settings.data)
    settings.execution.check(config, runtime)
    return pyramid


def check_fit(config: Config, pyramid: Pyramid, data: Path) -> None:
    """Refuse a data set that the configuration cannot be trained on.

    Raises
    ------
    UserError
        Too few images or too small ones, or labels of another size.
    """
    size, smallest = pyramid.resolution, config.resolution
    if size < smallest:
        raise UserError(
            f"{data} holds {size}x{size} images, too small for resolution {smallest}: "
            f"use --resolution {size} or larger images"
        )
    largest = max(point.minibatch for point in phases(config))
    if len(pyramid) < largest:
        raise UserError(
            f"{data} holds {len(pyramid)} images, fewer than the minibatch of "
            f"{largest}: use more images or a preset with smaller minibatches"
        )
    wanted, there = config.network.label_size, label_size(pyramid.labels)
    if wanted and wanted != there:
        raise UserError(
            f"{data} has labels of {there} numbers, the networks take {wanted}: use the data that"
            " they were made for, or start anew"
        )


class _Run:
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
        self.config, self.settings, self.runtime = config, settings, runtime
        self.pyramid, self.provenance = pyramid, provenance
        self.offset = (pyramid.resolution // config.resolution).bit_length() - 1
        self.saved_nimg = -1

    def train(self, state: TrainState) -> Path:
        """Train to the end, or until a signal comes."""
        out, runtime, execution = self.settings.out, self.runtime, self.settings.execution
        self.saved_nimg = start = state.nimg
        with ExitStack() as stack:
            hooks: list[Hook] = []
            if runtime.is_first:
                stack.enter_context(held(out / TEXT_LOG))
                for left in out.glob(".*.tmp"):  # by a process that was killed as it wrote
                    left.unlink()
                write_settings(self.config, self.settings)
                self.log = RunLog(out, start)
                costs = phase_costs(self.config)
                self.progress = Progress(self.log, self.config, costs, start)
                stack.callback(self.progress.close)
                self.sheet = self._sheet()
                hooks.append(self.progress)
                if start == 0:
                    self._snapshot(state)  # shows at once whether the folder can be written
                self.log.line(
                    f"config {self.config.name}, seed {self.settings.seed}, {execution.name},"
                    f" {runtime.world} process(es), from kimg {start / 1000:.1f}"
                )
            interval = self.settings.snapshot_kimg or max(self.config.schedule.total_kimg / 20, 1.0)
            hooks.append(Every(interval, start, self._snapshot))
            stop = stack.enter_context(stop_on_signal())
            # Published numbers were made in float32; TF32 keeps 10 bits of the mantissa, not 23.
            stack.enter_context(computing_in(execution.precision, runtime.device.type))
            train(
                state,
                self._reals(),
                self.config,
                seed=self.settings.seed,
                runtime=runtime,
                execution=execution,
                hooks=hooks,
                should_stop=lambda: bool(stop),
            )
            if state.nimg != self.saved_nimg:
                self._snapshot(state)
        if state.nimg < self.config.schedule.total_kimg * 1000:
            number = stop[0] if stop else signal.SIGTERM  # another process was told
            if runtime.is_first:
                self.progress.say(f"stopped by signal {number}; continue with --resume --out {out}")
            raise SystemExit(128 + number)
        return checkpoint_path(out, state.nimg)

    def _reals(self) -> Reals:
        return Reals(
            self.pyramid,
            seed=self.settings.seed,
            mirror=self.config.mirror,
            offset=self.offset,
            labelled=self.config.network.label_size > 0,
        )

    def _sheet(self) -> SampleSheet:
        """Sheet of fakes, with one of reals to compare."""
        columns = max(2, min(8, 1024 // self.config.resolution))
        z = latents(self.settings.seed, range(columns**2), self.config.network.z_dim)
        reals = np.array(self.pyramid.level(self.offset)[: columns**2])
        save_png(self.settings.out / "reals.png", image_grid(reals, columns))
        return SampleSheet(
            self.settings.out, z.to(self.runtime.device), columns, labels=self._labels(columns**2)
        )

    def _snapshot(self, state: TrainState) -> None:
        """Save: the first process writes, the others go on."""
        self.saved_nimg = state.nimg
        if not self.runtime.is_first:
            return
        self.sheet(state)
        path = checkpoint_path(self.settings.out, state.nimg)
        save_checkpoint(
            path, state, self.config, self.provenance, labels=self._labels(_LABELS_KEPT)
        )
        for old in checkpoints_in(self.settings.out)[: -self.settings.keep]:
            old.unlink()
        self.log.line(f"wrote {path.name}")

    def _labels(self, count: int) -> Tensor | None:
        """Labels [min(count, N), label_size] of images at equal distances in the data set."""
        labels = self.pyramid.labels
        if self.config.network.label_size == 0 or labels is None:
            return None
        chosen = np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int)
        return torch.from_numpy(as_rows(labels[chosen], self.config.network.label_size))


@contextmanager
def stop_on_signal() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them; a second one kills as usual.

    Yields
    ------
    list of int
        Empty, or the signal that came.
    """
    received: list[int] = []
    handled = (signal.SIGTERM, signal.SIGINT)

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        for each in handled:
            signal.signal(each, before[each])

    before = {each: signal.signal(each, receive) for each in handled}
    try:
        yield received
    finally:
        for each in handled:
            signal.signal(each, before[each])
