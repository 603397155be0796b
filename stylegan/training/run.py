"""A run: a folder, a data set and a training that can be stopped and continued."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylegan import __version__
from stylegan.checkpoint import (
    check_parts,
    checkpoints_in,
    load_config,
    load_networks,
    load_state,
    newest_good_checkpoint,
    read_checkpoint,
)
from stylegan.configs import Config, diff
from stylegan.datasets.pyramid import Pyramid
from stylegan.datasets.reals import label_size
from stylegan.networks.compiled import check_toolchain
from stylegan.opening import DEMO, open_networks
from stylegan.provenance import Provenance
from stylegan.runtime import Runtime
from stylegan.training.attempt import Attempt
from stylegan.training.hooks import say
from stylegan.training.images import open_together
from stylegan.training.schedule import phases
from stylegan.training.settings import RunSettings
from stylegan.training.state import TrainState
from stylegan_eval.command import note
from stylegan_eval.errors import UserError
from stylegan_eval.files import sha256_of
from stylegan_eval.precision import check_precision


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
        A file of networks, a run's folder (then its newest checkpoint), or ``Path("demo")``.
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
    path, tree = _read(source, runtime) if _is_run(source) else open_networks(source)
    trained, _ = load_config(tree)
    check_parts(tree, ("G", "D", "G_ema"), "training goes on")
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

    return _start(config, settings, runtime, first, fixed=True)


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
    pyramid = _open(config, settings, runtime, fixed=True)
    if provenance.data not in (pyramid.digest, pyramid.earlier_digest):
        raise UserError(
            f"{settings.data} is not the data this run was trained on: "
            "give the same file with --data, or start anew without --resume"
        )
    settings = replace(settings, seed=provenance.seed)
    provenance = replace(provenance, data=pyramid.digest)
    provenance = provenance.going_on(int(tree["nimg"]), settings.execution.name)
    return Attempt(config, settings, runtime, pyramid, provenance).train(load_state(tree, runtime))


def _start(
    config: Config,
    settings: RunSettings,
    runtime: Runtime,
    first: Callable[[], tuple[TrainState, Provenance]],
    *,
    fixed: bool = False,
) -> Path:
    taken = settings.out.is_dir() and bool(checkpoints_in(settings.out))
    if runtime.any(said=taken):
        raise UserError(
            f"{settings.out} already holds a run: continue it with --resume, "
            "or choose another folder with --out"
        )
    pyramid = _open(config, settings, runtime, fixed=fixed)
    state, provenance = first()
    provenance = replace(provenance, data=pyramid.digest)
    return Attempt(config, settings, runtime, pyramid, provenance).train(state)


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


def _is_run(source: Path) -> bool:
    return source != Path(DEMO) and source.is_dir()


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


def _open(config: Config, settings: RunSettings, runtime: Runtime, *, fixed: bool) -> Pyramid:
    """Open the images, which the first process prepares, and check that all fits."""
    check_precision(settings.execution.precision, runtime.device.type)
    if settings.execution.compile:
        check_toolchain(runtime.device)
    pyramid = open_together(settings.data, settings.cache, runtime)
    check_fit(config, pyramid, settings.data, fixed=fixed)
    settings.execution.check(config, runtime)
    return pyramid


def check_fit(config: Config, pyramid: Pyramid, data: Path, *, fixed: bool = False) -> None:
    """Refuse a data set that the configuration cannot be trained on; say if it is shrunk.

    Parameters
    ----------
    fixed : bool
        Whether the networks are there already, so that options cannot change them.

    Raises
    ------
    UserError
        Too few images or too small ones, or labels of another size.
    """
    check_sizes(config, pyramid.resolution, data, fixed=fixed)
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


def check_sizes(config: Config, size: int, data: Path, *, fixed: bool) -> None:
    """Refuse images of `size` pixels that the networks would enlarge; say if they are shrunk."""
    own = config.resolution
    other = f'--resolution {size} (or "resolution" in the file of --config)'
    if size < own:
        fewer = "start without --init" if fixed else f"use {other}"
        raise UserError(
            f"{data} holds {size}x{size} images, too small for networks of {own}x{own}: give images"
            f" of {own}x{own} or larger, or {fewer}"
        )
    if size > own:
        how = "" if fixed else f"; {other} keeps them as they are"
        note(f"{data}: images of {size}x{size} are shrunk to {own}x{own}, as the networks are{how}")
