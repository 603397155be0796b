"""The preset `auto`: values from the images and the hardware, each with its reason.

On GPUs, the published rules of stylegan2-ada's configuration `auto` (Karras et al. 2020), where the
network or the schedule permits. On CPUs, what trials at 32x32 found better (`docs/demo-scale.md`).
Lengths are in thousands of images (kimg), memory in bytes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from stylegan.configs import Config, NetworkConfig
from stylegan.presets import Tuning, scaled, sized

PAPER_RESOLUTION = 1024
_GROUP = 4  # images of a minibatch standard deviation
_LONGEST_PHASE = 600.0
MOST_EPOCHS = 500  # that are planned; of more, a note warns
_NARROWEST = 8
_FIELDS = tuple(entry.name for entry in fields(Tuning))
# Names of values, with the reasons on a CPU and on GPUs.
_RULES = (
    (
        "minibatch",
        "half of min(4096 / resolution, 32): more, smaller steps were better in the same time",
        "min(4096 / resolution, 32) for each GPU, at most 64 (stylegan2-ada)",
    ),
    (
        "lrate",
        "0.008 sqrt(minibatch / 16): 0.008 and 0.012 were the best in trials at 32x32",
        "0.002 from 1024 px on, else 0.0025 (stylegan2-ada)",
    ),
    (
        "gamma",
        "the paper's: a tenth of it gave the same distance at 32x32",
        "0.0002 resolution^2 / minibatch (stylegan2-ada)",
    ),
    ("ema_kimg", *2 * ("10 / 32 of the minibatch (stylegan2-ada), at most a 50th of the length",)),
    ("phase", *2 * ("kimg of training, and of a fade: growing takes a quarter, or 600 each",)),
)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The devices of a training."""

    device: str  # Type: "cpu", "cuda"
    processes: int = 1
    threads: int = 1  # Of each process, on a CPU
    memory: float = math.inf  # That each process may take

    @property
    def on_cpu(self) -> bool:
        """Whether there is no accelerator."""
        return self.device == "cpu"


