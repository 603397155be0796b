"""Options of `stylegan-train` to a training, its plan, or several processes."""

import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from stylegan.auto import PAPER_RESOLUTION, Auto, Hardware
from stylegan.configs import CONFIGS, Config, config_text, read_config
from stylegan.opening import open_networks
from stylegan.presets import AUTO, Tuning, apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.batches import RealSet, open_together
from stylegan.training.cost import program_memory
from stylegan.training.measuring import words_on_metrics
from stylegan.training.partition import Execution
from stylegan.training.plan import (
    describe_plan,
    make_plan,
    memory_for_each,
    prepared_images,
    run_files,
)
from stylegan.training.run import (
    Beginning,
    check,
    check_free,
    fresh,
    holds_run,
    initial,
    resume_command,
    resumed,
    run,
)
from stylegan.training.settings import (
    WARMUP,
    RunSettings,
    changed,
    check_effect,
    read_run,
    read_settings,
)
from stylegan_eval.engine.command import STOP_SIGNALS, note
from stylegan_eval.engine.device import pick_device
from stylegan_eval.engine.files import check_not_held, check_writable
from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from stylegan_eval.results.run_folder import SETTINGS, TEXT_LOG

_MOST_CLASSES = 2**16
DEFAULT_PRESET = "paper-ffhq-1gpu"
_NOWHERE = Path()


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `stylegan-train`; None where an option was not given."""

    config: str | Path | None  # row of Table 1, or a file of a whole configuration
    preset: str | None
    resolution: int | None
    kimg: float | None
    mirror: bool | None
    tuning: Tuning
    plans: bool  # whether the plan is printed, and nothing trained
    cond: bool  # whether the networks take the labels of the data
    data: Path | None
    out: Path | None
    resume: Path | None  # a checkpoint, or a run's folder
    auto: bool  # resume `out` where it holds a run
    init: Path | None  # a file of networks, a run's folder, or Path("demo")
    settings: Mapping[str, Any]  # of RunSettings and those in it
    hardware: Callable[[], Hardware]  # what would train; all processes ask together
    look: Callable[[Path], RealSet]  # facts of a set of images

    def begin(self, runtime: Runtime, *, taken: bool) -> Beginning:
        """Resolve the options, in all processes together; `taken` if `out` holds a run."""
        source = self.out if self.auto and taken else self.resume
        if source is not None:
            if not source.is_file() and not holds_run(source):
                raise UserError(f"no run to resume in {source}: it holds no checkpoint-*.pt")
            # A run that goes on has the values that `auto` chose.
            options = replace(self, preset=None) if self.preset == AUTO else self
            beginning = resumed(
                source,
                options.resolve,
                lambda provenance: self._settings_of_run(source, provenance),
                runtime,
            )
            _check_length(beginning)
            return beginning
        if self.out is not None:
            check_free(self.out, runtime, taken=taken)
        settings = self._chosen(
            RunSettings(out=self.out or _NOWHERE, data=self.data or _NOWHERE, warmup=WARMUP)
        )
        if self.init is not None:
            return initial(self.init, self.resolve_initial, settings, runtime)
        return fresh(self.resolve(None), settings)

    def resolve(self, trained: Config | None) -> Config:
        """Row, preset and options as one configuration; what is not given is `trained`'s."""
        resolution, row, channels = self.resolution, self.config, None
        if isinstance(row, Path):
            config = read_config(row)
        elif trained is not None and self.preset is None:
            config = trained if row is None else replace(trained, name=row)
        else:
            config = self._by_preset(trained)
            if trained is not None:
                channels = trained.network.num_channels
            elif self.data is not None:
                channels = self.look(self.data).channels
        return with_options(
            self.tuning.apply(config),
            resolution=resolution,
            total_kimg=self.kimg,
            mirror=self.mirror,
            label_size=self._label_size(trained) if self.cond else None,
            num_channels=channels,
        )

    def _by_preset(self, trained: Config | None) -> Config:
        auto = self._auto_values(trained)
        if auto is None:
            assert not isinstance(self.config, Path)
            return apply_preset(CONFIGS[self.config or "F"], self.preset or DEFAULT_PRESET)
        if self.preset is None:
            chosen = f"{auto.summary}; --dry-run gives the reasons"
            if self.plans:
                chosen = "the values and reasons in the plan"
            note(
                f"no --preset, so auto: {chosen}; --preset {DEFAULT_PRESET} is the published"
                " schedule"
            )
        return auto.config

    def resolve_initial(self, trained: Config) -> Config:
        """As `resolve`, for networks that grow to the size of larger images."""
        return self._growing(trained).resolve(trained)

    def _growing(self, trained: Config) -> "TrainOptions":
        chosen = self.preset not in (None, AUTO) or isinstance(self.config, Path)
        if self.resolution is not None or self.data is None or chosen:
            return self
        return replace(self, resolution=max(self.look(self.data).resolution, trained.resolution))

    def _auto_values(self, trained: Config | None) -> Auto | None:
        """Rules of the preset `auto`, where it is asked for or is the default."""
        reals = None if self.data is None else self.look(self.data)
        size = PAPER_RESOLUTION if reals is None else reals.resolution
        size = self.resolution or (size if trained is None else trained.resolution)
        named = self.preset is not None or trained is not None
        if isinstance(self.config, Path) or (
            self.preset != AUTO and (named or size == PAPER_RESOLUTION)
        ):
            return None
        if trained is None:
            row = CONFIGS[self.config or "F"]
        else:
            begun = replace(trained.schedule, initial_resolution=trained.resolution)
            row = replace(trained, schedule=begun)
        return Auto(
            row=row,
            resolution=size,
            images=None if reals is None else reals.count,
            hardware=self.hardware(),
            given=self.tuning,
            kimg=self.kimg,
            fixed=trained is not None,
        )

    def reasons(self, *, taken: bool) -> Iterator[str]:
        """Lines on the values that the preset `auto` chooses for a new run."""
        if self.resume is not None or (self.auto and taken):
            return
        trained, options = None, self
        if self.init is not None:
            trained = open_networks(self.init)[1].config
            options = self._growing(trained)
        if (auto := options._auto_values(trained)) is not None:
            yield from (*auto.lines(), "")

    def _label_size(self, trained: Config | None) -> int:
        if self.data is None:
            size = 0 if trained is None else trained.network.label_size
            if size == 0:
                raise click.UsageError("--cond: the run has no labels: leave it out to continue it")
            return size
        if (size := self.look(self.data).label_size) == 0:
            raise UserError(
                f"{self.data} has no labels: add a dataset.json, or leave out --cond;"
                " stylegan-data prepare --labels-from-folders makes a class of each sub-folder"
            )
        if size > _MOST_CLASSES:
            raise UserError(
                f"{self.data} has labels of {size:,} numbers or classes, at most {_MOST_CLASSES:,}"
                " can be trained with: number the classes from 0 without gaps"
            )
        return size

    def _settings_of_run(self, source: Path, provenance: Provenance) -> RunSettings:
        """Settings of a resumed run: from its folder, else the checkpoint, and the options."""
        if (seed := self.settings.get("seed")) not in (None, provenance.seed):
            raise UserError(
                f"the checkpoint was trained with seed {provenance.seed}, not {seed}: leave the"
                " option out to continue it, or start anew in another folder without --resume"
            )
        beside = source if source.is_dir() else source.parent
        out = self.out or beside
        remembered = RunSettings(
            out=out,
            data=self.data or _NOWHERE,
            execution=Execution.named(provenance.execution[-1][1]),
            warmup=WARMUP,
        )
        folder = out if (out / SETTINGS).is_file() else beside
        if (folder / SETTINGS).is_file():
            try:
                remembered = replace(read_settings(folder), out=out)
                if folder != out:  # a copy, whose length is its own
                    remembered = replace(remembered, fixed_length=False)
            except UserError:
                if self.data is None:
                    raise
        data = self.data or remembered.data
        if data == _NOWHERE:
            raise UserError(
                f"no {SETTINGS} beside {source} says on which images it was trained: name them with"
                " --data ZIP|DIR"
            )
        if not data.exists():
            places = (Path(), beside.parent, beside, *beside.absolute().parents[1:3])
            moved = next((at / data.name for at in places if (at / data.name).exists()), None)
            command = resume_command(source, out, "--data", str(moved or f"NEW/{data.name}"))
            where = "" if moved else " (NEW is the folder where it is now)"
            raise UserError(
                f"{data}, on which {source} was trained, is not there; if it has moved: {command}"
                f"{where}"
            )
        return self._chosen(replace(remembered, data=data))

    def _chosen(self, settings: RunSettings) -> RunSettings:
        """Settings with the options, each of which has an effect."""
        chosen = changed(settings, self.settings)
        check_effect(chosen, self.settings)
        return chosen


