"""A run: a folder, a data set and a training that can be stopped and continued.

`fresh`, `initial` and `resumed` decide what begins, `check` refuses it; a plan (--dry-run) goes
through the same.
"""

import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from stylegan import __version__
from stylegan.checkpoint import checkpoints_in, newest_good_checkpoint, read_checkpoint
from stylegan.configs import Config, diff
from stylegan.networks.compiled import check_toolchain
from stylegan.opening import DEMO, open_networks
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance, Snapshot, check_parts
from stylegan.training.batches import RealSet, open_together
from stylegan.training.cost import program_memory
from stylegan.training.evaluate import check_metrics
from stylegan.training.fit import check_fit, labels_text
from stylegan.training.hooks import say
from stylegan.training.schedule import longer_kimg, training_point
from stylegan.training.settings import RunSettings, read_run
from stylegan.training.state import TrainState, load_initial, load_state
from stylegan.training.trainer import Trainer
from stylegan_eval.engine.command import note, typed_with
from stylegan_eval.engine.device import check_precision
from stylegan_eval.engine.files import held, sha256_of
from stylegan_eval.errors import UserError
from stylegan_eval.images.labels import shortened
from stylegan_eval.images.storage import check_outside
from stylegan_eval.results.run_folder import TEXT_LOG, results_in

