"""A run: a folder, a data set and a training that can be stopped and continued."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from torch import Tensor

from stylegan import __version__
from stylegan.checkpoint import (
    Provenance,
    checkpoint_path,
    checkpoints_in,
    load_config,
    load_state,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from stylegan.configs import Config, config_to_dict, diff
from stylegan.datasets.pyramid import Pyramid, open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.grid import image_grid, save_png
from stylegan.runtime import Runtime
from stylegan.training.cost import phase_costs
from stylegan.training.hooks import Every, Progress, RunLog, SampleSheet
from stylegan.training.loop import train
from stylegan.training.schedule import phases
from stylegan.training.state import TrainState
from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write
from stylegan_eval.precision import strict_float32
from stylegan_eval.sampling import latents


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a user decides about a run beside its configuration.

    Attributes
    ----------
    out : Path
        The run's folder.
    data : Path
        Archive or folder of images.
    seed : int
        Seed of all randomness.
    snapshot_kimg : float
        Thousands of images between checkpoints with a sample sheet.
    keep : int
        Checkpoints to keep; older ones are deleted.
    cache : Path or None
        Where prepared images are kept; None for the default.
    """

    out: Path
    data: Path
    seed: int = 0
    snapshot_kimg: float = 10.0
    keep: int = 3
    cache: Path | None = None


@dataclass(frozen=True)
class RealsAt:
    """Reals of a data set that is larger than the networks, read from a coarser level on."""

    reals: Reals
    offset: int

    def batch(self, start: int, count: int, *, lod: float, device: torch.device) -> Tensor:
        """See `RealImages.batch`; `lod` counts from the networks' full resolution."""
        return self.reals.batch(start, count, lod=lod + self.offset, device=device)


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
    if settings.out.is_dir() and checkpoints_in(settings.out):
        raise UserError(
            f"{settings.out} already holds a run: continue it with --resume, "
            "or choose another folder with --out"
        )
    pyramid = open_pyramid(settings.data, cache=settings.cache)
    check_fit(config, pyramid, settings.data)
    _write_settings(config, settings)
    state = TrainState.fresh(config, runtime, settings.seed)
    return _run(state, config, settings, runtime, pyramid)


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
        A checkpoint, or a run's folder: then its newest.
    revise : callable
        Turns the checkpoint's configuration into what the user asks for; only the length may
        differ.
    settings : RunSettings
        Its seed is replaced by the run's own.
    runtime : Runtime
        Device.

    Raises
    ------
    UserError
        The checkpoint is missing, damaged, of another configuration or of other data.
    """
    tree = read_checkpoint(newest_checkpoint(checkpoint))
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
    pyramid = open_pyramid(settings.data, cache=settings.cache)
    check_fit(config, pyramid, settings.data)
    if pyramid.digest != provenance.data:
        raise UserError(
            f"{settings.data} is not the data this run was trained on: "
            "give the same file with --data, or start anew without --resume"
        )
    settings = replace(settings, seed=provenance.seed)
    return _run(load_state(tree, runtime), config, settings, runtime, pyramid)


def check_fit(config: Config, pyramid: Pyramid, data: Path) -> None:
    """Refuse a data set that the configuration cannot be trained on.

    Raises
    ------
    UserError
        Too few images or too small ones, or minibatches that do not divide into groups.
    """
    size, smallest = pyramid.resolution, config.resolution
    if size < smallest:
        raise UserError(
            f"{data} holds {size}x{size} images, too small for resolution {smallest}: "
            f"use --resolution {size} or larger images"
        )
    minibatches = {point.minibatch for point in phases(config)}
    if len(pyramid) < max(minibatches):
        raise UserError(
            f"{data} holds {len(pyramid)} images, fewer than the minibatch of "
            f"{max(minibatches)}: use more images or a preset with smaller minibatches"
        )
    group = config.network.mbstd_group_size
    for minibatch in sorted(minibatches):
        if minibatch > group and minibatch % group:
            raise UserError(f"a minibatch of {minibatch} is no multiple of {group}")


def _write_settings(config: Config, settings: RunSettings) -> None:
    tree = {
        "config": config_to_dict(config),
        "data": str(settings.data.resolve()),
        "seed": settings.seed,
        "snapshot_kimg": settings.snapshot_kimg,
        "keep": settings.keep,
        "version": __version__,
    }
    with atomic_write(settings.out / "run.json") as temporary:
        temporary.write_text(json.dumps(tree, indent=1) + "\n")


def read_settings(folder: Path) -> RunSettings:
    """Settings that a run's folder remembers.

    Raises
    ------
    UserError
        There is no run, or its file is damaged.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise UserError(f"no run to resume in {folder}: {path.name} is missing")
    try:
        tree = json.loads(path.read_text())
        return RunSettings(
            out=folder,
            data=Path(tree["data"]),
            seed=int(tree["seed"]),
            snapshot_kimg=float(tree["snapshot_kimg"]),
            keep=int(tree["keep"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: give --data and the checkpoint by name") from error


def _run(
    state: TrainState,
    config: Config,
    settings: RunSettings,
    runtime: Runtime,
    pyramid: Pyramid,
) -> Path:
    out, start = settings.out, state.nimg
    provenance = Provenance(seed=settings.seed, data=pyramid.digest, version=__version__)
    offset = (pyramid.resolution // config.resolution).bit_length() - 1
    reals = RealsAt(Reals(pyramid, seed=settings.seed, mirror=config.mirror), offset)
    columns = max(2, min(8, 1024 // config.resolution))
    z = latents(settings.seed, range(columns * columns), config.network.z_dim)
    sheet = SampleSheet(out, z.to(runtime.device), columns)
    sample = np.array(pyramid.level(offset)[: columns * columns])
    save_png(out / "reals.png", image_grid(sample, columns))

    log = RunLog(out, start)
    progress = Progress(log, config, phase_costs(config), start)

    saved = [start]

    def snapshot(state: TrainState) -> None:
        sheet(state)
        path = checkpoint_path(out, state.nimg)
        save_checkpoint(path, state, config, provenance)
        for old in checkpoints_in(out)[: -settings.keep]:
            old.unlink()
        saved[0] = state.nimg
        progress.log.line(f"wrote {path.name}")

    if start == 0:
        snapshot(state)  # shows at once whether the folder can be written
    progress.log.line(f"config {config.name}, seed {settings.seed}, from kimg {start / 1000:.1f}")
    # The published numbers were made in float32; TF32 keeps 10 bits of the mantissa instead of 23.
    with stop_on_signal() as stop, strict_float32(runtime.device.type):
        try:
            train(
                state,
                reals,
                config,
                seed=settings.seed,
                runtime=runtime,
                hooks=(progress, Every(settings.snapshot_kimg, start, snapshot)),
                should_stop=lambda: bool(stop),
            )
            if state.nimg != saved[0]:
                snapshot(state)
        finally:
            progress.close()
    if stop:
        progress.say(f"stopped by signal {stop[0]}; continue with --resume --out {out}")
        raise SystemExit(128 + stop[0])
    return newest_checkpoint(out)


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
