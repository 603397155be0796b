"""Split minibatches into per-rank micro-batches; options of their computation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from stylegan.configs import Config, IntTable, at_resolution
from stylegan.training.schedule import TrainingPoint, phases
from stylegan_eval.errors import UserError
from stylegan_eval.settings.common import Precision, choice

if TYPE_CHECKING:
    import numpy as np
    import torch

    from stylegan.runtime import Runtime
    from stylegan_eval.engine.device import Algorithms, Layout


@dataclass(frozen=True)
class Share:
    """Whole groups of a minibatch, worked on in one pass."""

    minibatch: int  # N, images of a step over all processes
    group_size: int  # G, images in a group
    groups: range  # Groups of this share, of the N / G there are

    @property
    def size(self) -> int:
        """Images in the share."""
        return self.group_size * len(self.groups)

    @property
    def weight(self) -> float:
        """Part of the minibatch: what the share's mean counts for."""
        return self.size / self.minibatch

    @property
    def rows(self) -> np.ndarray:
        """Positions in the minibatch, int64 [size].

        Group m of the minibatch holds places m, m + N/G, m + 2 N/G, ...; the share keeps that
        order, so `minibatch_stddev` finds the same groups in it.
        """
        import numpy as np

        stride = self.minibatch // self.group_size
        return (np.arange(self.group_size)[:, None] * stride + np.array(self.groups)).reshape(-1)


def shares(
    minibatch: int, group_size: int, *, rank: int = 0, world: int = 1, at_a_time: int | None = None
) -> list[Share]:
    """Micro-batches of one process over its part of a minibatch.

    `group_size` is the largest group of the minibatch standard deviation; a smaller minibatch is
    one group. A micro-batch has at most `at_a_time` images, and at least one group.
    """
    G = min(group_size, minibatch)
    total, rest = divmod(minibatch, G)
    if rest:
        raise UserError(f"a minibatch of {minibatch} is no multiple of {G}")
    if total % world:
        fitting = max(n for n in range(1, min(total, world) + 1) if total % n == 0)
        raise UserError(
            f"{world} processes do not divide a minibatch of {minibatch} into groups of {G}: use"
            f" {fitting} process{'' if fitting == 1 else 'es'}, or a larger minibatch"
        )
    mine = range(rank * total // world, (rank + 1) * total // world)
    step = len(mine) if at_a_time is None else max(1, at_a_time // G)
    return [Share(minibatch, G, mine[i : i + step]) for i in range(0, len(mine), step)]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Precision, compilation, layout, micro-batches and workers of steps."""

    # Of convolutions. Statistics, losses, penalties, weights and their updates are float32.
    precision: Precision = choice("fp32", "Precision of convolutions; the paper used fp32.")
    # Only what needs no second derivative is compiled.
    compile: bool = choice(
        default=False,
        text="Compile the networks with torch.compile; needs a C++ compiler, or Triton on a GPU.",
        shown="no",
    )
    layout: Literal["auto", "channels_last", "contiguous"] = choice(
        "auto", "Memory format of weights and activations.", shown="by device and precision"
    )
    deterministic: bool = choice(
        default=False,
        text="On a GPU, only algorithms that give equal bits each time; slower.",
        shown="no",
    )
    grad_accum: int = choice(
        1, "Divide each process's part of a minibatch into K passes.", least=1, metavar="K"
    )
    at_a_time: IntTable = ()
    """Most images in a pass, by resolution; takes precedence over `grad_accum`."""
    workers: int = choice(  # 0 reads between steps
        0, "Processes that read images ahead.", shown="2 with CUDA, else 0", least=0
    )

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations and of weights as applied."""
        from stylegan_eval.engine.device import network_dtype  # with PyTorch

        return network_dtype(self.precision)

    def layout_on(self, device_type: str) -> Layout:
        """Memory format of weights and activations on a device."""
        from stylegan_eval.engine.device import layout_for  # with PyTorch

        return layout_for(device_type, self.precision) if self.layout == "auto" else self.layout

    def memory_format(self, device_type: str) -> torch.memory_format:
        """PyTorch's object for `layout_on`."""
        from stylegan_eval.engine.device import memory_format  # with PyTorch

        return memory_format(self.layout_on(device_type))

    @property
    def name(self) -> str:
        """Name in checkpoints: 'fp32', 'bf16+compile', 'fp32+deterministic'."""
        flags = {"compile": self.compile, "deterministic": self.deterministic}
        return "+".join([self.precision, *(flag for flag, on in flags.items() if on)])

    @property
    def algorithms(self) -> Algorithms:
        """How CUDA chooses algorithms; shapes stay the same for a whole phase."""
        return "deterministic" if self.deterministic else "fastest"

    @classmethod
    def named(cls, name: str) -> Execution:
        """Parse `name`; the default if it is unknown."""
        precision, *flags = name.split("+")
        known = [each for each in get_args(Precision) if each == precision]
        if not known:
            return cls()
        compiles, same = "compile" in flags, "deterministic" in flags
        return cls(precision=known[0], compile=compiles, deterministic=same)

    def shares(self, point: TrainingPoint, config: Config, runtime: Runtime) -> list[Share]:
        """Passes of this process over its part of the minibatch."""
        own = point.minibatch // runtime.world
        at_a_time = at_resolution(self.at_a_time, point.resolution, -(-own // self.grad_accum))
        return shares(
            point.minibatch,
            config.network.mbstd_group_size,
            rank=runtime.rank,
            world=runtime.world,
            at_a_time=at_a_time,
        )

    def check(self, config: Config, runtime: Runtime) -> None:
        """Refuse a configuration of which some phase does not divide over the processes."""
        for point in phases(config):
            self.shares(point, config, runtime)
