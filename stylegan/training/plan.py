"""TrainingPlan of a run: phases, length, memory and disk usage."""

import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan.configs import CONFIGS, Config, changes_of_row, diff
from stylegan.runtime import Runtime
from stylegan.snapshot import on_meta
from stylegan.training.cost import Phase, phase_costs, phases_left, process_memory
from stylegan.training.hooks import sheet_columns
from stylegan.training.partition import Execution
from stylegan.training.rehearsal import bytes_of
from stylegan.training.schedule import growth_left, phase_steps
from stylegan.training.settings import WARMUP, RunSettings
from stylegan.training.speed import measure_phases, trial_steps
from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.device import best_format
from stylegan_eval.images.files import open_images, read_batches
from stylegan_eval.results.formatting import duration, size_text

_LOG_BYTES_PER_TICK = 1500  # of log.jsonl, train.log and TensorBoard's events together
# A GPU's libraries and the gaps in its allocator's memory come on top of what tensors take.
RESERVED = 1.1


@dataclass(frozen=True, kw_only=True)
class Written:
    """Files of one kind."""

    what: str  # Their name
    count: int  # How many there will be
    size: int  # Bytes of each, at most
    folder: Path  # Where

    @property
    def total(self) -> int:
        """Bytes of all."""
        return self.count * self.size


def checkpoint_bytes(config: Config) -> int:
    """Bytes of the tensors in a checkpoint.

    G, its average and D with their buffers; for G and D the second moment of each weight, and the
    first where beta1 is not 0.
    """
    G, D = (on_meta(config, part) for part in ("G", "D"))
    moments = 1 if config.schedule.beta1 == 0 else 2
    stored = 2 * bytes_of(G) + bytes_of(D)
    return stored + moments * sum(p.nbytes for p in (*G.parameters(), *D.parameters()))


