"""One whole training step of configuration F, by variant: what `benchmarks.speed.train` times.

A step is one of D and one of G with their Adam, and the moving average of G's weights.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.fid_sides import peak_memory
from benchmarks.speed.plain import plain_layers
from stylegan.configs import CONFIGS, Config
from stylegan.networks.compiled import CompiledDiscriminator, CompiledSynthesis
from stylegan.runtime import Runtime, StepRandom
from stylegan.training.cost import step_cost
from stylegan.training.loop import discriminator_terms, draw_ws, generator_loss
from stylegan.training.optimizer import update_ema
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState

VARIANTS = ("plain", "fast", "bf16", "compiled", "bf16+compiled")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a step is taken of.

    Attributes
    ----------
    variant : str
        A member of `VARIANTS`.
    width : int
        Feature maps at 32x32 and below; half as many with every doubling of the size.
    resolution, minibatch : int
        Pixels and number of images.
    device : str
        As for `Runtime.choose`.
    threads : int
        Threads on the CPU.
    """

    variant: str
    width: int
    resolution: int
    minibatch: int
    device: str
    threads: int


def config_of(setting: Setting) -> Config:
    """Configuration F at a width and size; width 512 is the paper's."""
    config, width = CONFIGS["F"], setting.width
    network = replace(
        config.network,
        fmap_base=16 * width,
        fmap_max=width,
        z_dim=width,
        w_dim=width,
        mapping_fmaps=width,
    )
    schedule = replace(config.schedule, minibatch=(), minibatch_base=setting.minibatch)
    return replace(config, resolution=setting.resolution, network=network, schedule=schedule)


class PlainUpdates:
    """Adam weight by weight, and the moving average in a loop of Python."""

    def __init__(self, state: TrainState) -> None:
        self.state = state
        self.adams: dict[nn.Module, torch.optim.Adam] = {
            network: torch.optim.Adam(
                network.parameters(), lr=1e-3, betas=(0.0, 0.99), foreach=False, fused=False
            )
            for network in (state.G, state.D)
        }

    def adam(self, network: nn.Module) -> None:
        """Step of one network."""
        self.adams[network].step()

    @torch.no_grad()
    def average(self) -> None:
        """Move G_ema."""
        pairs = zip(self.state.G_ema.parameters(), self.state.G.parameters(), strict=True)
        for old, new in pairs:
            old.mul_(0.99).add_(new, alpha=0.01)


class FastUpdates:
    """Those of the training loop."""

    def __init__(self, state: TrainState) -> None:
        self.state = state

    def adam(self, network: nn.Module) -> None:
        """Step of one network."""
        state = self.state
        optimizer = state.optimizer_G if network is state.G else state.optimizer_D
        optimizer.update(1e-3)

    def average(self) -> None:
        """Move G_ema."""
        update_ema(self.state.G_ema, self.state.G, 0.99)


def make_step(setting: Setting) -> Callable[[], dict[str, Tensor]]:
    """Networks of a setting, and what trains them by a step and returns the terms of the losses."""
    runtime, config = Runtime.choose(setting.device), config_of(setting)
    state = TrainState.fresh(config, runtime, seed=0)
    G, D, loss = state.G, state.D, config.loss
    updates = PlainUpdates(state) if setting.variant == "plain" else FastUpdates(state)
    dtype = torch.bfloat16 if "bf16" in setting.variant else torch.float32
    compiles = "compiled" in setting.variant
    draw = partial(CompiledSynthesis(G) if compiles else G.synthesis, dtype=dtype)
    score: Any = partial(D, dtype=dtype)
    score_for_G = partial(CompiledDiscriminator(D), dtype=dtype) if compiles else score
    point = replace(training_point(0, config), lod=0.0)
    n, rng = setting.minibatch, torch.Generator().manual_seed(0)
    shape = (n, 3, config.resolution, config.resolution)
    reals = torch.rand(shape, generator=rng).to(runtime.device) * 2 - 1

    def fakes(random: StepRandom) -> Tensor:
        ws = draw_ws(G, n, loss, point.lod, random)
        return draw(ws, G.draw_noise(n, random.device, point.lod), point.lod)

    def step() -> dict[str, Tensor]:
        random = StepRandom.at(0, 0, runtime.device)
        with torch.no_grad():
            drawn = fakes(random)
        t = torch.rand(n, 1, 1, 1, generator=random.device, device=runtime.device)
        D.requires_grad_(requires_grad=True).zero_grad()
        terms = discriminator_terms(score, reals.detach(), drawn, t, loss=loss, lod=point.lod)
        terms["loss_D"].backward()  # type: ignore[no-untyped-call]
        updates.adam(D)
        updates.average()
        D.requires_grad_(requires_grad=False)
        G.zero_grad()
        value = generator_loss(score_for_G(fakes(random), lod=point.lod), loss)
        value.backward()  # type: ignore[no-untyped-call]
        updates.adam(G)
        return {key: term.detach() for key, term in (terms | {"loss_G": value}).items()}

    return step


def serve(connection: Any, setting: Setting) -> None:
    """Take a step whenever asked, in a process of its own.

    Answers each "step" with its seconds; anything else with the peak memory in MB above that of a
    process without networks, and the floating-point operations of a step, and returns.
    """
    torch.set_num_threads(setting.threads)
    baseline, cuda = peak_memory(), Runtime.choose(setting.device).device.type == "cuda"
    with plain_layers() if setting.variant == "plain" else contextlib.nullcontext():
        step = make_step(setting)
        step()  # chooses algorithms, compiles
        while connection.recv() == "step":
            if cuda:
                torch.cuda.synchronize()
            start = time.perf_counter()
            step()
            if cuda:
                torch.cuda.synchronize()
            connection.send(time.perf_counter() - start)
        memory = torch.cuda.max_memory_allocated() / 2**20 if cuda else peak_memory() - baseline
        connection.send((memory, step_cost(config_of(setting), 0.0, setting.minibatch)[0]))
