"""Estimate the throughput of each phase by timing a few steps of throwaway networks."""

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from stylegan.configs import Config
from stylegan.datasets.reals import RawBatch
from stylegan.runtime import Runtime
from stylegan.training.cost import Phase
from stylegan.training.loop import Steps
from stylegan.training.partition import Execution
from stylegan.training.schedule import TrainingPoint
from stylegan.training.settings import WARMUP
from stylegan.training.state import TrainState
from stylegan_eval.engine.device import choosing_algorithms, computing_in
from stylegan_eval.errors import UserError, is_out_of_memory

MOST_TIMED = 3

# Takes a step of both networks, and returns when the device has finished it.
TrialStep = Callable[[], None]


def measure_phases(
    phases: Sequence[Phase],
    build: Callable[[Phase], TrialStep],
    *,
    rate: float,
    budget: float = WARMUP,
    memory: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Phase]:
    """Time phases, the cheapest step first, as long as `budget` seconds last; the same with speeds.

    Of each phase one step is taken that never counts (libraries load, kernels are chosen), and up
    to three that do. A phase whose two steps would not fit into what is left of the budget, or that
    is estimated to need more than `memory` bytes, is extrapolated, and so are all costlier ones.
    `rate` is the number of operations per second to expect before anything is known. The budget is
    passed only where a first step takes longer than expected: the cheapest phase is timed by one
    more even then, for without it nothing would be known.
    """
    end = clock() + budget
    seconds: dict[int, float] = {}  # of a warm step
    for i in sorted(range(len(phases)), key=lambda i: phases[i].step_flop):
        expected = phases[i].step_flop / _mean_rate(phases, seconds, otherwise=rate)
        if phases[i].memory > memory or 2 * expected > end - clock():
            break  # and with it all costlier ones: one rate serves them all
        warm = _warm_step(build(phases[i]), end, clock, needed=not seconds)
        if warm is None:
            break
        seconds[i] = warm
    rate = _mean_rate(phases, seconds, otherwise=rate)
    return [
        replace(
            phase,
            img_per_s=phase.point.minibatch / seconds.get(i, phase.step_flop / rate),
            measured=i in seconds,
        )
        for i, phase in enumerate(phases)
    ]


def _mean_rate(phases: Sequence[Phase], seconds: Mapping[int, float], *, otherwise: float) -> float:
    """Operations per second of the phases timed, weighted by operations."""
    flop = {i: phases[i].step_flop for i in seconds}
    if not flop:
        return otherwise
    return sum(flop[i] ** 2 / seconds[i] for i in flop) / sum(flop.values())


def _warm_step(
    step: TrialStep, end: float, clock: Callable[[], float], *, needed: bool
) -> float | None:
    """Shortest of up to three steps after a first, cold one; None where that took all the time."""
    step()
    times: list[float] = []
    while len(times) < MOST_TIMED:
        if clock() + min(times, default=0.0) > end and not (needed and not times):
            break
        start = clock()
        step()
        times.append(clock() - start)
    return min(times, default=None)


@contextmanager
def trial_steps(
    config: Config, execution: Execution, runtime: Runtime
) -> Iterator[Callable[[Phase], TrialStep]]:
    """Networks for `measure_phases`, gone at the end of the block; yields its argument `build`.

    They share nothing with those of the run, and draw from streams of their own. Steps are one
    process's part, without what goes between processes and without reading images. `torch.compile`
    would take longer than all of them: they are not compiled, so that a compiled run is faster.
    """
    execution, alone = replace(execution, compile=False), Runtime(runtime.device)
    trial: list[Steps] = []  # one, and none at the end, though a step may still be held

    def step_of(phase: Phase) -> TrialStep:
        if not trial:
            state = TrainState.fresh(config, alone, 0, execution)
            trial.append(Steps(state, config, alone, execution))
        shares = execution.shares(phase.point, config, runtime)
        batches = [random_batch(config, share.size, phase.point) for share in shares]

        def step() -> None:
            if not trial:
                raise RuntimeError("the networks of the trial are gone")
            state = trial[0].state
            state.enter(phase.point)
            try:
                terms = trial[0].both(phase.point, shares, iter(batches))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                size = phase.point.resolution
                raise UserError(
                    f"a pass of {shares[0].size} images at {size}x{size} does not fit into the"
                    f" memory of {runtime.device}: use --memory-limit, --grad-accum or --precision"
                    " bf16"
                ) from error
            terms["grad_norm_G"].item()  # waits for the device

        return step

    try:
        with (
            computing_in(execution.precision, runtime.device.type),
            choosing_algorithms(execution.algorithms),
        ):
            yield step_of
    finally:
        trial.clear()
        gc.collect()
        if runtime.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(runtime.device)


def random_batch(config: Config, n: int, point: TrainingPoint) -> RawBatch:
    """Random images, always the same."""
    size = config.resolution >> int(point.lod)
    rng = torch.Generator().manual_seed(0)
    shape = (n, config.network.num_channels, size, size)
    images = torch.randint(256, shape, generator=rng, dtype=torch.uint8)
    labels = torch.zeros(n, config.network.label_size)
    return RawBatch(images, torch.zeros(n, dtype=torch.bool), labels, labels)
