"""Roofline of a training step: the least time that the peaks of a GPU allow, as a model."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from benchmarks.plan.model import exchanged_bytes, minibatch_at, size_lengths, sizes
from benchmarks.plan.official import (
    NVLINK_BYTES_PER_S,
    OfficialTime,
    official_times,
    published,
)
from stylegan.configs import Config
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.settings.common import Precision

STEPS = Path(__file__).with_name("steps.csv")
PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"
GPUS = (1, 8)
# A kernel that does nothing, as NVIDIA's forum has it; no data sheet says.
LAUNCH_SECONDS = 3e-6
LAUNCH_SOURCE = (
    "https://forums.developer.nvidia.com/t/too-much-time-for-kernel-launch-latency/233645/3"
)
# Operations of a direct convolution of 3x3 for each of Winograd's algorithm, F(2x2, 3x3), which
# libraries use in float32.
WINOGRAD = 2.25
# Published for StyleGAN2 at 1024x1024, in half precision from 128x128 on; for comparison.
STYLEGAN2 = "17.55 seconds on eight V100s and 14.57 on eight A100s"
STYLEGAN2_SOURCE = "https://github.com/NVlabs/stylegan3/blob/main/docs/configs.md"
DTYPES: tuple[Precision, ...] = ("fp32", "bf16")  # of activations; TF32 computes in float32
Resource = Literal["arithmetic", "memory", "launches"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Work of a step of D and one of G on one GPU, but for the optimizer's."""

    size: int  # Resolution
    images: int  # On this GPU
    dtype: Precision  # One of `DTYPES`
    launches: int  # Operations, each at least one kernel
    flop: int  # Floating-point operations of products and direct convolutions
    dense_bytes: int  # Bytes that these read and write, but for blurs
    other_bytes: int


@dataclass(frozen=True, kw_only=True)
class Card:
    """Peaks of a GPU by its data sheet."""

    name: str
    flop_per_s: Mapping[Precision, float]  # Dense; no entry for what the card lacks
    bytes_per_s: float
    link_bytes_per_s: float  # Of NVLink, each way
    source: str

    def seconds(self, step: Step, precision: Precision) -> Mapping[Resource, float]:
        """Time of a step by each resource, were the others endless."""
        rate = self.flop_per_s[precision] * (WINOGRAD if precision == "fp32" else 1)
        return {
            "arithmetic": step.flop / rate,
            "memory": (step.dense_bytes + step.other_bytes) / self.bytes_per_s,
            "launches": step.launches * LAUNCH_SECONDS,
        }

    def least(self, step: Step, precision: Precision) -> float:
        """Least time of a step in seconds.

        Kernels run one after the other, so what is no convolution adds to the convolutions; all are
        launched meanwhile.
        """
        alone = self.seconds(step, precision)
        dense = max(alone["arithmetic"], step.dense_bytes / self.bytes_per_s)
        return max(alone["launches"], dense + step.other_bytes / self.bytes_per_s)

    def bound(self, step: Step, precision: Precision) -> Resource:
        """The resource that limits a step."""
        alone = self.seconds(step, precision)
        return max(alone, key=lambda resource: alone[resource])


CARDS = (
    Card(
        name="V100",
        flop_per_s=MappingProxyType({"fp32": 15.7e12}),
        bytes_per_s=900e9,
        link_bytes_per_s=NVLINK_BYTES_PER_S,
        source="https://images.nvidia.com/content/technologies/volta/pdf/"
        "volta-v100-datasheet-update-us-1165301-r5.pdf",
    ),
    Card(
        name="A100",
        flop_per_s=MappingProxyType({"fp32": 19.5e12, "tf32": 156e12, "bf16": 312e12}),
        bytes_per_s=2039e9,
        link_bytes_per_s=300e9,
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
        "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf",
    ),
    Card(
        name="H100",
        flop_per_s=MappingProxyType({"fp32": 67e12, "tf32": 494.5e12, "bf16": 989.5e12}),
        bytes_per_s=3350e9,
        link_bytes_per_s=450e9,
        source="https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet",
    ),
)