def minibatch_at(resolution: int, hardware: Hardware, images: float = math.inf) -> int:
    """Images of a step over all processes, in whole groups in each of them."""
    N, groups = hardware.processes, _GROUP * hardware.processes
    each = min(4096 // resolution, 32)
    wanted = each // 2 if hardware.on_cpu else min(N * each, 64)
    return max(int(min(wanted, images)) // groups, 1) * groups


def lrate_at(resolution: int, minibatch: int, hardware: Hardware) -> float:
    """Learning rate of both networks."""
    if hardware.on_cpu:
        return round(0.008 * math.sqrt(minibatch / 16), 4)
    return 0.002 if resolution >= PAPER_RESOLUTION else 0.0025


def gamma_at(resolution: int, minibatch: int) -> float:
    """Weight of R1 on GPUs."""
    return 0.0002 * resolution**2 / minibatch


def half_life(minibatch: int, total_kimg: float) -> float:
    """Half-life of the moving average in kimg; a fiftieth of a short training."""
    return min(minibatch * 10 / 32, total_kimg / 50)


def length(resolution: int, hardware: Hardware, images: float = math.inf) -> float:
    """Length of a training in kimg."""
    whole = 25_000.0
    if hardware.on_cpu:
        whole = min(150.0 * resolution / 32, whole)
    return min(whole, max(MOST_EPOCHS * images / 1000, whole / 25))


def phase_kimg(total_kimg: float, doublings: int) -> float:
    """Training and fade at each resolution: growing takes at most a quarter of the length."""
    return round(min(total_kimg / 4 / (2 * max(doublings, 1)), _LONGEST_PHASE), 3)


def widest(hardware: Hardware) -> int:
    """Most feature maps of a layer that are worth their time."""
    if not hardware.on_cpu:
        return 512
    cores = hardware.processes * hardware.threads
    return int(min(64 * 2 ** (math.floor(math.log2(cores)) // 2), 512))


def step_memory(network: NetworkConfig, resolution: int, images: int) -> float:
    """Bytes of a step with so many images in a pass, to a third of `training.rehearsal`'s.

    Weights of G, its average and D, with gradients and moments, are 22 bytes for each of G's and
    D's; each value of a layer is kept about 12 times.
    """
    weights = values = 0.0
    before = network.fmaps(4)
    for size in (4 << k for k in range(resolution.bit_length() - 2)):
        maps = network.fmaps(size)
        weights += 2 * 9 * maps * (before + maps)
        values += maps * size**2
        before = maps
    return 22 * weights + images * 12 * 4 * values


def with_maps(network: NetworkConfig, resolution: int, hardware: Hardware) -> NetworkConfig:
    """Widest networks of which a pass of one group fits into the memory."""
    width = widest(hardware)
    while True:
        fitted = scaled(network, width)
        if hardware.on_cpu:  # half the maps at full resolution, as `demo-32`; a quarter at 128 px
            base = max(min(resolution, 64) * width // 4, 1)
            fitted = sized(network, width=width, base=base, latents=min(2 * width, 512))
        if width <= _NARROWEST or step_memory(fitted, resolution, _GROUP) <= hardware.memory:
            return fitted
        width //= 2


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Rules for a set of images on some hardware."""

    row: Config  # What is changed
    resolution: int
    images: int | None  # None where unknown
    hardware: Hardware
    given: Tuning  # Values of the user, on which others depend
    kimg: float | None  # Length that the user wants
    fixed: bool = False  # The networks are there already

    @property
    def config(self) -> Config:
        """The row with the values of the user, or else of the rules."""
        row, given, count = self.row, self.given, self.images or math.inf
        size, hardware, on_cpu = self.resolution, self.hardware, self.hardware.on_cpu
        minibatch = given.minibatch or minibatch_at(size, hardware, count)
        total = self.kimg or length(size, hardware, count)
        lower = (4 << k for k in range(size.bit_length() - 3))
        table = ((each, minibatch_at(each, hardware, count)) for each in lower)
        begins = row.schedule.initial_resolution
        phase = phase_kimg(total, max(size.bit_length() - begins.bit_length(), 0))
        schedule = replace(
            row.schedule,
            training_kimg=phase,
            transition_kimg=phase,
            total_kimg=total,
            minibatch=tuple(entry for entry in table if entry[1] != minibatch),
            minibatch_base=minibatch,
            lrate=(),
            lrate_base=lrate_at(size, minibatch, hardware),
            tick_kimg=() if on_cpu else row.schedule.tick_kimg,
            ema_kimg=half_life(minibatch, total),
        )
        gamma = row.loss.r1_gamma if on_cpu else gamma_at(size, minibatch)
        keeps = self.fixed or given.width is not None
        network = row.network if keeps else with_maps(row.network, size, hardware)
        loss = replace(row.loss, r1_gamma=gamma)
        changed = replace(row, resolution=size, network=network, loss=loss, schedule=schedule)
        return given.apply(changed)

    @property
    def summary(self) -> str:
        """The values in a line."""
        values = ", ".join(f"{name} {value}" for name, value, _ in self._values())
        return f"{values} for {self._facts}"

    def lines(self) -> Iterator[str]:
        """Each value with its reason."""
        yield f"auto, for {self._facts}:"
        for name, value, reason in self._values():
            yield f"  {name:9s} {value:>7s}  {reason}"

    @property
    def _facts(self) -> str:
        machine = self.hardware
        count, what = machine.processes, "GPU"
        if machine.on_cpu:
            count, what = count * machine.threads, "CPU core"
        images = "" if self.images is None else f"{self.images:,d} images of "
        size = f"{self.resolution}x{self.resolution}"
        return f"{images}{size}, {count} {what}{'' if count == 1 else 's'}"

    def _values(self) -> Iterator[tuple[str, str, str]]:
        """Name, value, reason."""
        config, given, on_cpu = self.config, self.given, self.hardware.on_cpu
        schedule, gamma = config.schedule, config.loss.r1_gamma
        rules = {name: on_a_cpu if on_cpu else on_gpus for name, on_a_cpu, on_gpus in _RULES}
        rules |= {"width": self._reason_of_width(config), "kimg": self._reason_of_length()}
        known = {name: getattr(given, name) for name in _FIELDS} | {"kimg": self.kimg}
        values = (
            ("minibatch", schedule.minibatch_base),
            ("lrate", schedule.lrate_base),
            *((("gamma", gamma),) if config.loss.kind == "logistic-r1" else ()),
            ("ema_kimg", schedule.ema_kimg),
            ("width", config.network.fmap_max),
            ("kimg", schedule.total_kimg),
            ("phase", schedule.training_kimg),
        )
        for name, value in values:
            by_rule = known.get(name) is None
            yield name.replace("_", "-"), f"{value:.4g}", rules[name] if by_rule else "given"

    def _reason_of_width(self, config: Config) -> str:
        if self.fixed:
            return "that of the networks that are there"
        if config.network.fmap_max < widest(self.hardware):
            return "what fits into the memory with 4 images in a pass"
        if self.hardware.on_cpu:
            return "64, doubled for each fourfold number of cores: 96 were worse on one"
        return "the paper's, at each resolution what stylegan2-ada has below 512 px"

    def _reason_of_length(self) -> str:
        whole = length(self.resolution, self.hardware)
        if self.images and length(self.resolution, self.hardware, self.images) < whole:
            longest = f"{MOST_EPOCHS} epochs of these images"
            return f"{longest}, or a 25th of the usual length if that is more"
        return "150 at 32x32, twice as many a doubling" if self.hardware.on_cpu else "published"
