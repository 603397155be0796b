"""Speed of steps, blurs and a whole training; kernels; the forecast of a training's length."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import torch

from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.trial import GpuTrial
from benchmarks.kill_trial import Trial
from benchmarks.plan.model import Amounts, minibatch_at, size_lengths, work_of
from benchmarks.plan.official import published, v100
from benchmarks.speed.train_side import prepared_step
from stylegan.configs import CONFIGS
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.networks.layers import Blur
from stylegan.presets import apply_preset, with_options
from stylegan.training.loop import train
from stylegan.training.partition import Execution
from stylegan.training.plan import make_plan
from stylegan.training.rehearsal import Rehearsal
from stylegan.training.schedule import training_point
from stylegan.training.settings import WARMUP
from stylegan.training.state import TrainState
from stylegan_eval.engine.device import PRECISIONS, Layout, best_format
from stylegan_eval.settings.common import Precision

Way = Literal["eager", "other layout", "compiled", "captured"]
_COMPILED = 256  # Pixels, in fp32 and bf16 alone: a program takes long to compile
_TRACED = (32, 1024)
# Of StyleGAN2 on eight A100s together, from 128 px in half precision: `plan.roofline` has the
# source.
_STYLEGAN2 = 8 * 14.57
_NO_SLOWER = Bound(most=1.05, unit="times as long")


def checks(trial: GpuTrial) -> Iterator[Check]:
    """Every size; ways and precisions against the plain step in float32."""
    sizes = [size for size, _ in size_lengths(trial.config)]
    precisions = PRECISIONS if trial.on_gpu else ("fp32",)
    for size in sizes:
        for precision in precisions:
            yield _timed(
                trial,
                f"a step at {size} px in {precision} takes at most what a V100 takes by the model"
                " of its published times",
                Bound(most=1.0, unit="times as long"),
                partial(_of_v100, trial, size, precision),
            )
            for way in _ways(trial, size, precision):
                yield _timed(
                    trial,
                    f"a step at {size} px in {precision}: {_WORDS[way]}",
                    _NO_SLOWER,
                    partial(_of_eager, trial, size, precision, way),
                )
        if "bf16" in precisions:
            yield _timed(
                trial,
                f"a step at {size} px in bf16 takes no longer than in fp32",
                _NO_SLOWER,
                partial(_of_float32, trial, size),
            )
        for dtype in (torch.float32, torch.bfloat16) if trial.on_gpu else (torch.float32,):
            yield _timed(
                trial,
                f"the blur at {size} px in {str(dtype).removeprefix('torch.')} takes at most three"
                " times what its bytes take",
                Bound(most=3.0, unit="times a copy"),
                partial(_of_copy, trial, size, dtype),
            )
    for size in _TRACED if trial.on_gpu else sizes[:1]:
        yield Check(
            claim=f"a step at {size} px launches the kernels that the trace without data counts",
            bound=Bound(least=0.75, most=1.5, unit="times as many"),
            measure=partial(_kernels, trial, size),
        )
    yield from _trainings(trial, precisions)


_WORDS: dict[Way, str] = {
    "other layout": "its layout takes no longer than the other",
    "compiled": "compiled it takes no longer",
    "captured": "captured in a CUDA graph it takes no longer",
}


def _timed(trial: GpuTrial, claim: str, bound: Bound, measure: Callable[[], Any]) -> Check:
    return Check(claim=claim, bound=bound, measure=measure, no_verdict=trial.no_times)


def _ways(trial: GpuTrial, size: int, precision: Precision) -> Iterator[Way]:
    yield "other layout"
    if trial.on_gpu and size == _COMPILED and precision != "tf32":
        yield "compiled"
    yield "captured"


def _trainings(trial: GpuTrial, precisions: tuple[Precision, ...]) -> Iterator[Check]:
    alone = published()[1]
    mean = alone.seconds / alone.config.schedule.total_kimg
    for precision in precisions:
        measure = partial(_per_kimg, trial, precision)
        yield _timed(
            trial,
            f"a whole training in {precision} takes at most the seconds for 1,000 images that are"
            " published for one V100 at 1024 px",
            Bound(most=mean, unit="s/kimg"),
            measure,
        )
        yield Check(
            claim=f"the same in {precision} beside StyleGAN2, published for eight A100s together",
            bound=Bound(most=_STYLEGAN2, unit="s/kimg"),
            measure=measure,
            no_verdict="another network: for comparison",
        )


def _step(trial: GpuTrial, size: int, precision: Precision, way: Way) -> Callable[[], Any]:
    config = replace(trial.config, resolution=size)
    point = replace(training_point(0, config), lod=0.0, resolution=size)
    minibatch = minibatch_at(trial.config, size)
    execution = Execution(precision=precision, compile=way == "compiled")
    if execution.compile:
        trial.needs_compiler()
    if way == "other layout":
        own = execution.layout_on(trial.runtime.device.type)
        other: Layout = "contiguous" if own == "channels_last" else "channels_last"
        execution = replace(execution, layout=other)
    return prepared_step(config, replace(point, minibatch=minibatch), trial.runtime, execution)


@cache
def _seconds(trial: GpuTrial, size: int, precision: Precision, way: Way = "eager") -> float:
    """Seconds of a step."""
    with trial.computing(precision):
        step = _step(trial, size, precision, way)
        return seconds_of(trial, captured(trial, step) if way == "captured" else step)


def seconds_of(trial: GpuTrial, work: Callable[[], Any]) -> float:
    """Seconds of a call that the device works on, on average of several after the first."""
    work()
    _wait(trial)
    calls, begun, budget = 0, time.perf_counter(), 0.5 if trial.on_gpu else 0.0
    while calls < 1 or time.perf_counter() < begun + budget:
        work()
        calls += 1
        if calls % 4 == 0:  # or thousands would be on their way
            _wait(trial)
    _wait(trial)
    return (time.perf_counter() - begun) / calls


def captured(trial: GpuTrial, step: Callable[[], Any]) -> Callable[[], Any]:
    """The step as one CUDA graph, which repeats what it did when it was captured."""
    if not trial.on_gpu:
        raise NotTriedError("a graph is captured by CUDA")
    side: Any = torch.cuda.Stream(trial.runtime.device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _wait(trial: GpuTrial) -> None:
    if trial.on_gpu:
        torch.cuda.synchronize(trial.runtime.device)


def _of_v100(trial: GpuTrial, size: int, precision: Precision) -> tuple[float, str]:
    work, images = work_of(trial.config, size), minibatch_at(trial.config, size)
    amounts = Amounts(flop=work.flop(images), moved=work.moved(images), launches=1, exchanged=0)
    own = _seconds(trial, size, precision)
    return own / v100().seconds(amounts), f"{own * 1e3:.1f} ms, {images / own:,.0f} images/s"


def _of_eager(trial: GpuTrial, size: int, precision: Precision, way: Way) -> tuple[float, str]:
    other, own = _seconds(trial, size, precision, way), _seconds(trial, size, precision)
    text = f"{own * 1e3:.1f} ms, {way} {other * 1e3:.1f} ms"
    return (own / other if way == "other layout" else other / own), text


def _of_float32(trial: GpuTrial, size: int) -> tuple[float, str]:
    own, full = _seconds(trial, size, "bf16"), _seconds(trial, size, "fp32")
    return own / full, f"{own * 1e3:.1f} and {full * 1e3:.1f} ms"


def _of_copy(trial: GpuTrial, size: int, dtype: torch.dtype) -> tuple[float, str]:
    """Time of a blur over that of a copy, which moves the same bytes, in the layout of the type."""
    channels = trial.config.network.fmaps(size)
    shape = (minibatch_at(trial.config, size), channels, size, size)
    x = torch.ones(shape, dtype=dtype, device=trial.runtime.device)
    precision: Precision = "bf16" if dtype == torch.bfloat16 else "fp32"
    x = x.contiguous(memory_format=best_format(trial.runtime.device, precision))
    with torch.no_grad():
        blur = Blur(x.shape[1]).to(x.device)
        own, copy = seconds_of(trial, lambda: blur(x)), seconds_of(trial, x.clone)
    return own / copy, f"{2 * x.nbytes / own / 1e9:,.0f} GB/s"


def _kernels(trial: GpuTrial, size: int) -> tuple[float, str]:
    """Kernels of a step by the profiler over operations of the trace; operations on a CPU."""
    config, images = replace(trial.config, resolution=size), minibatch_at(trial.config, size)
    device = trial.runtime.device.type
    traced = Rehearsal(config, Execution(), device).work(0.0, images).launches
    with trial.computing():
        step = _step(trial, size, "fp32", "eager")
        step()
        found = _launched(trial, step)
    return found / traced, f"{found:,} and {traced:,}"


def _launched(trial: GpuTrial, step: Callable[[], Any]) -> int:
    if not trial.on_gpu:
        raise NotTriedError("kernels are counted by CUDA's profiler")
    return sum(not name.startswith(("Memcpy", "Memset")) for name, _ in on_device(step))


def on_device(work: Callable[[], Any]) -> list[tuple[str, float]]:
    """Name and seconds of all that a GPU does for a call."""
    profiler = torch.profiler
    with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as profile:
        work()
        torch.cuda.synchronize()
    cuda = torch._C._autograd.DeviceType.CUDA
    events = [event for event in profile.events() or () if event.device_type == cuda]
    return [(event.name, event.time_range.elapsed_us() / 1e6) for event in events]


def _per_kimg(trial: GpuTrial, precision: Precision) -> float:
    """Seconds for 1,000 images over the phases of the whole training, fades left out."""
    config = trial.config
    seconds = sum(
        images / minibatch_at(config, size) * _seconds(trial, size, precision)
        for size, images in size_lengths(config)
    )
    return seconds / config.schedule.total_kimg


def lengths(trial: GpuTrial) -> Iterator[Check]:
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
