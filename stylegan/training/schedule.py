"""The official training schedule as a pure function of the images shown."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from stylegan.configs import Config, at_resolution


@dataclass(frozen=True, kw_only=True)
class TrainingPoint:
    """Schedule values at one training step."""

    nimg: int  # Real images shown so far
    lod: float  # Level of detail: 0 is full resolution, a fraction cross-fades
    resolution: int  # Resolution of the finer level, in pixels
    minibatch: int  # Images per step over all devices
    lrate: float  # Learning rate of both networks
    tick_kimg: float  # Thousands of images between two lines of the log


def active_levels(lod: float) -> tuple[int, int]:
    """floor(lod) and ceil(lod): when either changes, layers come or go."""
    return math.floor(lod), math.ceil(lod)


def training_point(nimg: int, config: Config) -> TrainingPoint:
    """Schedule values after `nimg` real images.

    A phase shows `training_kimg` at one resolution, then fades in the next over
    `transition_kimg`. Minibatch and learning rate switch when the fade starts.
    """
    schedule = config.schedule
    kimg = nimg / 1000
    phase_kimg = schedule.training_kimg + schedule.transition_kimg
    phase = math.floor(kimg / phase_kimg) if phase_kimg > 0 else 0
    into_phase = kimg - phase * phase_kimg
    start = max(math.log2(config.resolution) - math.log2(schedule.initial_resolution), 0.0)
    lod = start - phase
    if schedule.transition_kimg > 0:
        lod -= max(into_phase - schedule.training_kimg, 0.0) / schedule.transition_kimg
    lod = max(lod, 0.0) if phase_kimg > 0 else 0.0
    resolution = config.resolution >> math.floor(lod)
    return TrainingPoint(
        nimg=nimg,
        lod=lod,
        resolution=resolution,
        minibatch=at_resolution(schedule.minibatch, resolution, schedule.minibatch_base),
        lrate=at_resolution(schedule.lrate, resolution, schedule.lrate_base),
        tick_kimg=at_resolution(schedule.tick_kimg, resolution, 1.0),
    )


def longer_kimg(config: Config, nimg: int) -> str:
    """A `--kimg` that a run finished at image `nimg` can go on to: twice its length."""
    return f"{2 * max(config.schedule.total_kimg, nimg / 1000):g}"


def growth_left(config: Config, command: str = "") -> str:
    """Warning that a training ends before it has grown up, with what to type; "" where it has.

    `command` continues the run, but for the option; "" where it has not begun.
    """
    schedule = config.schedule
    last = training_point(math.ceil(schedule.total_kimg * 1000), config)
    if last.lod == 0:
        return ""
    doublings = math.log2(config.resolution) - math.log2(schedule.initial_resolution)
    grown = doublings * (schedule.training_kimg + schedule.transition_kimg)
    own, side = config.resolution >> math.ceil(last.lod), config.resolution
    return (
        f"the training ends at lod {last.lod:.2f}, at {schedule.total_kimg:g} kimg, before the"
        f" networks have grown from {own}x{own} to {side}x{side}, at {grown:g}: {command or 'give'}"
        f" --kimg {grown + schedule.training_kimg:g}"
    )


def training_points(config: Config, nimg: int = 0) -> Iterator[TrainingPoint]:
    """Schedule updates from image `nimg` to `total_kimg`, in order."""
    while nimg < config.schedule.total_kimg * 1000:
        point = training_point(nimg, config)
        yield point
        nimg += _images_per_point(point, config)


def _images_per_point(point: TrainingPoint, config: Config) -> int:
    return point.minibatch * config.schedule.minibatch_repeats


def phase_steps(config: Config, nimg: int = 0) -> Iterator[tuple[TrainingPoint, int]]:
    """First point of each phase from image `nimg` on, and how many points the phase has."""
    while nimg < config.schedule.total_kimg * 1000:
        point = training_point(nimg, config)
        steps = _points_in_phase(point, config)
        yield point, steps
        nimg += steps * _images_per_point(point, config)


def final_nimg(config: Config) -> int:
    """Images shown when a training ends: at the first schedule update past its length, or there."""
    return max(
        (first.nimg + n * _images_per_point(first, config) for first, n in phase_steps(config)),
        default=0,
    )


def _points_in_phase(first: TrainingPoint, config: Config) -> int:
    """Found by bisection: within a phase only `nimg` and `lod` change, and `lod` never rises."""
    images = _images_per_point(first, config)

    def is_over(steps: int) -> bool:
        lod = training_point(first.nimg + steps * images, config).lod
        return active_levels(lod) != active_levels(first.lod)

    left = math.ceil((config.schedule.total_kimg * 1000 - first.nimg) / images)
    return bisect_left(range(left), x=True, key=is_over)


@lru_cache(maxsize=16)
def phases(config: Config) -> tuple[TrainingPoint, ...]:
    """The first point of each phase: where optimizers forget and layers come or go."""
    return tuple(point for point, _ in phase_steps(config))
