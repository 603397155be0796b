"""Steps that never wait for the device: under CUDA's debug mode, and without a value read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu_trial.claims import Bound, Check
from benchmarks.gpu_trial.trial import GpuTrial
from benchmarks.speed.train_side import prepared_step
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.training.partition import Execution
from stylegan.training.schedule import training_point
from stylegan_eval.settings.common import Precision

_READ = torch.ops.aten._local_scalar_dense.default
_STEPS = 2  # After the one that loads libraries


def checks(trial: GpuTrial) -> Iterator[Check]:
    """Rows A and F at levels of detail alone and fading, in two passes."""
    precisions: tuple[Precision, ...] = ("fp32", "tf32", "bf16") if trial.on_gpu else ("fp32",)
    lods = (1.0, 0.5, 0.0) if trial.on_gpu else (0.5,)
    for row in ("A", "F"):
        for precision in precisions:
            for lod in lods:
                yield Check(
                    claim=f"steps of {row} at lod {lod:g} in {precision} wait for nothing",
                    bound=Bound(least=0, most=0, unit="values read"),
                    measure=partial(_reads, trial, row, lod, precision),
                )


def _reads(trial: GpuTrial, row: str, lod: float, precision: Precision) -> float:
    """Values of the device that the host read; CUDA itself raises where it waits otherwise."""
    config = apply_preset(CONFIGS[row], "quick-32" if trial.on_gpu else "tiny-16")
    size = config.resolution >> int(lod)
    point = replace(training_point(0, config), lod=lod, resolution=size)
    execution = Execution(precision=precision, grad_accum=2)
    with trial.computing(precision):
        step = prepared_step(config, point, trial.runtime, execution)
        step()  # loads libraries, chooses kernels
        with _refusing_waits(trial), Reads() as reads:
            for _ in range(_STEPS):
                step()
    return reads.count


@contextmanager
def _refusing_waits(trial: GpuTrial) -> Iterator[None]:
    if not trial.on_gpu:
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


class Reads(TorchDispatchMode):
    """Counts values that the host reads."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is _READ
        return func(*args, **(kwargs or {}))
