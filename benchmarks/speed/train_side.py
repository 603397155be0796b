"""One way of taking a training step, in a process of its own that waits to be told."""

import copy
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.speed.plain import plain_layers
from stylegan.configs import CONFIGS, Config
from stylegan.datasets.reals import RawBatch
from stylegan.runtime import Runtime
from stylegan.training.draws import StepRandom
from stylegan.training.execution import Execution
from stylegan.training.forward import Forward
from stylegan.training.loop import (
    Pass,
    Step,
    both_steps,
    discriminator_terms,
    draw_cutoff,
    draw_fakes,
    generator_loss,
)
from stylegan.training.optimizer import ema_beta
from stylegan.training.partition import shares
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState
from stylegan_eval.precision import computing_in

WAYS = {
    "plain": Execution(),
    "fast": Execution(),
    "bf16": Execution(precision="bf16"),
    "compiled": Execution(compile=True),
    "bf16+compiled": Execution(precision="bf16", compile=True),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A step to be timed.

    Attributes
    ----------
    width : int
        Feature maps at 32x32 and below, half as many with every doubling; 512 is the paper's.
    resolution : int
        In pixels.
    minibatch : int
        Images.
    device : str
        cpu or cuda.
    """

    width: int
    resolution: int
    minibatch: int
    device: str

    @property
    def config(self) -> Config:
        """Configuration F of this width."""
        config, width = CONFIGS["F"], self.width
        network = replace(
            config.network,
            fmap_base=16 * width,
            fmap_max=width,
            z_dim=width,
            w_dim=width,
            mapping_fmaps=width,
        )
        schedule = replace(config.schedule, minibatch=(), minibatch_base=self.minibatch)
        return replace(config, resolution=self.resolution, network=network, schedule=schedule)


class Side:
    """A process that takes steps of one case in one way.

    Parameters
    ----------
    way : str
        Of `WAYS`.
    case : Case
        What to step.
    threads : int
        Of the process.
    """

    def __init__(self, way: str, case: Case, threads: int) -> None:
        self.way = way
        context = multiprocessing.get_context("spawn")
        self._end, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(way, case, threads, other))
        self._process.start()
        other.close()

    def step(self) -> float:
        """Take a step; seconds."""
        self._end.send("step")
        return float(self._end.recv())

    def peak_bytes(self) -> int:
        """By how much the process (or its part of a GPU) grew at most."""
        self._end.send("peak")
        return int(self._end.recv())

    def close(self) -> None:
        """End the process."""
        self._end.send("end")
        self._process.join()


def _serve(way: str, case: Case, threads: int, end: Connection) -> None:
    torch.set_num_threads(threads)
    device = torch.device(case.device)
    torch.zeros(1, device=device)
    before = _peak(device)
    with computing_in(WAYS[way].precision, device.type):
        step = plain_step(case) if way == "plain" else fast_step(case, WAYS[way])
        while (order := end.recv()) != "end":
            if order == "peak":
                end.send(_peak(device) - before)
                continue
            start = time.perf_counter()
            step().item()  # waits for the device
            end.send(time.perf_counter() - start)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # The largest size of this program, not of the one that started it, which `resource` counts.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _raw_batches(case: Case) -> Iterator[RawBatch]:
    rng = torch.Generator().manual_seed(0)
    shape = (case.minibatch, 3, case.resolution, case.resolution)
    images = torch.randint(256, shape, generator=rng, dtype=torch.uint8)
    nothing = torch.zeros(case.minibatch, 0)
    while True:
        yield RawBatch(images, torch.zeros(case.minibatch, dtype=torch.bool), nothing, nothing)


def _step(case: Case, runtime: Runtime, forward: Forward, nimg: int) -> Step:
    config = case.config
    point = replace(training_point(0, config), lod=0.0, resolution=case.resolution)
    random = StepRandom(0, nimg, runtime.device)
    return Step(point=point, loss=config.loss, random=random, runtime=runtime, forward=forward)


def fast_step(case: Case, execution: Execution) -> Callable[[], Tensor]:
    """The training loop's own step of D, of the average and of G; returns G's loss."""
    config, runtime = case.config, Runtime.choose(case.device)
    state = TrainState.fresh(config, runtime, seed=0)
    forward = Forward.of(state, execution)
    parts, batches = shares(case.minibatch, 4), _raw_batches(case)

    def step() -> Tensor:
        doing = _step(case, runtime, forward, state.nimg)
        return both_steps(state, doing, parts, batches, config.schedule.ema_kimg)["loss_G"]

    return step


def plain_step(case: Case) -> Callable[[], Tensor]:
    """The same step as one would write it first.

    Plain layers, PyTorch's Adam and a loop over the weights for the average, one weight at a time.
    """
    config, runtime = case.config, Runtime.choose(case.device)
    with plain_layers():
        state = TrainState.fresh(config, runtime, seed=0)
    average = copy.deepcopy(state.G).requires_grad_(requires_grad=False)
    forward = Forward(state.G.synthesis, state.D, state.D)
    (share,), batches = shares(case.minibatch, 4), _raw_batches(case)
    adams: dict[nn.Module, torch.optim.Adam] = {
        network: torch.optim.Adam(network.parameters(), 0.001, (0.0, 0.99), foreach=False)
        for network in (state.G, state.D)
    }
    beta = ema_beta(case.minibatch, config.schedule.ema_kimg)

    def step() -> Tensor:
        doing = _step(case, runtime, forward, state.nimg)
        batch = Pass.of(next(batches), share, 0.0, runtime.device)
        with plain_layers():
            loss = _plain_steps(state, doing, batch, config, adams)
        _plain_ema(average, state.G, beta)
        state.nimg += case.minibatch
        return loss

    return step


def _plain_steps(
    state: TrainState,
    step: Step,
    batch: Pass,
    config: Config,
    adams: dict[nn.Module, torch.optim.Adam],
) -> Tensor:
    cutoff = draw_cutoff(state.G, config.loss, 0.0, step.random)
    state.D.requires_grad_(requires_grad=True)
    adams[state.D].zero_grad()
    with torch.no_grad():
        fakes, _ = draw_fakes(state, step, batch.share, None, cutoff)
    terms = discriminator_terms(step.forward, batch, fakes, None, loss=config.loss, lod=0.0)
    torch.autograd.backward(terms["loss_D"])
    adams[state.D].step()
    cutoff = draw_cutoff(state.G, config.loss, 0.0, step.random)
    state.D.requires_grad_(requires_grad=False)
    adams[state.G].zero_grad()
    fakes, _ = draw_fakes(state, step, batch.share, None, cutoff)
    loss = generator_loss(step.forward.scores(fakes, None, 0.0), config.loss)
    torch.autograd.backward(loss)
    adams[state.G].step()
    return loss.detach()


def _plain_ema(average: nn.Module, network: nn.Module, beta: float) -> None:
    with torch.no_grad():
        for old, new in zip(average.parameters(), network.parameters(), strict=True):
            old.copy_(new + beta * (old - new))
