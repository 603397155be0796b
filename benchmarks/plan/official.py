"""The model of time against the published ones: which of them it is fitted to, and how far off."""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from benchmarks.plan.model import Throughput, training_amounts, training_seconds
from stylegan.configs import CONFIGS, Config
from stylegan.presets import apply_preset, with_options

TIMES_FILE = "official_times.csv"
# A V100's maker: six NVLinks of 25 GB/s each way.
NVLINK_BYTES_PER_S = 150e9
# Three unknowns need three times; (resolution, GPUs). The others are held out.
FITTED = ((1024, 1), (256, 1), (1024, 8))
FLOP_ONLY_FITTED = ((1024, 1),)


@dataclass(frozen=True, kw_only=True)
class OfficialTime:
    """A published length of a training of configuration F on V100 GPUs."""

    resolution: int
    gpus: int
    seconds: float  # The length

    @property
    def config(self) -> Config:
        """Its configuration."""
        preset = "paper-ffhq" if self.gpus == 8 else f"paper-ffhq-{self.gpus}gpu"
        return with_options(apply_preset(CONFIGS["F"], preset), resolution=self.resolution)


@dataclass(frozen=True, kw_only=True)
class TimeComparison:
    """A published time beside the model's."""

    time: OfficialTime  # The published one
    model: float  # Seconds that the model says
    held_out: bool  # Whether the model was not fitted to it

    @property
    def deviation(self) -> float:
        """Part of the published time by which the model is above it."""
        return self.model / self.time.seconds - 1


@cache
def official_times() -> Sequence[OfficialTime]:
    """Times of the official README, by falling resolution and rising number of GPUs."""
    text = (resources.files("benchmarks") / TIMES_FILE).read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(
        OfficialTime(
            resolution=int(row["resolution"]),
            gpus=int(row["gpus"]),
            seconds=(24 * float(row["days"]) + float(row["hours"])) * 3600,
        )
        for row in rows
    )


@cache
def published() -> Mapping[int, OfficialTime]:
    """The published time at 1024x1024, with its configuration, by GPUs."""
    return {time.gpus: time for time in official_times() if time.resolution == 1024}


@cache
def v100() -> Throughput:
    """A V100 as the official code used it: `fit` to the times `FITTED`.

    The rate may lie above the 15.7 TFLOP/s of the card, for operations are counted as those of
    direct convolutions, and the library needs fewer (Winograd's algorithm, up to 2.25 times). The
    bytes are those of our operations; the official program, in which every operation is by itself
    and blurs are convolutions, moves more of them, so its 900 GB/s become fewer of ours.
    """
    return fit(FITTED)


def fit(places: Collection[tuple[int, int]]) -> Throughput:
    """Solve for the rates and the launch time that give three published times exactly.

    The speed between GPUs is the maker's figure and not fitted: its effect is too small.
    """
    times = [time for time in official_times() if (time.resolution, time.gpus) in places]
    amounts = [training_amounts(time.config, gpus=time.gpus) for time in times]
    terms = np.array([[a.flop, a.moved, a.launches] for a in amounts])
    seconds = np.array([time.seconds for time in times])
    exchanging = np.array([a.exchanged for a in amounts]) / NVLINK_BYTES_PER_S
    per_flop, per_byte, per_launch = np.linalg.solve(terms, seconds - exchanging)
    return Throughput(
        name="V100",
        flop_per_s=1 / float(per_flop),
        bytes_per_s=1 / float(per_byte),
        step_seconds=float(per_launch),
        link_bytes_per_s=NVLINK_BYTES_PER_S,
    )


def flop_only() -> Throughput:
    """The simplest model, to be beaten: operations alone, fitted to one GPU at 1024x1024."""
    (time,) = (t for t in official_times() if (t.resolution, t.gpus) in FLOP_ONLY_FITTED)
    flop = training_amounts(time.config, gpus=time.gpus).flop
    return Throughput(name="V100, operations alone", flop_per_s=flop / time.seconds)


def comparisons(
    throughput: Throughput, fitted: Collection[tuple[int, int]] = FITTED
) -> list[TimeComparison]:
    """All published times beside the model's; those not in `fitted` are held out."""
    return [
        TimeComparison(
            time=time,
            model=training_seconds(time.config, gpus=time.gpus, throughput=throughput),
            held_out=(time.resolution, time.gpus) not in fitted,
        )
        for time in official_times()
    ]


def worst(all_times: Sequence[TimeComparison]) -> TimeComparison:
    """The comparison with the largest deviation."""
    return max(all_times, key=lambda comparison: abs(comparison.deviation))


def check_line() -> str:
    """Deviation of the V100 model from the published times, in one line."""
    all_times = comparisons(v100())
    far = worst(all_times)
    held_out = worst([c for c in all_times if c.held_out])
    size = held_out.time.resolution
    return (
        f"model of time: within {abs(far.deviation):.0%} of the {len(all_times)} published times on"
        f" V100s ({sum(c.held_out for c in all_times)} of them held out, at most"
        f" {abs(held_out.deviation):.0%} off: {size}x{size} on {held_out.time.gpus})"
    )


def check_table() -> Iterator[str]:
    """Lines of a Markdown table: published times, the model's, and operations alone."""
    yield "| resolution | GPUs | published | model | off | | operations alone | off |"
    yield "|---|---|---|---|---|---|---|---|"
    alone = comparisons(flop_only(), FLOP_ONLY_FITTED)
    for ours, simple in zip(comparisons(v100()), alone, strict=True):
        time = ours.time
        yield (
            f"| {time.resolution} | {time.gpus} | {_days(time.seconds)} | {_days(ours.model)}"
            f" | {_off(ours)} | {'held out' if ours.held_out else 'fitted'}"
            f" | {_days(simple.model)} | {_off(simple)} |"
        )


def parameters_line() -> str:
    """Fitted parameters with their units."""
    gpu = v100()
    return (
        f"{gpu.name}: {gpu.flop_per_s / 1e12:.1f} TFLOP/s, {gpu.bytes_per_s / 1e9:.0f} GB/s,"
        f" {gpu.step_seconds * 1e3:.1f} ms per step and GPU; {gpu.link_bytes_per_s / 1e9:.0f} GB/s"
        " between GPUs (given)"
    )


def _days(seconds: float) -> str:
    return f"{seconds / 86400:.2f} d"


def _off(comparison: TimeComparison) -> str:
    """Deviation in percent; that of a fitted time is rounding, whose sign is the machine's."""
    return f"{round(comparison.deviation, 3) + 0.0:+.1%}"
