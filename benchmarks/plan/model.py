"""Roofline model of training time: work, machine and storage to hours."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path

from stylegan import __version__
from stylegan.configs import Config, at_resolution, config_to_dict
from stylegan.training.partition import Execution, shares
from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.errors import UserError

WORK_FILE = "work.csv"
_GRADIENT_BYTES = 4


def training_storage(
    config: Config,
    *,
    snapshot_kimg: float | None = None,
    keep: int = 3,
    keeps_best: bool = False,
) -> int:
    """Bytes of a training's folder at most, with the checkpoint that is being written."""
    from stylegan.training.plan import run_files
    from stylegan.training.settings import MetricSettings, RunSettings

    metrics = MetricSettings(metrics="fid" if keeps_best else "")
    settings = RunSettings(
        out=Path(), data=Path(), snapshot_kimg=snapshot_kimg, keep=keep, metrics=metrics
    )
    files = run_files(config, settings)
    return sum(item.total for item in files)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A step of D and one of G on n images do ``per_step + n * per_image``."""

    flop_per_image: float  # Floating-point operations
    flop_per_step: float
    bytes_per_image: float  # Bytes that operations read and write, but for the optimizer's
    bytes_per_step: float
    parameters: float  # Weights of G and D together, had they no larger layers

    def flop(self, images: float) -> float:
        """Floating-point operations of a step of D and one of G on `images` images."""
        return self.flop_per_step + self.flop_per_image * images

    def moved(self, images: float) -> float:
        """Bytes that they read and write."""
        return self.bytes_per_step + self.bytes_per_image * images


def count_work(config: Config, size: int) -> Work:
    """Count two steps at `size` pixels on meta tensors; a fade does up to a tenth more."""
    from stylegan.training.rehearsal import Rehearsal

    rehearsal = Rehearsal(replace(config, resolution=size), Execution())
    G, D = rehearsal.networks
    group = config.network.mbstd_group_size
    one, two = (rehearsal.work(0.0, n * group) for n in (1, 2))
    return Work(
        flop_per_image=(two.flop - one.flop) / group,
        flop_per_step=2 * one.flop - two.flop,
        bytes_per_image=(two.moved - one.moved) / group,
        bytes_per_step=2 * one.moved - two.moved,
        parameters=sum(p.numel() for p in (*G.parameters(), *D.parameters())),
    )


def work_of(config: Config, size: int) -> Work:
    """Known work of a step at `size`; counted and cached where unknown."""
    key = work_key(config, size)
    if (known := shipped_work().get(key)) is not None:
        return known
    path = cache_dir() / "plan" / f"{key}-{__version__}.json"
    if (known := _read(path)) is not None:
        return known
    counted = count_work(config, size)
    # A machine on which nothing can be kept counts anew each time.
    with suppress(UserError), atomic_write(path) as temporary:
        temporary.write_text(json.dumps(asdict(counted)) + "\n")
    return counted


def work_key(config: Config, size: int) -> str:
    """Digest of all that a step's work at `size` depends on, 16 hexadecimal digits."""
    import hashlib

    tree = {
        "size": size,
        "network": config_to_dict(config)["network"],
        "loss": config.loss.kind,
        "mixing": config.loss.style_mixing_prob > 0,
    }
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


@cache
def shipped_work() -> Mapping[str, Work]:
    """Counts that the package carries, by key."""
    text = (resources.files("benchmarks.plan") / WORK_FILE).read_text()
    names = [field.name for field in fields(Work)]
    return {
        row["key"]: Work(**{name: float(row[name]) for name in names})
        for row in csv.DictReader(text.splitlines())
    }


def write_work(configs: Iterable[tuple[str, Config]], path: Path) -> Iterator[str]:
    """Count every phase of `configs` anew and write the file of the package; yield its lines."""
    names = [field.name for field in fields(Work)]
    lines = {"key": ",".join(["network", "size", "key", *names])}
    for name, config in configs:
        for size in sizes(config):
            key = work_key(config, size)
            if key not in lines:
                numbers = (f"{value:.0f}" for value in astuple(count_work(config, size)))
                lines[key] = ",".join([name, str(size), key, *numbers])
                yield lines[key]
    with atomic_write(path) as temporary:
        temporary.write_text("\n".join(lines.values()) + "\n")


def sizes(config: Config) -> Iterator[int]:
    """Resolutions through which a training may grow."""
    size = min(config.schedule.initial_resolution, config.resolution)
    while size <= config.resolution:
        yield size
        size *= 2