_LABELS = "network.label_size"


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Start of a training."""

    config: Config
    settings: RunSettings
    provenance: Provenance  # `data` is empty where any images will do
    state: Callable[[Runtime], TrainState]
    nimg: int = 0
    fixed: bool = False  # the networks are there already: no option can change them
    remark: str = ""  # to be made once nothing is refused
    label_names: tuple[str, ...] = ()  # that the networks know


class Begin(Protocol):
    """Decides where to begin."""

    def __call__(self, *, taken: bool) -> Beginning:
        """`taken`: whether the folder holds a run already."""


def fresh(config: Config, settings: RunSettings) -> Beginning:
    """Begin with fresh weights."""
    return Beginning(
        config=config,
        settings=settings,
        provenance=Provenance(
            seed=settings.seed,
            data="",
            version=__version__,
            execution=((0, settings.execution.name),),
        ),
        state=lambda runtime: TrainState.fresh(config, runtime, settings.seed, settings.execution),
    )


def initial(
    source: Path, revise: Callable[[Config], Config], settings: RunSettings, runtime: Runtime
) -> Beginning:
    """Begin a new run with the networks of a file, a run's folder, or ``Path("demo")``.

    Growth goes on from the level that they were trained to, up to a larger resolution where one is
    wanted; unconditional networks may be given classes. Optimizers begin anew.
    """
    is_run = source != Path(DEMO) and source.is_dir()
    path, snapshot = _read(source, runtime) if is_run else open_networks(source)
    trained = snapshot.config
    check_parts(snapshot, ("G", "D", "G_ema"), "training goes on")
    config = revise(trained)
    remark = _check_initial(path, snapshot, config)
    grown = trained.resolution >> int(snapshot.lod)
    config = replace(config, schedule=replace(config.schedule, initial_resolution=grown))
    begun = fresh(config, settings)

    def state(runtime: Runtime) -> TrainState:
        fresh_state = begun.state(runtime)
        load_initial(snapshot, fresh_state)
        return fresh_state

    provenance = replace(begun.provenance, init=sha256_of(path))
    return replace(
        begun,
        state=state,
        provenance=provenance,
        fixed=True,
        remark=remark,
        label_names=snapshot.label_names,
    )


def _check_initial(path: Path, snapshot: Snapshot, config: Config) -> str:
    """Refuse a configuration that networks cannot be made to fit; how they are changed."""
    trained, remarks = snapshot.config, list[str]()
    changes = diff(trained, config)
    size, own = config.resolution, trained.resolution
    if size < own:
        raise UserError(
            f"the networks of {path} have resolution {own}, not {size}, and can grow alone: leave"
            " the option out, or start without --init"
        )
    changes.pop("resolution", None)
    classes = config.network.label_size
    conditional = classes > 0 and trained.network.label_size == 0
    if conditional:
        changes.pop(_LABELS)
        if trained.network.mapping_layers == 0:  # w is z beside the embedding
            changes.pop("network.w_dim")
    elif _LABELS in changes:
        own_labels = labels_text(trained.network.label_size, snapshot.label_names)
        remedy = f"the data has {classes}: use data with the labels that they were made for"
        raise UserError(
            f"the networks of {path} take {own_labels}"
            f"{f', {remedy}' if classes else ': add --cond'}, or start without --init"
        )
    for key, (old, new) in changes.items():
        if key.startswith("network."):
            raise UserError(
                f"the networks of {path} have {key} {old}, not {new}: leave the option out, or"
                " start without --init"
            )
    if size > own:
        keeps = f"--resolution {own} keeps their size"
        remarks.append(f"networks of {own}x{own} grow to {size}x{size}; {keeps}")
    if conditional:
        remarks.append(
            f"unconditional networks get labels, of {classes} classes or numbers, and begin as if"
            " they had none"
        )
    return f"{path}: {'; '.join(remarks)}" if remarks else ""


def resumed(
    checkpoint: Path,
    revise: Callable[[Config], Config],
    settings: Callable[[Provenance], RunSettings],
    runtime: Runtime,
) -> Beginning:
    """Continue from a checkpoint, or from the newest in a run's folder that can be read.

    Only the length of the configuration may differ: steps are functions of the images shown, so a
    longer run goes on as if it had been planned so. `settings` are those of the run's folder, the
    checkpoint and the options; the seed is the checkpoint's.
    """
    path, snapshot = _read(checkpoint, runtime)
    trained, provenance = snapshot.config, snapshot.provenance
    config = revise(trained)
    changes = diff(trained, config)
    changes.pop("schedule.total_kimg", None)
    if config.name != trained.name:
        changes = {"config": (trained.name, config.name)} | changes
    if changes:
        # First, as some networks have another w_dim without labels.
        key = _LABELS if _LABELS in changes else next(iter(changes))
        old, new = changes[key]
        remedy = "add --cond" if key == _LABELS and not new else "leave the option out"
        raise UserError(
            f"the checkpoint was trained with {key} {old}, not {new}: {remedy} to continue it, or"
            " start anew without --resume"
        )
    chosen = replace(settings(provenance), seed=provenance.seed)
    _check_same_run(chosen.out, path, trained, provenance)
    nimg = snapshot.nimg
    return Beginning(
        config=config,
        settings=chosen,
        provenance=provenance.going_on(nimg, chosen.execution.name),
        state=lambda runtime: load_state(snapshot, runtime, chosen.execution),
        nimg=nimg,
        fixed=True,
        remark=words_on_length(checkpoint, chosen.longer_in, trained, config, nimg),
        label_names=snapshot.label_names,
    )


def resume_command(source: Path, out: Path, option: str, value: str) -> str:
    """Command that continues a run in the folder `out`, with one option more.

    The one that was typed, where it named that folder.
    """
    here = source.is_dir() and source.resolve() == out.resolve()
    words = ["--resume", *([] if here else [str(source)]), "--out", str(out), option, value]
    typed = typed_with(option, value)
    if option == "--kimg":  # to train on, not to plan
        typed = [word for word in typed if word != "--dry-run"]
    return shlex.join(["stylegan-train", *(typed if out in map(Path, typed) else words)])


def words_on_length(source: Path, out: Path, trained: Config, config: Config, nimg: int) -> str:
    """Advice on how a finished run, or one of another length, goes on; "" for other runs."""
    total, planned = config.schedule.total_kimg, trained.schedule.total_kimg
    kimg, point = nimg / 1000, training_point(nimg, config)
    if kimg >= total:
        longer = resume_command(source, out, "--kimg", longer_kimg(config, nimg))
        return (
            f"this run is finished, at kimg {kimg:g} of {total:g}, and nothing is trained; to train"
            f" on: {longer}"
        )
    if total == planned:
        return ""
    growth = f"lod {point.lod:.2f} of a growth that goes on" if point.lod else "grown to full size"
    return (
        f"planned for kimg {planned:g}, goes on from {kimg:g} to {total:g}, {growth}: minibatch"
        f" {point.minibatch}, learning rate {point.lrate:g}; neither depends on the length, only"
        " the default of --snapshot-kimg does"
    )


def _check_same_run(out: Path, checkpoint: Path, trained: Config, provenance: Provenance) -> None:
    """Refuse to continue the checkpoint of one run in the folder of another."""
    there = holds_run(out) or results_in(out)
    if not there or checkpoint.resolve().parent == out.resolve():
        return
    same = False
    with suppress(UserError):  # then nothing is known of its run
        config, settings = read_run(out)
        changes = diff(config, trained)
        changes.pop("schedule.total_kimg", None)
        same = not changes and settings.seed == provenance.seed
    if not same:
        raise UserError(
            f"{out} holds another run than {checkpoint}: choose another folder with --out"
        )


def check(begun: Beginning, reals: RealSet, runtime: Runtime) -> None:
    """Refuse what cannot be trained or measured. Make the remark.

    `runtime` may stand for more processes than there are.
    """
    config, settings = begun.config, begun.settings
    if settings.data.is_dir() and settings.out != Path():
        check_outside(settings.out, settings.data)
    check_precision(settings.execution.precision, runtime.device.type)
    if settings.execution.compile:
        check_toolchain(runtime.device)
    check_fit(config, reals, fixed=begun.fixed, named=begun.label_names)
    settings.execution.check(config, runtime)
    if begun.provenance.data not in ("", *reals.digests):
        raise UserError(
            f"{settings.data} is not the data this run was trained on: "
            "give the same file with --data, or start anew without --resume"
        )
    if runtime.is_first and (metrics := settings.metrics.named()):
        check_metrics(metrics, settings.data, config.resolution, runtime.device)
    if begun.remark:
        note(begun.remark)


def check_free(out: Path, runtime: Runtime, *, taken: bool) -> None:
    """Refuse to start a run where there is one, or what is left of one; in all processes."""
    if taken:
        raise UserError(
            f"{out} already holds a run: continue it with --resume, "
            "or choose another folder with --out"
        )
    if names := runtime.processes.of_first(results_in(out)):
        raise UserError(
            f"{out} holds {shortened(names)} of a run, and none of its checkpoints: choose"
            " another folder with --out, or remove this one"
        )


def holds_run(out: Path) -> bool:
    """Whether a folder has checkpoints."""
    return out.is_dir() and bool(checkpoints_in(out))


def run(out: Path, begin: Begin, runtime: Runtime) -> Path:
    """Train in a folder, locked against other processes; the last checkpoint.

    All processes come here together.
    """
    program = program_memory(runtime.device) if runtime.is_first else 0
    with _alone(out, runtime) as taken:
        begun = begin(taken=taken)
        settings = begun.settings
        pyramid = open_together(settings.data, settings.cache, runtime)
        check(begun, RealSet.of(pyramid, settings.data), runtime)
        provenance = replace(begun.provenance, data=pyramid.digest)
        trainer = Trainer(begun.config, settings, runtime, pyramid, provenance, program)
        return trainer.train(begun.state(runtime))


@contextmanager
def _alone(out: Path, runtime: Runtime) -> Iterator[bool]:
    """Lock a folder, then check whether it holds a run; all processes refuse together.

    Whoever looked first might find a run that another process has made since.
    """
    with ExitStack() as stack:
        trouble = ""
        if runtime.is_first:
            try:
                stack.enter_context(held(out / TEXT_LOG))
            except UserError as error:
                trouble = str(error)
        trouble = runtime.processes.of_first(trouble)
        if trouble:
            raise UserError(trouble)
        yield runtime.processes.of_first(holds_run(out))


def _read(source: Path, runtime: Runtime) -> tuple[Path, Snapshot]:
    """Read a checkpoint by name, or the newest good one that the first process finds."""
    if not source.is_dir():
        return source, read_checkpoint(source)
    if not runtime.is_first:
        path = runtime.processes.of_first(source)
        return path, read_checkpoint(path)
    path, snapshot, passed_over = newest_good_checkpoint(source)
    for trouble in passed_over:
        say(f"passed over: {trouble}")
    return runtime.processes.of_first(path), snapshot
