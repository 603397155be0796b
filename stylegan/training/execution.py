"""How steps are computed. Changes speed and memory; and rounding, where `exact` says no."""

from dataclasses import dataclass
from typing import get_args

import torch

from stylegan.configs import Config, IntTable, at_resolution
from stylegan.runtime import Runtime
from stylegan.training.partition import Share, shares
from stylegan.training.schedule import TrainingPoint, phases
from stylegan_eval.precision import network_dtype
from stylegan_eval.settings.common import Precision


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What a user may choose of the computation.

    Attributes
    ----------
    precision : {'fp32', 'tf32', 'bf16'}
        Of convolutions. Statistics, losses, penalties, weights and their updates are float32.
    compile : bool
        Whether `torch.compile` makes what needs no second derivative.
    grad_accum : int
        Passes into which a process divides its part of a minibatch.
    at_a_time : table
        Most images in a pass, by resolution; takes precedence over `grad_accum`.
    workers : int
        Processes that read images ahead; 0 reads between steps.
    """

    precision: Precision = "fp32"
    compile: bool = False
    grad_accum: int = 1
    at_a_time: IntTable = ()
    workers: int = 0

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations and of weights as applied."""
        return network_dtype(self.precision)

    @property
    def name(self) -> str:
        """What a checkpoint says of it: 'fp32', 'bf16+compile'."""
        return self.precision + ("+compile" if self.compile else "")

    @classmethod
    def named(cls, name: str) -> "Execution":
        """What `name` tells; the default where it tells nothing that is known."""
        precision, _, rest = name.partition("+")
        known = [each for each in get_args(Precision) if each == precision]
        return cls(precision=known[0], compile=rest == "compile") if known else cls()

    def shares(self, point: TrainingPoint, config: Config, runtime: Runtime) -> list[Share]:
        """Passes of this process over its part of the minibatch.

        Raises
        ------
        UserError
            The minibatch does not divide.
        """
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
        """Refuse a configuration of which some phase does not divide over the processes.

        Raises
        ------
        UserError
            The minibatch does not divide.
        """
        for point in phases(config):
            self.shares(point, config, runtime)
