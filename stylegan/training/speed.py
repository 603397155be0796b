"""Estimate the throughput of each phase by timing a few steps of throwaway networks."""

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from stylegan.configs import Config
from stylegan.datasets.reals import RawBatch
from stylegan.runtime import Runtime
from stylegan.training.cost import PhaseCost
from stylegan.training.loop import Forward, Step, both_steps
from stylegan.training.partition import Execution
from stylegan.training.randomness import StepRandom
from stylegan.training.schedule import TrainingPoint
from stylegan.training.settings import WARMUP
from stylegan.training.state import TrainState
from stylegan_eval.engine.precision import computing_in
from stylegan_eval.errors import UserError, is_out_of_memory

MOST_TIMED = 3

# Takes a step of both networks, and returns when the device has finished it.
TrialStep = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class PhaseSpeed:
    """Speed of one phase."""

    cost: PhaseCost  # The phase
    img_per_s: float  # Real images per second, over all processes
    measured: bool
    """Whether warm steps of this phase were timed; otherwise the speed follows from its operations
    and the rate of the phases that were, weighted by theirs."""

    @property
    def seconds(self) -> float:
        """Length of the phase."""
        return self.cost.images / self.img_per_s


def measure_phases(
    costs: Sequence[PhaseCost],
    build: Callable[[PhaseCost], TrialStep],
    *,
    rate: float,
    budget: float = WARMUP,
    memory: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> list[PhaseSpeed]:
    """Time phases, the cheapest step first, as long as the budget lasts.

    Of each phase one step is taken that never counts (libraries load, kernels are chosen), and up
    to three that do. A phase whose two steps would not fit into what is left of the budget is
    extrapolated, and so are all costlier ones.

    Parameters
    ----------
    build : callable
        Makes a phase's step.
    rate : float
        Operations per second to expect before anything is known.
    budget : float
        Seconds. Passed only where a first step takes longer than expected: the cheapest phase is
        timed by one more even then, for without it nothing would be known.
    memory : float
        Bytes there are; a phase that is estimated to need more is extrapolated.
    clock : callable
        Seconds from any start.

    Returns
    -------
    list of PhaseSpeed
        In the order of `costs`.
    """
    end = clock() + budget
    seconds: dict[int, float] = {}  # of a warm step
    for i in sorted(range(len(costs)), key=lambda i: _step_flop(costs[i])):
        expected = _step_flop(costs[i]) / _mean_rate(costs, seconds, otherwise=rate)
        if costs[i].memory > memory or 2 * expected > end - clock():
            break  # and with it all costlier ones: one rate serves them all
        warm = _warm_step(build(costs[i]), end, clock, needed=not seconds)
        if warm is None:
            break
        seconds[i] = warm
    rate = _mean_rate(costs, seconds, otherwise=rate)
    return [
        PhaseSpeed(
            cost=cost,
            img_per_s=cost.point.minibatch / seconds.get(i, _step_flop(cost) / rate),
            measured=i in seconds,
        )
        for i, cost in enumerate(costs)
    ]


def _step_flop(cost: PhaseCost) -> float:
    return cost.flop_per_image * cost.point.minibatch


def _mean_rate(
    costs: Sequence[PhaseCost], seconds: Mapping[int, float], *, otherwise: float
) -> float:
    """Operations per second of the phases timed, weighted by operations."""
    flop = {i: _step_flop(costs[i]) for i in seconds}
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
) -> Iterator[Callable[[PhaseCost], TrialStep]]:
    """Networks for `measure_phases`, gone at the end of the block.

    They share nothing with those of the run, and draw from streams of their own. Steps are one
    process's part, without what goes between processes and without reading images. `torch.compile`
    would take longer than all of them: they are not compiled, so that a compiled run is faster.

    Yields
    ------
    callable
        Makes the step of a phase.
    """
    trial = _Trial(config, replace(execution, compile=False), runtime)
    try:
        with computing_in(execution.precision, runtime.device.type):
            yield trial.step_of
    finally:
        trial.state = None
        del trial
        gc.collect()
        if runtime.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(runtime.device)


class _Trial:
    def __init__(self, config: Config, execution: Execution, runtime: Runtime) -> None:
        self._config, self._execution, self._runtime = config, execution, runtime
        self.state: TrainState | None = None

    def step_of(self, cost: PhaseCost) -> TrialStep:
        """Step of a phase on random images, always the same."""
        if self.state is None:
            self.state = TrainState.fresh(self._config, Runtime(self._runtime.device), seed=0)
        shares = self._execution.shares(cost.point, self._config, self._runtime)
        batches = [self._batch(share.size, cost.point) for share in shares]

        def step() -> None:
            state, device = self.state, self._runtime.device
            if state is None:
                raise RuntimeError("the networks of the trial are gone")
            state.enter(cost.point)
            doing = Step(
                point=cost.point,
                loss=self._config.loss,
                random=StepRandom(0, state.nimg, device),
                runtime=Runtime(device),
                forward=Forward.of(state, self._execution),
            )
            ema_kimg = self._config.schedule.ema_kimg
            try:
                terms = both_steps(state, doing, shares, iter(batches), ema_kimg)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                size = cost.point.resolution
                raise UserError(
                    f"a pass of {shares[0].size} images at {size}x{size} does not fit into the"
                    f" memory of {device}: use --memory-limit, --grad-accum or --precision bf16"
                ) from error
            terms["grad_norm_G"].item()  # waits for the device

        return step

    def _batch(self, n: int, point: TrainingPoint) -> RawBatch:
        network, size = self._config.network, self._config.resolution >> int(point.lod)
        rng = torch.Generator().manual_seed(0)
        shape = (n, network.num_channels, size, size)
        images = torch.randint(256, shape, generator=rng, dtype=torch.uint8)
        labels = torch.zeros(n, network.label_size)
        return RawBatch(images, torch.zeros(n, dtype=torch.bool), labels, labels)