def _check_length(beginning: Beginning) -> None:
    """Refuse another length to a run whose length is fixed."""
    settings, out = beginning.settings, beginning.settings.out
    if not settings.fixed_length or not (out / SETTINGS).is_file():
        return
    planned, total = (config.schedule.total_kimg for config in (read_run(out)[0], beginning.config))
    if total != planned:
        elsewhere = resume_command(out, settings.longer_in, "--kimg", f"{total:g}")
        raise UserError(
            f"{out} is compared with runs of its length, {planned:g} kimg, so it cannot go on to"
            f" {total:g}; in another folder it can: {elsewhere}"
        )


def config_lines(wanted: TrainOptions) -> str:
    """Output of ``--print-config``."""
    goes_on = wanted.auto and wanted.out is not None and holds_run(wanted.out)
    source = wanted.out if goes_on else wanted.resume or wanted.init
    trained = None if source is None else open_networks(source)[1].config
    if trained is not None and source == wanted.init:
        return config_text(wanted.resolve_initial(trained))
    return config_text(wanted.resolve(trained))


def train_as(wanted: TrainOptions, runtime: Runtime) -> Path:
    """Train; the last checkpoint."""

    def look(path: Path) -> RealSet:
        return RealSet.of(open_together(path, wanted.settings["cache"], runtime), path)

    out = wanted.out or wanted.resume
    assert out is not None
    return run(out, partial(replace(wanted, look=look).begin, runtime), runtime)


