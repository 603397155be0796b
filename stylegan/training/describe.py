"""A resolved training in words: what ``--dry-run`` prints and the log begins with."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from stylegan.configs import CONFIGS, Config, diff
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.training.cost import PhaseCost, phase_costs
from stylegan.training.schedule import training_points
from stylegan.training.units import duration, size_text


def describe(config: Config, device: torch.device) -> Iterator[str]:
    """Lines on the configuration as the chain from A, sizes, schedule, memory and length.

    Parameters
    ----------
    config : Config
        What would be trained.
    device : torch.device
        Where; its speed is measured for a moment.
    """
    yield from _chain(config)
    yield ""
    yield from _sizes(config)
    yield ""
    costs = phase_costs(config)
    yield "schedule:"
    yield "   from kimg    lod  resolution  minibatch   lrate   GFLOP/image    memory"
    for cost in costs:
        point = cost.point
        yield (
            f"{point.nimg / 1000:12.1f}  {point.lod:5.2f}  {point.resolution:10d}"
            f"  {point.minibatch:9d}  {point.lrate:6.4f}  {cost.flop_per_image / 1e9:12.2f}"
            f"  {size_text(cost.memory):>8s}"
        )
    yield ""
    yield from _length(config, costs, device)


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
    changes = diff(previous, config)
    if changes:
        yield "  preset and options"
        for key, (old, new) in changes.items():
            yield f"       {key}: {_brief(old)} -> {_brief(new)}"


def _sizes(config: Config) -> Iterator[str]:
    with torch.device("meta"):
        networks: dict[str, nn.Module] = {
            "generator": Generator(config.network, config.resolution),
            "discriminator": Discriminator(config.network, config.resolution),
        }
    yield "parameters:"
    for name, network in networks.items():
        yield f"  {name:14s} {sum(p.numel() for p in network.parameters()):12,d}"


def _length(config: Config, costs: list[PhaseCost], device: torch.device) -> Iterator[str]:
    flop = sum(cost.images * cost.flop_per_image for cost in costs)
    rate = convolution_rate(device)
    steps = config.schedule.minibatch_repeats * sum(1 for _ in training_points(config))
    largest = max(costs, key=lambda cost: cost.memory)
    yield (
        f"length: {config.schedule.total_kimg:g} kimg, {steps:,d} steps of D and G, "
        f"{flop / 1e15:,.2f} PFLOP"
    )
    size = largest.point.resolution
    yield f"memory: about {size_text(largest.memory)} at {size}x{size}, the largest phase"
    yield (
        f"time: at least {duration(flop / rate)} on this {device.type}, if every operation ran "
        f"like a convolution measured just now ({rate / 1e9:.0f} GFLOP/s)"
    )


def convolution_rate(device: torch.device, seconds: float = 0.5) -> float:
    """Floating-point operations per second of a typical convolution, measured for a moment."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(32, 64, 32, 32, generator=rng).to(device, memory_format=torch.channels_last)
    weight = torch.randn(64, 64, 3, 3, generator=rng).to(device, memory_format=torch.channels_last)
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


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
