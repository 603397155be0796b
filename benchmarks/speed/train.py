"""Speed and memory of a training step against the same network on plain layers."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.speed.train_side import WAYS, Case, StepProcess
from stylegan.training.partition import Execution
from stylegan.training.rehearsal import Rehearsal
from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.errors import UserError


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Best rate of a square matrix product, in operations per second."""
    n = 8192 if device.type == "cuda" else 2048
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(n, n, generator=rng).to(device, dtype)
    return _best(lambda: a @ a, 2 * n**3)


def convolution_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Best rate of a 3x3 convolution of 512 maps at 32x32, in operations per second."""
    N, C, size = (32 if device.type == "cuda" else 8), 512, 32
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(N, C, size, size, generator=rng).to(device, dtype)
    k = torch.randn(C, C, 3, 3, generator=rng).to(device, dtype)
    x, k = (t.contiguous(memory_format=torch.channels_last) for t in (x, k))
    return _best(lambda: F.conv2d(x, k, padding=1), 2 * N * size**2 * C * C * 9)


def _best(work: Callable[[], Tensor], flop: int) -> float:
    """The fastest call of a second counts: whatever else runs can only slow it down."""
    best, end = float("inf"), time.perf_counter() + 1.0
    while time.perf_counter() < end:
        start = time.perf_counter()
        work().flatten()[0].item()
        best = min(best, time.perf_counter() - start)
    return flop / best


def measure(case: Case, ways: list[str], rounds: int, threads: int) -> list[dict[str, object]]:
    """Let all ways take turns; one row of the table each."""
    sides = [StepProcess(way, case, threads) for way in ways]
    times: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for side in sides:  # chooses algorithms, compiles
            side.step()
            side.step()
        for _ in range(rounds):
            for side in sides:
                times[side.way].append(side.step())
        peaks = {side.way: side.peak_bytes() for side in sides}
    finally:
        for side in sides:
            side.close()
    n = case.minibatch
    flop = n * Rehearsal(case.config, Execution()).step(0.0, n, n)[0]
    return [_row(case, way, times[ways[0]], times[way], flop, peaks[way]) for way in ways]


def _row(
    case: Case, way: str, yardstick: list[float], own: list[float], flop: float, peak: int
) -> dict[str, object]:
    ratios = [first / second for first, second in zip(yardstick, own, strict=True)]
    seconds = statistics.median(own)
    return {
        "width": case.width,
        "resolution": case.resolution,
        "minibatch": case.minibatch,
        "way": way,
        "img_per_s": case.minibatch / seconds,
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "gflop_per_s": flop / seconds / 1e9,
        "peak_mib": peak / 2**20,
    }


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--widths", default="64,512", help="Most feature maps, separated by commas.")
@click.option("--resolutions", default="32,128", help="In pixels, separated by commas.")
@click.option("--ways", default="plain,fast,bf16,compiled", help=f"Of {', '.join(WAYS)}.")
@click.option(
    "--minibatch", type=click.IntRange(min=4), help="Images.  [default: 16; 4 from 128 px on]"
)
@click.option("--rounds", type=click.IntRange(min=1), default=7, help="Steps of each.")
@click.option("--threads", type=click.IntRange(min=1), help="Of each process.  [default: cores]")
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", help="Where.")
@click.option("--csv", type=click.Path(path_type=Path), help="Write the table here too.")
def main(
    widths: str,
    resolutions: str,
    ways: str,
    minibatch: int | None,
    rounds: int,
    threads: int | None,
    device: str,
    csv: Path | None,
) -> None:
    """Images per second and memory of a training step, by ways of computing it."""
    chosen = ways.split(",")
    if unknown := set(chosen) - set(WAYS):
        raise UserError(f"no way is called {unknown.pop()}: expected some of {', '.join(WAYS)}")
    where, threads = torch.device(device), threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    peaks = {
        name: (matmul_peak(where, dtype), convolution_peak(where, dtype))
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    for name, (matmul, convolution) in peaks.items():
        click.echo(
            f"{name} peak: matrix product {matmul / 1e9:.0f}, convolution {convolution / 1e9:.0f}"
            f" GFLOP/s, {threads} threads"
        )
    rows: list[dict[str, object]] = []
    for width in map(int, widths.split(",")):
        for resolution in map(int, resolutions.split(",")):
            n = minibatch or (4 if resolution >= 128 else 16)
            case = Case(width=width, resolution=resolution, minibatch=n, device=device)
            rows += measure(case, chosen, rounds, threads)
            for row in rows[-len(chosen) :]:
                peak = peaks[WAYS[str(row["way"])].precision][1]
                row["of_peak"] = float(str(row["gflop_per_s"])) * 1e9 / peak
            table = pd.DataFrame(rows)
            if csv is not None:
                table.to_csv(csv, index=False)
    click.echo(table.to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