def count_step(config: Config, size: int, images: int, dtype: Precision) -> Step:
    """Count a step on meta tensors, as on a GPU."""
    from stylegan.training.partition import Execution
    from stylegan.training.rehearsal import Rehearsal

    rehearsal = Rehearsal(replace(config, resolution=size), Execution(precision=dtype), "cuda")
    work = rehearsal.work(0.0, images)
    return Step(
        size=size,
        images=images,
        dtype=dtype,
        launches=work.launches,
        flop=work.flop,
        dense_bytes=work.dense,
        other_bytes=work.moved - work.dense,
    )


def write_steps(path: Path) -> Iterator[str]:
    """Count every step of the published schedule anew, and write the file; yield its lines."""
    lines = {}
    for gpus in GPUS:
        config = published()[gpus].config
        for size in sizes(config):
            images = minibatch_at(config, size) // gpus
            for dtype in DTYPES:
                if (size, images, dtype) not in lines:
                    step = count_step(config, size, images, dtype)
                    lines[size, images, dtype] = ",".join(map(str, astuple(step)))
                    yield lines[size, images, dtype]
    with atomic_write(path) as temporary:
        header = ",".join(field.name for field in fields(Step))
        temporary.write_text("\n".join([header, *lines.values()]) + "\n")


@cache
def shipped_steps() -> Mapping[tuple[int, int, str], Step]:
    """Counts that the package carries, by resolution, images and type."""
    text = STEPS.read_text()
    steps: dict[tuple[int, int, str], Step] = {}
    for row in csv.DictReader(text.splitlines()):
        dtype: Precision = "bf16" if row.pop("dtype") == "bf16" else "fp32"
        step = Step(dtype=dtype, **{name: int(value) for name, value in row.items()})
        steps[step.size, step.images, step.dtype] = step
    return steps


