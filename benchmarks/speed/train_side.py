"""One side of the training benchmark, in a process of its own, and the plain layers."""

import contextlib
import copy
import itertools
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.configs import CONFIGS, Config
from stylegan.datasets.reals import RawBatch
from stylegan.networks import epilogue, layers, synthesis
from stylegan.runtime import Runtime
from stylegan.training.loop import MicroBatch, Purpose, Steps
from stylegan.training.optimizer import ema_beta
from stylegan.training.partition import Execution, shares
from stylegan.training.schedule import TrainingPoint, training_point
from stylegan.training.speed import random_batch
from stylegan.training.state import TrainState
from stylegan_eval.engine.device import computing_in


def upsample_conv(x: Tensor, weight: Tensor, shifts: layers.FourShifts) -> Tensor:
    """Nearest neighbour, then a 3x3 convolution."""
    kernel = weight if shifts.rotated else weight.flip(2, 3)
    return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), kernel, padding=1)


def conv_lrelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution that autograd differentiates, then leaky ReLU."""
    return F.leaky_relu(F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2), 0.2)


def conv_downsample_lrelu(
    x: Tensor, weight: Tensor, bias: Tensor, _shifts: layers.FourShifts
) -> Tensor:
    """A 3x3 convolution, then the mean of 2x2 pixels, then leaky ReLU."""
    return F.leaky_relu(F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2), 0.2)


def blur(x: Tensor) -> Tensor:
    """A depthwise convolution that autograd differentiates."""
    taps = x.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = (taps[:, None] * taps[None, :]).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def noise_bias_lrelu(
    x: Tensor, noise: Tensor | None, noise_weight: Tensor | None, bias: Tensor
) -> Tensor:
    """Noise, bias, leaky ReLU, one after the other."""
    if noise is not None and noise_weight is not None:
        x = x + noise * noise_weight[:, None, None]
    return F.leaky_relu(x + bias[:, None, None], 0.2)


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-8) -> Tensor:
    """PyTorch's instance norm, then scale and shift."""
    return F.instance_norm(x, eps=eps) * scale[:, :, None, None] + shift[:, :, None, None]


_REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (synthesis, "upsample_conv", upsample_conv),
    (layers.Blur, "forward", lambda _self, x: blur(x)),
    (epilogue, "noise_bias_lrelu", noise_bias_lrelu),
    (epilogue, "adain", adain),
    (layers, "conv_downsample_lrelu", conv_downsample_lrelu),
    (layers, "conv_lrelu", conv_lrelu),
    # The networks ask for channels_last by this name.
    (torch, "channels_last", torch.contiguous_format),
)


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Let the networks run on the plain layers inside the block."""
    saved = [(module, name, getattr(module, name)) for module, name, _ in _REPLACED]
    try:
        for module, name, value in _REPLACED:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in saved:
            setattr(module, name, value)


WAYS = {
    "plain": Execution(),
    "fast": Execution(),
    "bf16": Execution(precision="bf16"),
    "compiled": Execution(compile=True),
    "bf16+compiled": Execution(precision="bf16", compile=True),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A step to be timed."""

    width: int
    """Feature maps at 32x32 and below, half as many with every doubling; 512 is the paper's."""
    resolution: int  # In pixels
    minibatch: int  # Images
    device: str  # cpu or cuda

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


class StepProcess:
    """A process that takes steps of one case in one of the `WAYS`."""

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


def prepared_step(
    config: Config, point: TrainingPoint, runtime: Runtime, execution: Execution
) -> Callable[[], dict[str, Tensor]]:
    """The training loop's own step of D, of the average and of G on random images; its terms."""
    steps = Steps(TrainState.fresh(config, runtime, 0, execution), config, runtime, execution)
    parts = execution.shares(point, config, runtime)
    raw = [random_batch(config, part.size, point) for part in parts]
    if runtime.device.type == "cuda":  # as the loop's reader does: copies do not wait
        raw = [RawBatch(*(tensor.pin_memory() for tensor in batch)) for batch in raw]
    batches = itertools.cycle(raw)
    steps.state.enter(point)

    return lambda: steps.both(point, parts, batches)


def fast_step(case: Case, execution: Execution) -> Callable[[], Tensor]:
    """`prepared_step` of a case; returns G's loss."""
    point = replace(training_point(0, case.config), lod=0.0, resolution=case.resolution)
    step = prepared_step(case.config, point, Runtime.choose(case.device), execution)
    return lambda: step()["loss_G"]


def plain_step(case: Case) -> Callable[[], Tensor]:
    """The same step on plain layers, with PyTorch's Adam and an average one weight at a time."""
    config, runtime = case.config, Runtime.choose(case.device)
    with plain_layers():
        state = TrainState.fresh(config, runtime, seed=0)
    average = copy.deepcopy(state.G).requires_grad_(requires_grad=False)
    steps = Steps(state, config, runtime, Execution())
    (share,) = shares(case.minibatch, 4)
    adams: dict[nn.Module, torch.optim.Adam] = {
        network: torch.optim.Adam(network.parameters(), 0.001, (0.0, 0.99), foreach=False)
        for network in (state.G, state.D)
    }
    beta = ema_beta(case.minibatch, config.schedule.ema_kimg)

    point = replace(training_point(0, config), lod=0.0, resolution=case.resolution)
    raw = random_batch(config, case.minibatch, point)

    def step() -> Tensor:
        steps.begin(point)
        batch = MicroBatch.of(raw, share, None, runtime.device)
        with plain_layers():
            loss = _plain_steps(steps, batch, adams)
        with torch.no_grad():
            for old, new in zip(average.parameters(), state.G.parameters(), strict=True):
                old.copy_(new + beta * (old - new))
        state.nimg += case.minibatch
        return loss

    return step


def _plain_steps(
    steps: Steps, batch: MicroBatch, adams: dict[nn.Module, torch.optim.Adam]
) -> Tensor:
    state = steps.state
    state.D.requires_grad_(requires_grad=True)
    adams[state.D].zero_grad()
    with torch.no_grad():
        fakes, _ = steps.draw_fakes(batch.share, None, Purpose.D)
    terms = steps.discriminator_terms(batch, fakes, None)
    torch.autograd.backward(terms["loss_D"])
    adams[state.D].step()
    state.D.requires_grad_(requires_grad=False)
    adams[state.G].zero_grad()
    fakes, _ = steps.draw_fakes(batch.share, None, Purpose.G)
    value = steps.generator_loss(fakes, None)
    torch.autograd.backward(value)
    adams[state.G].step()
    return value.detach()
