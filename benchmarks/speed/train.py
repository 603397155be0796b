"""Speed and memory of a whole training step: plain layers, ours, bfloat16, compiled.

``python -m benchmarks.speed.train``: every variant lives in a process of its own, and they take
turns; a ratio is the median of the ratios of neighbours. Operations are those that a variant does.
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import click
import pandas as pd
import torch
from torch import nn

from benchmarks.speed.train_step import VARIANTS, Setting, serve

MINIBATCH = {32: 16, 64: 8, 128: 4}


def rate(operation: Callable[[], torch.Tensor], flop: float, seconds: float = 1.0) -> float:
    """Largest floating-point operations per second of single calls."""
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or best == 0:
        start = time.perf_counter()
        operation().view(-1)[0].item()  # a device computes in the background until asked
        best = max(best, flop / (time.perf_counter() - start))
    return best


def peaks(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """What this machine reaches: floating-point operations per second of matmul and convolution."""
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(2048, 2048, generator=rng).to(device, dtype)
    x, kernel = (
        torch.randn(shape, generator=rng).to(device, dtype, memory_format=torch.channels_last)
        for shape in ((16, 128, 32, 32), (128, 128, 3, 3))
    )
    return (
        rate(lambda: a @ a, 2 * 2048**3),
        rate(
            lambda: nn.functional.conv2d(x, kernel, padding=1).permute(0, 2, 3, 1),
            2 * 16 * 32 * 32 * kernel.numel(),
        ),
    )


def measure(settings: list[Setting], rounds: int) -> list[dict[str, object]]:
    """Steps of all settings in turn; a row of the table for each. The first is the yardstick."""
    context = multiprocessing.get_context("spawn")
    ends, processes = [], []
    for setting in settings:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there, setting), daemon=True)
        process.start()
        ends.append(here)
        processes.append(process)
    times: list[list[float]] = [[] for _ in settings]
    for _ in range(rounds):
        for end, found in zip(ends, times, strict=True):
            end.send("step")
            found.append(end.recv())
    rows: list[dict[str, object]] = []
    for setting, end, process, found in zip(settings, ends, processes, times, strict=True):
        end.send("stop")
        memory, flop = end.recv()
        process.join()
        ratios = [yardstick / own for yardstick, own in zip(times[0], found, strict=True)]
        rows.append(
            {
                "width": setting.width,
                "resolution": setting.resolution,
                "minibatch": setting.minibatch,
                "variant": setting.variant,
                "img_per_s": setting.minibatch / statistics.median(found),
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
                "peak_mb": memory,
                "gflop_per_s": flop / statistics.median(found) / 1e9,
            }
        )
    return rows


def numbers(_context: click.Context, _option: click.Parameter, value: str) -> list[int]:
    """Read numbers between commas."""
    try:
        return [int(part) for part in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"expected numbers between commas, not {value!r}") from error


@click.command(context_settings={"show_default": True})
@click.option("--widths", default="64,512", callback=numbers, help="Feature maps.")
@click.option("--resolutions", default="32,128", callback=numbers, help="Pixels.")
@click.option("--variants", default=",".join(VARIANTS), help="What to compare; the first is 1.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, help="Steps of each.")
@click.option("--threads", type=click.IntRange(min=1), default=torch.get_num_threads())
@click.option("--device", default="cpu", help="cpu or cuda.")
@click.option("--csv", type=click.Path(path_type=Path), help="Write the table here too.")
def main(
    widths: list[int],
    resolutions: list[int],
    variants: str,
    rounds: int,
    threads: int,
    device: str,
    csv: Path | None,
) -> None:
    """Images per second and peak memory of a step of D and one of G."""
    torch.set_num_threads(threads)
    for dtype in (torch.float32, torch.bfloat16):
        matmul, convolution = peaks(torch.device(device), dtype)
        click.echo(
            f"{str(dtype).removeprefix('torch.')} reaches {matmul / 1e9:.0f} GFLOP/s in matmul, "
            f"{convolution / 1e9:.0f} in convolution ({threads} threads)"
        )
    rows: list[dict[str, object]] = []
    for width, resolution in product(widths, resolutions):
        settings = [
            Setting(
                variant=variant,
                width=width,
                resolution=resolution,
                minibatch=MINIBATCH.get(resolution, 8),
                device=device,
                threads=threads,
            )
            for variant in variants.split(",")
        ]
        rows += measure(settings, rounds)
        print(f"width {width} at {resolution} px done", file=sys.stderr)
    table = pd.DataFrame(rows)
    click.echo(table.to_string(index=False, float_format="%.2f"))
    if csv is not None:
        table.to_csv(csv, index=False)


if __name__ == "__main__":
    main()
