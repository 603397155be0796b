"""Memory at every phase against the plan, on smaller cards, and when it runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial

import torch
from click.testing import CliRunner

from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.trial import GpuTrial
from benchmarks.kill_trial import Trial
from benchmarks.speed.train_side import prepared_step
from stylegan.configs import CONFIGS, config_text
from stylegan.presets import apply_preset
from stylegan.train import main as train_command
from stylegan.training.cost import Phase, micro_batches, phase_costs
from stylegan.training.partition import Execution
from stylegan.training.plan import RESERVED
from stylegan.training.rehearsal import Meter
from stylegan.training.schedule import phases
from stylegan.training.speed import trial_steps
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import size_text
from stylegan_eval.settings.common import Precision

_CARDS = (8, 11, 16, 24)  # GiB of the cards that are played
_TIGHT = 400 * 2**20  # Bytes that a training is given that needs more
_WORDS = (
    "out of memory (cuda) at kimg",
    "images of 64x64 at a time",
    "--grad-accum",
    "start again",
)


def checks(trial: GpuTrial) -> Iterator[Check]:
    """Phases in two precisions, small cards, one training without enough memory."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16") if trial.on_gpu else ("fp32",)
    for precision in precisions:
        execution = Execution(precision=precision)
        for number, point in enumerate(phases(trial.config)):
            if precision != "fp32" and point.lod % 1:
                continue
            fading = " fading" if point.lod % 1 else ""
            yield Check(
                claim=f"a step at {point.resolution} px{fading} in {precision} takes the memory"
                " that is planned",
                bound=Bound(least=0.9, most=1.1, unit="of the plan"),
                measure=partial(_of_plan, trial, execution, number),
            )
    for size in _CARDS:
        yield Check(
            claim=f"a card of {size} GiB takes the largest steps in the passes planned for it",
            bound=Bound(least=0, most=0, unit="times out of memory"),
            measure=partial(_on_card, trial, size),
        )
    yield Check(
        claim="a training without enough memory names the phase, the passes and the option",
        bound=Bound(least=0, most=0, unit="words missing"),
        measure=partial(_without_words, trial),
    )


@cache
def _planned(trial: GpuTrial, execution: Execution) -> list[Phase]:
    return phase_costs(trial.config, execution, device_type=trial.runtime.device.type)


def _of_plan(trial: GpuTrial, execution: Execution, number: int) -> tuple[float, str]:
    phase = _planned(trial, execution)[number]
    peak = _peak_on_gpu(trial, execution, phase) if trial.on_gpu else _counted(trial, phase)
    return peak / phase.memory, f"{size_text(peak)} of {size_text(phase.memory)}"


def _peak_on_gpu(trial: GpuTrial, execution: Execution, phase: Phase) -> int:
    runtime = trial.runtime
    with (
        trial.computing(execution.precision),
        trial_steps(trial.config, execution, runtime) as build,
    ):
        step = build(phase)
        torch.cuda.reset_peak_memory_stats(runtime.device)
        step()
        step()
        return int(torch.cuda.max_memory_allocated(runtime.device))


def _counted(trial: GpuTrial, phase: Phase) -> int:
    """Bytes of the living tensors of a real step, as the plan counts them without data."""
    with Meter() as meter:
        prepared_step(trial.config, phase.point, trial.runtime, Execution())()
        return meter.peak


def _needs_gpu(trial: GpuTrial) -> None:
    if not trial.on_gpu:
        raise NotTriedError("a card's limit needs CUDA's allocator")


@contextmanager
def _limited(trial: GpuTrial, size: int) -> Iterator[None]:
    """Allow PyTorch `size` bytes of the card inside the block."""
    device = trial.runtime.device
    total = torch.cuda.mem_get_info(device)[1]
    torch.cuda.set_per_process_memory_fraction(min(size / total, 1.0), device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _on_card(trial: GpuTrial, size: int) -> tuple[float, str]:
    _needs_gpu(trial)
    total = torch.cuda.mem_get_info(trial.runtime.device)[1]
    if total < size * 2**30:
        raise NotTriedError(f"this card is smaller: {total / 2**30:.0f} GiB")
    try:
        table = micro_batches(
            trial.config, round(size * 2**30 / RESERVED), device_type=trial.runtime.device.type
        )
    except UserError as error:
        raise NotTriedError(f"the plan refuses: {error}") from error
    execution = Execution(at_a_time=table)
    largest = max(
        _planned(trial, execution),
        key=lambda phase: phase.memory,
    )
    try:
        with _limited(trial, size * 2**30):
            _peak_on_gpu(trial, execution, largest)
    except UserError as error:  # which is what `trial_steps` makes of it
        return 1.0, str(error)
    return 0.0, f"{largest.at_a_time} images of {largest.point.resolution} px at a time"


def _without_words(trial: GpuTrial) -> tuple[float, str]:
    _needs_gpu(trial)
    folder = trial.scratch("memory")
    config = apply_preset(CONFIGS["F"], "demo-64")
    schedule = replace(config.schedule, minibatch_base=192, initial_resolution=64, total_kimg=1.0)
    (folder / "config.json").write_text(config_text(replace(config, schedule=schedule)))
    arguments = Trial(folder, device=trial.device).arguments(folder / "run")
    with _limited(trial, torch.cuda.memory_reserved() + _TIGHT):
        result = CliRunner().invoke(train_command, arguments)
    line = next((each for each in result.stderr.splitlines() if "out of memory" in each), "")
    return float(sum(words not in line for words in _WORDS)), line or "nothing about memory"
