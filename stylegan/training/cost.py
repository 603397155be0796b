"""Estimate operations, memory and remaining time of a training on meta tensors."""

import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from stylegan.configs import CONFIGS, Config, IntTable, ScheduleConfig
from stylegan.presets import with_options
from stylegan.runtime import Runtime
from stylegan.training.partition import Execution, shares
from stylegan.training.rehearsal import Rehearsal
from stylegan.training.schedule import TrainingPoint, phases
from stylegan_eval.engine.processes import Processes
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import size_text


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of a training and what it takes."""

    point: TrainingPoint  # The phase's first point
    images: int  # Real images shown in it
    flop_per_image: float
    """Floating-point operations of a step of D and of G, per image of the minibatch."""
    at_a_time: int  # Images in a pass of one process
    memory: int  # Estimated peak of one process in bytes; see `Rehearsal.step`
    img_per_s: float = 0.0  # Real images per second, over all processes; 0 where unknown
    measured: bool = False
    """Whether warm steps of this phase were timed; otherwise the speed follows from its operations
    and the rate of the phases that were, weighted by theirs."""

    @property
    def fades(self) -> bool:
        """Whether a resolution is faded in."""
        return self.point.lod % 1 > 0

    @property
    def seconds(self) -> float:
        """Length."""
        return self.images / self.img_per_s

    @property
    def step_flop(self) -> float:
        """Operations of a step of D and one of G."""
        return self.flop_per_image * self.point.minibatch


# Of a process on a CPU. glibc keeps freed memory below 32 MiB in pieces that later tensors may not
# fit into: beside small tensors up to half as much again, beside large ones an eighth.
_GAPS, _MOST_GAPS, _LEAST_GAPS = 0.5, 2**28, 0.12


def program_memory(device: torch.device) -> int:
    """Memory of this process on a CPU before there are networks, in bytes; 0 on a GPU.

    What PyTorch loads when it first counts a step is part of it.
    """
    if device.type != "cpu":
        return 0
    smallest = with_options(CONFIGS["F"], resolution=8)
    _rehearsed(smallest, Execution(), "cpu", 1.0, 4, 4)
    path = Path("/proc/self/statm")
    if path.exists():
        return int(path.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def process_memory(step: int, program: int) -> int:
    """Peak of a process on a CPU, in bytes, of what its steps take and what the program does.

    Images that the system keeps mapped come on top, and go where memory is short.
    """
    return round(program + step + max(min(_GAPS * step, _MOST_GAPS), _LEAST_GAPS * step))


def phase_costs(
    config: Config,
    execution: Execution = Execution(),
    world: int = 1,
    device_type: str = "cpu",
) -> list[Phase]:
    """Every phase of a training with its cost in each of `world` processes, in order."""
    timeless = replace(config, schedule=ScheduleConfig())
    runtime = Runtime(torch.device("meta"), Processes(world=world))
    costs = []
    for point, images in phase_lengths(config):
        own = point.minibatch // world
        at_a_time = max(share.size for share in execution.shares(point, config, runtime))
        flop, memory = _rehearsed(timeless, execution, device_type, point.lod, own, at_a_time)
        phase = Phase(
            point=point, images=images, flop_per_image=flop, at_a_time=at_a_time, memory=memory
        )
        costs.append(phase)
    return costs


_rehearsal = lru_cache(maxsize=4)(Rehearsal)


@lru_cache(maxsize=256)  # a plan, its run and its status ask for the same
def _rehearsed(
    config: Config, execution: Execution, device_type: str, lod: float, own: int, at_a_time: int
) -> tuple[float, int]:
    """`Rehearsal.step`; the schedule of `config` has no part in it."""
    return _rehearsal(config, execution, device_type).step(lod, own, at_a_time)


def phases_left(phases: Sequence[Phase], nimg: int) -> Iterator[Phase]:
    """Phases, or their parts, that are left after `nimg` images."""
    for phase in phases:
        begin, end = max(phase.point.nimg, nimg), phase.point.nimg + phase.images
        if begin < end:
            yield replace(phase, point=replace(phase.point, nimg=begin), images=end - begin)


def phase_lengths(config: Config) -> Iterator[tuple[TrainingPoint, int]]:
    """First point of every phase, and the real images shown in it."""
    points = phases(config)
    ends = [point.nimg for point in points[1:]] + [round(config.schedule.total_kimg * 1000)]
    for point, end in zip(points, ends, strict=True):
        yield point, max(end - point.nimg, 0)


def micro_batches(
    config: Config,
    memory_limit: int,
    *,
    execution: Execution = Execution(),
    world: int = 1,
    device_type: str = "cpu",
) -> IntTable:
    """Most images of a micro-batch so that a step stays below a limit in bytes, by resolution.

    The table for `Execution.at_a_time`: whole groups of the minibatch deviation that divide the
    process's part of the minibatch.
    """
    rehearsal = Rehearsal(config, execution, device_type)
    group = config.network.mbstd_group_size
    table: dict[int, int] = {}
    for point, _ in phase_lengths(config):
        own = sum(share.size for share in shares(point.minibatch, group, world=world))
        images = _most_images(rehearsal, point, own, min(group, own), memory_limit)
        table[point.resolution] = min(images, table.get(point.resolution, images))
    return tuple(table.items())


def _most_images(
    rehearsal: Rehearsal, point: TrainingPoint, own: int, group: int, memory_limit: int
) -> int:
    def memory(images: int) -> int:
        return rehearsal.step(point.lod, own, images)[1]

    whole = memory(own)
    if whole <= memory_limit:
        return own
    one = memory(group)
    if one > memory_limit:
        size = point.resolution
        raise UserError(
            f"a memory limit of {size_text(memory_limit)} is too small: {group} images at a time"
            f" of {size}x{size} need {size_text(one)}; use more, --precision bf16 or a smaller"
            " --resolution"
        )
    # Memory is nearly linear in the images; what a line promises is counted before it is believed.
    per_image = (whole - one) / (own - group)
    for images in range(own - group, group, -group):
        promising = one + per_image * (images - group) <= memory_limit
        if own % images == 0 and promising and memory(images) <= memory_limit:
            return images
    return group


def seconds_left(phases: Sequence[Phase], nimg: int, img_per_s: float) -> float:
    """Seconds left after `nimg` images when the current phase runs at `img_per_s`."""
    current = [phase for phase in phases if phase.point.nimg <= nimg][-1]
    flop = sum(phase.images * phase.flop_per_image for phase in phases_left(phases, nimg))
    return flop / (current.flop_per_image * img_per_s)
