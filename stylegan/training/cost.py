"""What a training will cost, counted on tensors without data before anything is computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from stylegan.configs import Config
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.training.forward import Forward
from stylegan.training.loop import Pass, discriminator_terms, generator_loss
from stylegan.training.partition import shares
from stylegan.training.schedule import TrainingPoint, phases


@dataclass(frozen=True, kw_only=True)
class PhaseCost:
    """One phase of a training and what it takes.

    Attributes
    ----------
    point : TrainingPoint
        The phase's first point.
    images : int
        Real images shown in it.
    flop_per_image : float
        Floating-point operations of a step of D and of G, per image of the minibatch.
    memory : int
        Estimated peak, in bytes: weights, gradients, moments, and what the larger step keeps for
        its backward pass.
    """

    point: TrainingPoint
    images: int
    flop_per_image: float
    memory: int


class _FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up operations below autograd, so that the second derivatives of R1 count too.

    PyTorch's own `FlopCounterMode` follows modules with hooks that `autograd.grad` refuses.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flop += count(*args, **(kwargs or {}), out_val=out)
        return out


@contextmanager
def _saved_bytes() -> Iterator[list[int]]:
    """Count the memory that autograd keeps inside the block, each storage once."""
    storages: dict[int, Tensor] = {}
    total = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in storages:
            storages[storage._cdata] = tensor  # kept alive, so that the key stays its own
            total[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


def step_cost(config: Config, lod: float, minibatch: int) -> tuple[float, int]:
    """Operations and memory of one step of D and one of G.

    Returns
    -------
    flop : float
        Floating-point operations of both steps, for the whole minibatch.
    memory : int
        Estimated peak in bytes.
    """
    with torch.device("meta"):
        G = Generator(config.network, config.resolution)
        D = Discriminator(config.network, config.resolution)
        z = torch.empty(minibatch, config.network.z_dim)
        noise = [torch.empty(minibatch, 1, h, w) for h, w in G.g.noise_shapes(lod)]
        t = torch.empty(minibatch, 1, 1, 1)
        size = config.network.label_size
        labels = torch.empty(minibatch, size) if size else None
    with _FlopCounter() as counter:
        with torch.no_grad():
            fakes = G.synthesis(G.mapping(z, labels), noise, lod)
        reals = torch.empty_like(fakes)
        with _saved_bytes() as kept_by_D:
            forward, (share,) = Forward(G.synthesis, D, D), shares(minibatch, minibatch)
            terms = discriminator_terms(
                forward, Pass(share, reals, labels), fakes, t, loss=config.loss, lod=lod
            )
        terms["loss_D"].backward()  # type: ignore[no-untyped-call]
        D.requires_grad_(requires_grad=False)
        with _saved_bytes() as kept_by_G:
            value = generator_loss(
                D(G.synthesis(G.mapping(z, labels), noise, lod), labels, lod), config.loss
            )
        value.backward()  # type: ignore[no-untyped-call]
    G_size, D_size = (
        sum(p.numel() * p.element_size() for p in network.parameters()) for network in (G, D)
    )
    # Weights, gradients and Adam's two moments of both; the moving average of G.
    constant = 4 * (G_size + D_size) + G_size
    return float(counter.flop), constant + max(kept_by_D[0], kept_by_G[0])


def phase_costs(config: Config) -> list[PhaseCost]:
    """Every phase of a training with its cost, in order."""
    points = phases(config)
    ends = [point.nimg for point in points[1:]] + [round(config.schedule.total_kimg * 1000)]
    costs = []
    for point, end in zip(points, ends, strict=True):
        flop, memory = step_cost(config, point.lod, point.minibatch)
        costs.append(
            PhaseCost(
                point=point,
                images=max(end - point.nimg, 0),
                flop_per_image=flop / point.minibatch,
                memory=memory,
            )
        )
    return costs


class RemainingTime:
    """Estimate of the time left, from the rate so far and the cost of the phases to come.

    Parameters
    ----------
    costs : list of PhaseCost
        The whole training.
    """

    def __init__(self, costs: list[PhaseCost]) -> None:
        self.costs = costs

    def flop_left(self, nimg: int) -> float:
        """Floating-point operations from image `nimg` to the end."""
        left = 0.0
        for cost in self.costs:
            done = min(max(nimg - cost.point.nimg, 0), cost.images)
            left += (cost.images - done) * cost.flop_per_image
        return left

    def seconds(self, nimg: int, img_per_s: float) -> float:
        """Seconds left after `nimg` images when the current phase runs at `img_per_s`."""
        current = [cost for cost in self.costs if cost.point.nimg <= nimg][-1]
        return self.flop_left(nimg) / (current.flop_per_image * img_per_s)
