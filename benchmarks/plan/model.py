"""How long a training takes: operations, bytes, launches and the gradients' way between GPUs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.plan.work import sizes, work_of
from stylegan.configs import Config, at_resolution
from stylegan.training.partition import shares
from stylegan_eval.errors import UserError

_GRADIENT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """What a GPU (or a CPU) reaches in training, not what its maker promises.

    Attributes
    ----------
    name : str
        Of the device.
    flop_per_s : float
        Floating-point operations per second of convolutions.
    bytes_per_s : float
        Bytes per second that operations read and write; infinite to leave them out.
    step_seconds : float
        Fixed time of a step of D and one of G for every GPU: launches by the process that drives
        them all, as in the official code.
    link_bytes_per_s : float
        Bytes per second between neighbours in the ring of GPUs; infinite to leave them out.
    """

    name: str
    flop_per_s: float
    bytes_per_s: float = math.inf
    step_seconds: float = 0.0
    link_bytes_per_s: float = math.inf

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
    """What a training does on each of its GPUs, all phases together.

    Attributes
    ----------
    flop : float
        Floating-point operations.
    moved : float
        Bytes that operations read and write.
    launches : float
        Steps times GPUs.
    exchanged : float
        Bytes of gradients that each GPU hands on.
    """

    flop: float
    moved: float
    launches: float
    exchanged: float


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
    """What a training does on each of `gpus` GPUs.

    Raises
    ------
    UserError
        `gpus` is less than one, or does not divide a minibatch.
    """
    _check(config, gpus)
    gradients = _GRADIENT_BYTES * work_of(config, config.resolution).parameters
    flop = moved = launches = exchanged = 0.0
    for size, images in size_lengths(config):
        work, own = work_of(config, size), _minibatch(config, size) / gpus
        steps = images / (own * gpus)
        flop += steps * work.flop(own)
        moved += steps * work.moved(own)
        launches += steps * gpus
        if gpus > 1:  # a ring hands on each byte of the gradients twice, but for one part in `gpus`
            exchanged += steps * 2 * (gpus - 1) / gpus * gradients
    return Amounts(flop=flop, moved=moved, launches=launches, exchanged=exchanged)


def training_seconds(config: Config, *, gpus: int, throughput: Throughput) -> float:
    """How long a training takes on `gpus` GPUs.

    Raises
    ------
    UserError
        `gpus` is less than one, or does not divide a minibatch.
    """
    return throughput.seconds(training_amounts(config, gpus=gpus))


def given_throughput(tflop_per_s: float, like: Throughput) -> Throughput:
    """A GPU whose convolutions reach `tflop_per_s`, otherwise `like` another in proportion.

    Parameters
    ----------
    tflop_per_s : float
        Floating-point operations per second in training, in units of 1e12.
    like : Throughput
        A GPU of which all is known. Its bytes per second grow with the operations; its launches
        and its links stay.

    Raises
    ------
    UserError
        `tflop_per_s` is not a positive number.
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


def _minibatch(config: Config, size: int) -> int:
    return at_resolution(config.schedule.minibatch, size, config.schedule.minibatch_base)


def _check(config: Config, gpus: int) -> None:
    if gpus < 1:
        raise UserError(f"--gpus must be at least 1, not {gpus}")
    for size, images in size_lengths(config):
        minibatch = _minibatch(config, size)
        if images:
            shares(minibatch, config.network.mbstd_group_size, world=gpus)