def plan_lines(wanted: TrainOptions, runtime: Runtime) -> Iterator[str]:
    """Output of ``--dry-run``, after the checks that the run would make.

    `runtime` stands for the processes that there would be; this is one.
    """
    out, program = wanted.out, program_memory(runtime.device)
    if out is not None:
        check_writable(out / TEXT_LOG)
        check_not_held(out / TEXT_LOG)
    taken = out is not None and holds_run(out)
    begun = wanted.begin(Runtime(runtime.device), taken=taken)
    config, settings = begun.config, begun.settings
    if settings.data != _NOWHERE:
        check(begun, wanted.look(settings.data), runtime)
    files = run_files(config, settings, begun.nimg) if out is not None else []
    if settings.data != _NOWHERE:
        files.append(prepared_images(settings.data, settings.cache))
    plan = make_plan(
        config,
        settings.execution_of(config, runtime.world, runtime.device.type),
        runtime,
        budget=settings.warmup,
        nimg=begun.nimg,
        program=program,
        measuring=words_on_metrics(config, settings, runtime.device),
    )
    yield from wanted.reasons(taken=taken)
    yield from describe_plan(plan, files, out)


def hardware_of(runtime: Runtime, planned: Runtime) -> Hardware:
    """Hardware found by the first process for those that are `planned`."""
    processes = planned.world
    found = Hardware(
        device=runtime.device.type,
        processes=processes,
        threads=torch.get_num_threads(),
        memory=memory_for_each(runtime.device, processes),
    )
    return runtime.processes.of_first(found)


def processes_to_plan(runtime: Runtime, gpus: int | None) -> Runtime:
    """The processes that `launch` would start, for `plan_lines`: as fast as each of them."""
    if gpus is None or runtime.world > 1:
        return runtime
    if runtime.device.type == "cuda":
        pick_device(f"cuda:{gpus - 1}")
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(_threads(gpus))
    return replace(runtime, processes=Processes(world=gpus))


def _threads(processes: int) -> int:
    return max(1, (os.cpu_count() or 1) // processes)


def launch(arguments: Sequence[str], processes: int, device: str) -> int:
    """Start `stylegan-train` in several processes on this machine by PyTorch's own launcher.

    Returns the exit status: of the process that failed first, or 128 + the signal that ended it or
    came here.
    """
    if pick_device(device).type == "cuda":
        pick_device(f"cuda:{processes - 1}")
    # A process that fails says why; the launcher would add a page on how it ended.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(_threads(processes)))
    # Signals that go on to the processes, and how long these may save: who sent one decides when to
    # kill, not a limit of 30 seconds. By the environment, as PyTorch 2.6 has no such options.
    known = [each.name for each in STOP_SIGNALS if signal.getsignal(each) != signal.SIG_IGN]
    os.environ["PET_SIGNALS_TO_HANDLE"] = ",".join(known)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "3600")
    options = ["--standalone", f"--nproc-per-node={processes}", "-m", "stylegan.train"]
    try:
        torchrun([*options, *arguments])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode
        name = signal.Signals(-failure.exitcode).name
        reason = " (out of memory?)" if name == "SIGKILL" else ""
        click.echo(f"error: process {rank} was killed by {name}{reason}", err=True)
        return 128 - failure.exitcode
    except SignalException as error:  # passed on to the processes, which have saved and left
        return 128 + int(error.sigval)
    return 0
