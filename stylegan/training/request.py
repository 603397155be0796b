"""What a command line asks for: a configuration, a plan, or several processes."""

import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

from stylegan.checkpoint import load_config
from stylegan.config_file import config_text, read_config
from stylegan.configs import CONFIGS, Config
from stylegan.datasets.reals import label_size
from stylegan.opening import open_networks
from stylegan.presets import apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.training.cost import micro_batches
from stylegan.training.describe import describe_plan, make_plan
from stylegan.training.footprint import prepared_images, run_files
from stylegan.training.images import open_together
from stylegan.training.run import check_sizes
from stylegan.training.settings import RunSettings
from stylegan_eval.command import STOP_SIGNALS
from stylegan_eval.errors import UserError
from stylegan_eval.loading import pick_device

_CHANNELS = 3  # of the images that are read
DEFAULT_PRESET = "paper-ffhq-1gpu"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What options say of a configuration; None where they are silent.

    Attributes
    ----------
    config : str or Path or None
        Row of Table 1, or a file of a whole configuration.
    preset : str or None
        Data set and scale.
    resolution : int or None
        In pixels.
    kimg : float or None
        Length.
    mirror : bool or None
        Whether to mirror real images.
    labels : bool
        Whether the networks take the labels of the data.
    data, cache : Path or None
        Images, which decide what nothing else does; and where prepared ones are kept.
    """

    config: str | Path | None = None
    preset: str | None = None
    resolution: int | None = None
    kimg: float | None = None
    mirror: bool | None = None
    labels: bool = False
    data: Path | None = None
    cache: Path | None = None

    def resolve(self, trained: Config | None, runtime: Runtime) -> Config:
        """Row, preset and options as one configuration; what is not given is `trained`'s.

        All processes come here together.

        Raises
        ------
        UserError
            No such preset, a file that holds no configuration, or the data have no labels.
        """
        resolution, row = self.resolution, self.config
        if isinstance(row, Path):
            config = read_config(row)
        elif trained is not None and self.preset is None:
            config = trained if row is None else replace(trained, name=row)
        else:
            config = apply_preset(CONFIGS[row or "F"], self.preset or DEFAULT_PRESET)
            if resolution is None and self.preset is None and self.data is not None:
                resolution = open_together(self.data, self.cache, runtime).resolution
        config = with_options(
            config,
            resolution=resolution,
            total_kimg=self.kimg,
            mirror=self.mirror,
            label_size=self._label_size(runtime) if self.labels else None,
        )
        if (channels := config.network.num_channels) != _CHANNELS:
            raise UserError(
                f"the networks have num_channels {channels}: images are read as RGB, so only"
                f" networks with num_channels {_CHANNELS} can be trained"
            )
        return config

    def _label_size(self, runtime: Runtime) -> int | None:
        if self.data is None:
            return None
        size = label_size(open_together(self.data, self.cache, runtime).labels)
        if size == 0:
            raise UserError(f"{self.data} has no labels: add a dataset.json, or leave out --cond")
        return size


def config_lines(revise: Callable[[Config | None], Config], source: Path | None) -> str:
    """What ``--print-config`` prints; parameters are those of `plan_lines`.

    Raises
    ------
    UserError
        A checkpoint, data or a configuration cannot be read.
    """
    return config_text(revise(_trained(source)))


def _trained(source: Path | None) -> Config | None:
    """Configuration of a checkpoint or run, if there is one to go on from."""
    if source is None:
        return None
    return load_config(open_networks(source)[1])[0]


def plan_lines(
    revise: Callable[[Config | None], Config],
    source: Path | None,
    runtime: Runtime,
    settings: RunSettings,
) -> Sequence[str]:
    """What ``--dry-run`` prints.

    Parameters
    ----------
    revise : callable
        Turns a checkpoint's configuration, or None, into what the user asks for.
    source : Path or None
        Checkpoint or run to go on from.
    runtime : Runtime
        Device, and how many processes there would be.
    settings : RunSettings
        `out` and `data` are ``Path()`` where they are not known.

    Raises
    ------
    UserError
        A checkpoint or data cannot be read, or the minibatch does not divide.
    """
    config, execution = revise(_trained(source)), settings.execution
    if settings.memory_limit is not None:
        table = micro_batches(
            config, settings.memory_limit, execution=execution, world=runtime.world
        )
        execution = replace(execution, at_a_time=table)
    out = None if settings.out == Path() else settings.out
    files = []
    if out is not None:
        files += run_files(
            config,
            out,
            snapshot_kimg=settings.snapshot_kimg,
            keep=settings.keep,
            keeps_best=bool(settings.metrics.metrics),
        )
    if settings.data != Path():
        prepared, side = prepared_images(settings.data, settings.cache)
        files.append(prepared)
        check_sizes(config, side, settings.data, fixed=source is not None)
    plan = make_plan(config, execution, runtime, budget=settings.warmup)
    return list(describe_plan(plan, files, out))


def launch(arguments: Sequence[str], processes: int, device: str) -> int:
    """Start `stylegan-train` in several processes on this machine by PyTorch's own launcher.

    Returns
    -------
    int
        Exit status: of the process that failed first, or 128 + the signal that ended it or that
        came here.

    Raises
    ------
    UserError
        There are fewer GPUs.
    """
    if pick_device(device).type == "cuda":
        pick_device(f"cuda:{processes - 1}")
    # A process that fails says why; the launcher would add a page on how it ended.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
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