def step_of(config: Config, size: int, gpus: int, precision: Precision) -> Step:
    """The step of the published schedule at `size` on each of `gpus` GPUs."""
    dtype = "bf16" if precision == "bf16" else "fp32"
    return shipped_steps()[size, minibatch_at(config, size) // gpus, dtype]


def seconds_per_kimg(
    card: Card, precision: Precision, config: Config, gpus: int, size: int
) -> float:
    """Least seconds for 1,000 images at `size`, with the gradients' way around the ring."""
    step = step_of(config, size, gpus, precision)
    exchange = exchanged_bytes(config, gpus) / card.link_bytes_per_s
    return 1000 / (step.images * gpus) * (card.least(step, precision) + exchange)


def mean_per_kimg(card: Card, precision: Precision, time: OfficialTime) -> float:
    """Least seconds for 1,000 images of a published training, on average over its phases."""
    seconds = sum(
        images / 1000 * seconds_per_kimg(card, precision, time.config, time.gpus, size)
        for size, images in size_lengths(time.config)
    )
    return seconds / time.config.schedule.total_kimg


def page() -> str:
    """Text of the page."""
    return "\n".join(
        [
            _BEGINNING,
            *_work_table(),
            _CARDS,
            *_card_table(),
            _LEAST.format(launch=LAUNCH_SECONDS * 1e6, source=LAUNCH_SOURCE, winograd=WINOGRAD),
            *(line for gpus in GPUS for line in (*_least_table(gpus), "")),
            _PUBLISHED,
            *_published_table(),
            _END.format(stylegan2=STYLEGAN2, source=STYLEGAN2_SOURCE),
        ]
    )


_BEGINNING = """\
# GPU roofline

Compares the work of a training step with peak rates. **Nothing on this page was measured on a
GPU.** The work is counted without data, the peaks are from the vendors' data sheets. The result is
the least time of a step of configuration F in each phase of the published schedule, and what bounds
it. Written by

    python -m benchmarks.plan roofline

from `benchmarks/plan/steps.csv`, which `--count` counts anew (a minute).

## Work of a step

One step of D and one of G on one GPU, traced on tensors without data
(`stylegan/training/rehearsal.py`), second derivatives included. *Launches* are operations that
compute something, each at least one kernel. *Operations* are those of products and of direct
convolutions. Bytes are what each operation reads and writes: *dense* those of products and
convolutions, *other* all else, with blurs (convolutions of single channels). TF32 moves the bytes
of float32.
"""
_CARDS = """
## Cards

Dense peaks (without sparsity) of the SXM modules:
"""
_LEAST = """
No data sheet says what a launch takes; {launch:g} µs is what a kernel that does nothing took in
[NVIDIA's forum]({source}).
PyTorch takes longer; in a captured graph a launch takes less.

## Least seconds for 1,000 images

A step takes at least its launches; and at least the longer of dense operations and dense bytes,
plus the other bytes. In fp32 the operations are divided by {winograd:g}, as Winograd's algorithm,
F(2x2, 3x3), needs that many fewer. On 8 GPUs the gradients go around the ring of NVLinks after it.
The letter says which would take longest alone: **a**rithmetic, **m**emory or **l**aunches.
"""
_PUBLISHED = """\
## Beside published times

Seconds for 1,000 images on average over a training of 25,000 kimg. Published by the official README
for its own program on V100s in float32 (`benchmarks/official_times.csv`):
"""
_END = """
[plan](plan.md) fits what V100s reached in those times. Another network, StyleGAN2 at 1024x1024 with
half precision in its larger layers, is [published]({source})
at {stylegan2}.

## What the model leaves out

- No kernel reaches the peaks; blurs and small images are far from them.
- A convolution may work on copies of what it reads; an operation may be several kernels.
- What the next operation finds in the L2 cache need not come from memory.
- The optimizer, the EMA of the generator weights, reading images, checkpoints, measurements. A fade
  moves up to a tenth more bytes.
"""


def _work_table() -> Iterator[str]:
    yield (
        "| resolution | images | launches, fp32 | bf16 | operations | dense bytes, fp32 | bf16"
        " | other bytes, fp32 | bf16 |"
    )
    yield "|---:" * 9 + "|"
    pairs = sorted({(size, images) for size, images, _ in shipped_steps()})
    for size, images in sorted(pairs, key=lambda pair: (pair[0], -pair[1])):
        full, half = (shipped_steps()[size, images, dtype] for dtype in DTYPES)
        yield (
            f"| {size} | {images} | {full.launches:,} | {half.launches:,}"
            f" | {full.flop / 1e12:.3g} T"
            f" | {full.dense_bytes / 1e9:.3g} GB | {half.dense_bytes / 1e9:.3g} GB"
            f" | {full.other_bytes / 1e9:.3g} GB | {half.other_bytes / 1e9:.3g} GB |"
        )


def _card_table() -> Iterator[str]:
    yield "| | fp32 | tf32 | bf16 | memory | NVLink, each way | |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for card in CARDS:
        peaks = " | ".join(
            f"{card.flop_per_s[precision] / 1e12:g} TFLOP/s" if precision in card.flop_per_s else ""
            for precision in get_args(Precision)
        )
        yield (
            f"| {card.name} | {peaks} | {card.bytes_per_s / 1e9:,.0f} GB/s"
            f" | {card.link_bytes_per_s / 1e9:.0f} GB/s | [data sheet]({card.source}) |"
        )


def _columns() -> list[tuple[Card, Precision]]:
    return [(card, precision) for card in CARDS for precision in card.flop_per_s]


def _least_table(gpus: int) -> Iterator[str]:
    config = published()[gpus].config
    names = " | ".join(f"{card.name} {precision}" for card, precision in _columns())
    yield f"| {gpus} GPU{'' if gpus == 1 else 's'}: resolution | minibatch | {names} |"
    yield "|---:" * (2 + len(_columns())) + "|"
    for size in sizes(config):
        cells = (
            f"{seconds_per_kimg(card, precision, config, gpus, size):.3g}"
            f" {card.bound(step_of(config, size, gpus, precision), precision)[0]}"
            for card, precision in _columns()
        )
        yield f"| {size} | {minibatch_at(config, size)} | {' | '.join(cells)} |"


def _published_table() -> Iterator[str]:
    names = " | ".join(f"{card.name} {precision}" for card, precision in _columns())
    yield f"| resolution | GPUs | published, V100 | {names} |"
    yield "|---:" * (3 + len(_columns())) + "|"
    for time in official_times():
        if time.gpus in GPUS:
            cells = (
                f"{mean_per_kimg(card, precision, time):.3g}" for card, precision in _columns()
            )
            mean = time.seconds / time.config.schedule.total_kimg
            yield f"| {time.resolution} | {time.gpus} | {mean:.1f} | {' | '.join(cells)} |"


def write_page(path: Path) -> None:
    """Write the page."""
    with atomic_write(path) as temporary:
        temporary.write_text(page(), encoding="utf-8")