def run_files(config: Config, settings: RunSettings, nimg: int = 0) -> list[Written]:
    """Files that a run from image `nimg` on will have written at its end."""
    out, interval = settings.out, settings.interval(config) * 1000
    total = config.schedule.total_kimg * 1000
    # That at the end may lie between two intervals; a fresh run begins with one.
    snapshots = math.ceil(total / interval) - int(nimg // interval) + (nimg == 0)
    # An old checkpoint goes when the new one is there.
    checkpoints = min(settings.keep + 1, snapshots) + bool(settings.metrics.metrics)
    checkpoints += settings.snapshot_minutes > 0
    pixels = (sheet_columns(config) * config.resolution) ** 2
    channels = config.network.num_channels
    ticks = _ticks(config, nimg)
    return [
        Written(what="checkpoints", count=checkpoints, size=checkpoint_bytes(config), folder=out),
        # PNG hardly compresses noise, but does not enlarge it.
        Written(what="sample sheets", count=snapshots + 1, size=channels * pixels, folder=out),
        Written(what="log", count=ticks, size=_LOG_BYTES_PER_TICK, folder=out),
    ]


def _ticks(config: Config, nimg: int) -> int:
    ticks, since = 1, 0.0  # A tick ends with the first step that has shown its images
    for point, steps in phase_steps(config, nimg):
        kimg = point.minibatch * config.schedule.minibatch_repeats / 1000
        first = max(math.ceil((point.tick_kimg - since) / kimg), 1)
        if first > steps:
            since += steps * kimg
            continue
        more, rest = divmod(steps - first, max(math.ceil(point.tick_kimg / kimg), 1))
        ticks, since = ticks + 1 + more, rest * kimg
    return ticks


def prepared_images(data: Path, cache: Path | None) -> Written:
    """The copy of a data set that the first run on it makes: all levels, 8 bits, not compressed."""
    with open_images(data) as files:
        ((first,),) = read_batches(files, range(1), 1, files.channels)
        sizes = [size for size in (first.shape[-1] >> lod for lod in range(30)) if size >= 4]
        image = sum(first.shape[0] * size**2 + 4 for size in sizes)  # with a checksum each
        total = image * len(files)
    folder = (cache or cache_dir()) / "pyramids"
    return Written(what="prepared images", count=1, size=total, folder=folder)


def shortage(files: Sequence[Written], folder: Path) -> str | None:
    """Message if the disk of `folder` has no room for `files`, else None."""
    needed, free = sum(item.total for item in files), free_space(folder)
    if needed <= free:
        return None
    return (
        f"a run needs up to {size_text(needed)} in {folder}, where {size_text(free)} are free: free"
        " some, choose another disk with --out, or lower --keep"
    )


def free_space(folder: Path) -> int:
    """Bytes free on the disk where `folder` is or will be."""
    above = folder.absolute()
    while not above.exists():
        above = above.parent
    return shutil.disk_usage(above).free


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Phases of a training with their cost and speed."""

    config: Config  # What is trained
    execution: Execution  # How
    runtime: Runtime  # Where
    phases: Sequence[Phase]  # Every phase from `nimg` on, with its speed
    free_memory: float  # Free bytes of the device; infinite if unknown
    nimg: int = 0  # Real images shown before
    program: int = 0  # Memory of this process on a CPU before there were networks; 0 where unknown
    measuring: str = ""  # How much memory the metrics take, in words

    @property
    def seconds(self) -> float:
        """Length of the training."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def largest(self) -> Phase:
        """Phase that takes the most memory."""
        return max(self.phases, key=lambda phase: phase.memory)


def make_plan(
    config: Config,
    execution: Execution,
    runtime: Runtime,
    *,
    budget: float = WARMUP,
    nimg: int = 0,
    program: int = 0,
    measuring: str = "",
) -> TrainingPlan:
    """Count the cost of all phases, and time those that fit into `budget` seconds.

    In one process; the speeds are those of all, if the others are as fast and communication takes
    no time. `nimg`, `program` and `measuring` are as in `TrainingPlan`.
    """
    device_type = runtime.device.type
    costs = list(phases_left(phase_costs(config, execution, runtime.world, device_type), nimg))
    free_memory = available_memory(runtime.device)
    with trial_steps(config, execution, runtime) as build:
        # A process takes 1 / world of a step's operations.
        rate = convolution_rate(runtime.device) * runtime.world
        phases = measure_phases(costs, build, rate=rate, budget=budget, memory=free_memory)
    return TrainingPlan(
        config=config,
        execution=execution,
        runtime=runtime,
        phases=phases,
        free_memory=free_memory,
        nimg=nimg,
        program=program,
        measuring=measuring,
    )


def describe_plan(
    plan: TrainingPlan, files: Sequence[Written] = (), out: Path | None = None
) -> Iterator[str]:
    """Lines on the chain from A, sizes, phases, memory, length and files."""
    yield from _chain(plan.config)
    yield ""
    yield from _sizes(plan.config)
    yield ""
    yield "phases:"
    yield from _table(plan.phases)
    yield ""
    if warning := growth_left(plan.config):
        yield f"warning: {warning}"
    yield from summary(plan, files, out)


def summary(
    plan: TrainingPlan, files: Sequence[Written] = (), out: Path | None = None
) -> Iterator[str]:
    """The same in a few lines: how, memory, length, files, warnings."""
    runtime, execution, config = plan.runtime, plan.execution, plan.config
    processes = "1 process" if runtime.world == 1 else f"{runtime.world} processes"
    layout = execution.layout_on(runtime.device.type)
    yield f"on:      {runtime.device.type}, {processes}, {execution.name}, {layout}"
    if not plan.phases:
        yield f"length:  nothing is left to do after {plan.nimg / 1000:g} kimg"
        return
    cost, size = plan.largest, plan.largest.point.resolution
    yield (
        f"memory:  about {size_text(cost.memory)} in each process at {size}x{size},"
        f" {cost.at_a_time} images at a time"
    )
    if plan.program:
        whole = process_memory(cost.memory, plan.program)
        yield (
            f"process: about {size_text(whole)} each, {size_text(plan.program)} of it the program"
            " without networks"
        )
    if plan.measuring:
        yield f"metrics: {plan.measuring}"
    steps = sum(points for _, points in phase_steps(config, plan.nimg))
    steps *= config.schedule.minibatch_repeats
    kimg = config.schedule.total_kimg - plan.nimg / 1000
    timed = sum(phase.measured for phase in plan.phases)
    yield (
        f"length:  about {duration(plan.seconds)} for {kimg:g} kimg in"
        f" {steps:,d} steps; {_basis(timed, len(plan.phases))}"
    )
    yield from _files(files)
    sharing = runtime.world if runtime.device.type == "cpu" else 1
    if cost.memory * RESERVED * sharing > plan.free_memory:
        yield (
            f"warning: {runtime.device.type} has {size_text(plan.free_memory)} left: use"
            " --memory-limit, --grad-accum or --precision bf16"
        )
    if out is not None and (message := shortage([f for f in files if f.folder == out], out)):
        yield f"warning: {message}"


def _basis(timed: int, phases: int) -> str:
    if timed == phases:
        return "all phases were timed"
    if timed == 0:
        return "no step fitted into the trial: as fast as one large convolution, so at least"
    return f"{timed} of {phases} phases were timed, * follow from their operations"


def _table(phases: Sequence[Phase]) -> Iterator[str]:
    yield ("     kimg       size  batch  micro   lrate    GFLOP   memory   img/s     time")
    for phase in phases:
        point = phase.point
        fades = " fade" if phase.fades else ""
        rate = f"{phase.img_per_s:.{0 if phase.img_per_s >= 10 else 2}f}"
        yield (
            f"{point.nimg / 1000:9.1f}  {f'{point.resolution}{fades}':>9s}  {point.minibatch:5d}"
            f"  {phase.at_a_time:5d}  {point.lrate:6.4f}  {phase.flop_per_image / 1e9:7.2f}"
            f"  {size_text(phase.memory):>7s}  {rate:>6s}  {duration(phase.seconds):>7s}"
            f"{'' if phase.measured else ' *'}"
        )


def _files(files: Sequence[Written]) -> Iterator[str]:
    label = "writes:"
    for folder in dict.fromkeys(item.folder for item in files):
        here = [item for item in files if item.folder == folder]
        items = ", ".join(
            f"{item.count} {item.what} of {size_text(item.size)}"
            if item.count > 1 and item.what != "log"
            else f"{item.what} {size_text(item.total)}"
            for item in here
        )
        free = size_text(free_space(folder))
        total = size_text(sum(item.total for item in here))
        yield f"{label:8s} {folder}: {items}; at most {total}, {free} free"
        label = ""


def _chain(config: Config) -> Iterator[str]:
    yield f"configuration {config.name}, as the chain from A:"
    previous = CONFIGS["A"]
    for row in CONFIGS.values():
        yield f"  {row.name}  {row.change}"
        for key, (old, new) in diff(previous, row).items():
            yield f"       {key}: {old} -> {new}"
        previous = row
        if row.name == config.name:
            break
    changes = changes_of_row(config)
    if changes:
        yield "  preset and options"
        for key, change in changes.items():
            yield f"       {key}: {change}"


def _sizes(config: Config) -> Iterator[str]:
    yield "parameters:"
    for name, part in (("generator", "G"), ("discriminator", "D")):
        yield f"  {name:14s} {sum(p.numel() for p in on_meta(config, part).parameters()):12,d}"


def available_memory(device: torch.device) -> float:
    """Free bytes of a device; infinite if unknown."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    path = Path("/proc/meminfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return math.inf


def memory_for_each(device: torch.device, processes: int) -> float:
    """Bytes that each of some processes may take: of a GPU most, of a machine half in all."""
    if device.type == "cuda":
        return 0.85 * torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 / processes


def convolution_rate(device: torch.device, seconds: float = 0.5) -> float:
    """Floating-point operations per second of a typical convolution, measured for a moment."""
    rng = torch.Generator().manual_seed(0)
    layout = best_format(device)
    x = torch.randn(32, 64, 32, 32, generator=rng).to(device, memory_format=layout)
    weight = torch.randn(64, 64, 3, 3, generator=rng).to(device, memory_format=layout)
    flop = 2 * x.shape[0] * 32 * 32 * weight.numel()
    # The first call chooses an algorithm.
    _wait_for(nn.functional.conv2d(x, weight, padding=1))
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        _wait_for(nn.functional.conv2d(x, weight, padding=1))
        calls += 1
    return calls * flop / (time.perf_counter() - start)


def _wait_for(result: Tensor) -> None:
    result[0, 0, 0, 0].item()  # a device computes in the background until a value is asked for
