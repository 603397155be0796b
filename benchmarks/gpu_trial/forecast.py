"""The forecast of a training's length against a short training."""

import time
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.gpu_trial.claims import Bound, Check
from benchmarks.gpu_trial.settings import GpuTrial
from benchmarks.kill_trial import Trial
from stylegan.configs import CONFIGS
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.presets import apply_preset, with_options
from stylegan.training.loop import train
from stylegan.training.partition import Execution
from stylegan.training.plan import make_plan
from stylegan.training.settings import WARMUP
from stylegan.training.state import TrainState
from stylegan_eval.settings.common import Precision


def checks(trial: GpuTrial) -> Iterator[Check]:
    """One training in each precision, through all its phases."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16") if trial.on_gpu else ("fp32",)
    for precision in precisions:
        yield Check(
            claim=f"a short training in {precision} takes as long as is forecast",
            bound=Bound(least=0.75, most=1.25, unit="of the forecast"),
            measure=partial(_of_forecast, trial, precision),
            no_verdict=trial.no_times,
        )


def _of_forecast(trial: GpuTrial, precision: Precision) -> tuple[float, str]:
    folder, runtime = trial.scratch("forecast"), trial.runtime
    config = apply_preset(CONFIGS["F"], "quick-32" if trial.on_gpu else "tiny-16")
    if not trial.on_gpu:
        config = with_options(config, total_kimg=0.1)
    execution = Execution(precision=precision, workers=2 if trial.on_gpu else 0)
    pyramid = open_pyramid(Trial(folder).data(), cache=folder / "cache")
    offset = (pyramid.resolution // config.resolution).bit_length() - 1
    reals = Reals(pyramid, seed=0, mirror=True, offset=offset)
    budget = WARMUP if trial.on_gpu else 0.5
    forecast = make_plan(config, execution, runtime, budget=budget).seconds
    state = TrainState.fresh(config, runtime, seed=0)
    begun = time.perf_counter()
    with trial.computing(precision):
        train(state, reals, config, seed=0, runtime=runtime, execution=execution)
        if trial.on_gpu:
            torch.cuda.synchronize(runtime.device)
    seconds = time.perf_counter() - begun
    return seconds / forecast, f"{seconds:.1f} s for {config.schedule.total_kimg:g} kimg"
