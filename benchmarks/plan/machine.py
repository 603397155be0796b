"""Training speed of this machine: two real steps, timed once a day."""

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from benchmarks.plan.model import (
    Throughput,
    given_throughput,
    size_lengths,
    training_seconds,
    work_of,
)
from benchmarks.plan.official import v100
from stylegan import __version__
from stylegan.configs import CONFIGS, Config
from stylegan.presets import apply_preset
from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.errors import UserError

_BUDGET = 4.0  # seconds of steps
_KEPT = 86400.0  # seconds; tomorrow the machine may have other work


def quick_estimates(configs: Mapping[str, Config], device: str = "auto") -> Mapping[str, float]:
    """Seconds that trainings take in one process on this machine.

    The first call of a day times two steps, which takes some seconds; later ones do not import
    PyTorch.
    """
    throughput = machine_throughput(device)
    return {
        name: training_seconds(config, gpus=1, throughput=throughput)
        for name, config in configs.items()
    }


def machine_throughput(device: str = "auto") -> Throughput:
    """Throughput measured within a day, else `measure_throughput`, cached."""
    path = _remembered(device)
    with suppress(OSError, TypeError, ValueError):
        if 0 <= time.time() - path.stat().st_mtime < _KEPT:
            return Throughput(**json.loads(path.read_text()))
    throughput = measure_throughput(device)
    tree = {
        "name": throughput.name,
        "flop_per_s": throughput.flop_per_s,
        "step_seconds": throughput.step_seconds,
    }
    # A machine on which nothing can be kept is measured anew each time.
    with suppress(UserError), atomic_write(path) as temporary:
        temporary.write_text(json.dumps(tree) + "\n")
    return throughput


def throughput_named(name: str, device: str = "auto") -> Throughput:
    """Throughput of the option ``--throughput``.

    That is 'v100', 'here' (measured on `device`), or the TFLOP/s that convolutions reach on a GPU
    that is otherwise like a V100 in proportion.
    """
    if name.lower() == "v100":
        return v100()
    if name.lower() == "here":
        return machine_throughput(device)
    try:
        tflop_per_s = float(name)
    except ValueError as error:
        raise UserError(
            f"--throughput must be v100, here, or a number of TFLOP/s, not {name!r}"
        ) from error
    return given_throughput(tflop_per_s, v100())


def measure_throughput(device: str) -> Throughput:
    """Time a small and a large step of configuration F, for some seconds.

    Two times give two numbers: a rate of operations, memory traffic included, and the fixed
    seconds of a step.
    """
    from stylegan.runtime import Runtime
    from stylegan.training.cost import Phase
    from stylegan.training.partition import Execution
    from stylegan.training.schedule import training_point
    from stylegan.training.speed import measure_phases, trial_steps

    runtime = Runtime.choose(device)
    config = _trial_config(runtime.device.type)
    stages = [size for size, images in size_lengths(config) if images]
    costs = []
    for nimg, size in ((0, stages[0]), (round(1000 * config.schedule.total_kimg), stages[-1])):
        point = training_point(nimg, config)
        costs.append(
            Phase(
                point=point,
                images=1,
                flop_per_image=work_of(config, size).flop(point.minibatch) / point.minibatch,
                at_a_time=point.minibatch,
                memory=0,
            )
        )
    with trial_steps(config, Execution(), runtime) as build:
        small, large = measure_phases(costs, build, rate=math.inf, budget=_BUDGET)
    flop = [cost.flop_per_image * cost.point.minibatch for cost in costs]
    seconds = [s.point.minibatch / s.img_per_s for s in (small, large)]
    return two_point_throughput(flop, seconds, name=f"this machine's {runtime.device.type}")


def two_point_throughput(flop: list[float], seconds: list[float], *, name: str) -> Throughput:
    """The line through two steps; through the larger and nothing where it would start below 0.

    >>> gpu = two_point_throughput([1e9, 5e9], [0.3, 0.7], name="x")
    >>> round(gpu.flop_per_s / 1e9), round(gpu.step_seconds, 3)
    (10, 0.2)
    """
    (less, more), (short, long) = flop, seconds
    slope = (long - short) / (more - less)
    fixed = short - less * slope
    if slope <= 0 or fixed < 0:
        slope, fixed = long / more, 0.0
    return Throughput(name=name, flop_per_s=1 / slope, step_seconds=fixed)


def _trial_config(kind: str) -> Config:
    """Configuration to time on a device: the smallest scale, or the paper's width."""
    if kind == "cpu":
        return apply_preset(CONFIGS["F"], "demo-32")
    return replace(CONFIGS["F"], resolution=256)


def _remembered(device: str) -> Path:
    about = {
        "device": device,
        "machine": platform.node(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "version": __version__,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    return cache_dir() / "plan" / f"speed-{digest}.json"