def _read(path: Path) -> Work | None:
    try:
        return Work(**json.loads(path.read_text()))
    except (OSError, TypeError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Rates that a GPU (or a CPU) reaches in training."""

    name: str  # Of the device
    flop_per_s: float  # Floating-point operations per second of convolutions
    bytes_per_s: float = math.inf
    """Bytes per second that operations read and write; infinite to leave them out."""
    step_seconds: float = 0.0
    """Fixed time of a step of D and one of G for every GPU: launches by the process that drives
    them all, as in the official code."""
    link_bytes_per_s: float = math.inf
    """Bytes per second between neighbours in the ring of GPUs; infinite to leave them out."""

    def seconds(self, amounts: "Amounts") -> float:
        """Time that `amounts` take."""
        return (
            amounts.flop / self.flop_per_s
            + amounts.moved / self.bytes_per_s
            + amounts.launches * self.step_seconds
            + amounts.exchanged / self.link_bytes_per_s
        )


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Work of a training on each of its GPUs, all phases together."""

    flop: float  # Floating-point operations
    moved: float  # Bytes that operations read and write
    launches: float  # Steps times GPUs
    exchanged: float  # Bytes of gradients that each GPU hands on


def size_lengths(config: Config) -> Iterator[tuple[int, float]]:
    """Resolution of every stage and the images shown in it, the fade to it included.

    The schedule is looked at every few steps (`minibatch_repeats`), so a stage may really begin so
    much later.
    """
    schedule = config.schedule
    phase = 1000 * (schedule.training_kimg + schedule.transition_kimg)
    total = 1000 * schedule.total_kimg
    start = 0.0
    stages = list(sizes(config)) if phase > 0 else [config.resolution]
    for i, size in enumerate(stages):
        end = total if i + 1 == len(stages) else i * phase + 1000 * schedule.training_kimg
        yield size, max(min(end, total) - start, 0.0)
        start = min(end, total)


def training_amounts(config: Config, *, gpus: int = 1) -> Amounts:
    """Work of a training on each of `gpus` GPUs."""
    _check(config, gpus)
    exchange = exchanged_bytes(config, gpus)
    flop = moved = launches = exchanged = 0.0
    for size, images in size_lengths(config):
        work, own = work_of(config, size), minibatch_at(config, size) / gpus
        steps = images / (own * gpus)
        flop += steps * work.flop(own)
        moved += steps * work.moved(own)
        launches += steps * gpus
        exchanged += steps * exchange
    return Amounts(flop=flop, moved=moved, launches=launches, exchanged=exchanged)


def exchanged_bytes(config: Config, gpus: int) -> float:
    """Bytes of gradients that each of `gpus` GPUs hands on in a step of D and one of G.

    A ring hands on each byte twice, but for one part in `gpus`.
    """
    gradients = _GRADIENT_BYTES * work_of(config, config.resolution).parameters
    return 2 * (gpus - 1) / gpus * gradients


def training_seconds(config: Config, *, gpus: int, throughput: Throughput) -> float:
    """Duration of a training on `gpus` GPUs."""
    return throughput.seconds(training_amounts(config, gpus=gpus))


def given_throughput(tflop_per_s: float, like: Throughput) -> Throughput:
    """A GPU whose convolutions reach `tflop_per_s`, otherwise `like` another in proportion.

    Its bytes per second grow with the operations; its launches and its links stay.
    """
    if not 0 < tflop_per_s < math.inf:
        raise UserError(
            f"--throughput is what convolutions reach, in TFLOP/s, above 0: not {tflop_per_s:g}"
        )
    flop_per_s = tflop_per_s * 1e12
    return Throughput(
        name=f"{tflop_per_s:g} TFLOP/s",
        flop_per_s=flop_per_s,
        bytes_per_s=like.bytes_per_s * flop_per_s / like.flop_per_s,
        step_seconds=like.step_seconds,
        link_bytes_per_s=like.link_bytes_per_s,
    )


def minibatch_at(config: Config, size: int) -> int:
    """Images of a step at a resolution, over all GPUs."""
    return at_resolution(config.schedule.minibatch, size, config.schedule.minibatch_base)


def _check(config: Config, gpus: int) -> None:
    if gpus < 1:
        raise UserError(f"--gpus must be at least 1, not {gpus}")
    for size, images in size_lengths(config):
        minibatch = minibatch_at(config, size)
        if images:
            shares(minibatch, config.network.mbstd_group_size, world=gpus)
