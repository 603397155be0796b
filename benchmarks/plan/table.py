"""The plan of many trainings as a table: what ``--dry-run`` of the benchmarks prints."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.plan.model import Throughput, training_amounts, training_storage, work_of
from benchmarks.plan.official import check_line
from stylegan.configs import Config
from stylegan_eval.results.formatting import size_text

_HEAD = (
    f"  {'params':>8s}  {'kimg':>7s}  {'EFLOP':>8s}  {'hours':>8s}  {'GPU-days':>8s}  {'disk':>8s}"
)


def plan_lines(
    trainings: Sequence[tuple[str, Config]],
    *,
    gpus: int,
    throughput: Throughput,
    snapshot_kimg: float | None = None,
    keep: int = 3,
    keeps_best: bool = False,
) -> Iterator[str]:
    """Needs of each training (name, configuration) on `gpus` GPUs, their sum, assumptions."""
    needs: dict[Config, NDArray[np.float64]] = {}  # seeds of a row need the same
    for _, config in trainings:
        if config not in needs:
            storage = training_storage(
                config, snapshot_kimg=snapshot_kimg, keep=keep, keeps_best=keeps_best
            )
            amounts = training_amounts(config, gpus=gpus)
            seconds = throughput.seconds(amounts)
            kimg, flop = config.schedule.total_kimg, amounts.flop * gpus
            needs[config] = np.array([kimg, flop, seconds, seconds * gpus, storage])
    width = max([len("in all"), *(len(name) for name, _ in trainings)])
    yield " " * width + _HEAD
    for name, config in trainings:
        parameters = work_of(config, config.resolution).parameters
        yield f"{name:{width}s}{_line(f'{parameters / 1e6:.1f}M', *needs[config])}"
    total = np.sum([needs[config] for _, config in trainings], axis=0)
    yield f"{'in all':{width}s}{_line('', *total)}"
    yield (
        f"hours: of one training on {gpus} x {throughput.name}, trainings one after the other;"
        " EFLOP: 1e18 operations of both networks' steps; disk: at most"
    )
    yield check_line()


def _line(
    parameters: str, kimg: float, flop: float, seconds: float, gpu_seconds: float, storage: float
) -> str:
    """All but the name, below `_HEAD`."""
    return (
        f"  {parameters:>8s}  {kimg:7,.0f}  {flop / 1e18:8.3g}  {seconds / 3600:8.1f}"
        f"  {gpu_seconds / 86400:8.2f}  {size_text(int(storage)):>8s}"
    )
