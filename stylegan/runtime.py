"""Device, processes and random streams, decided once at the start of a command."""

from dataclasses import dataclass, field

import numpy as np
import torch

from stylegan_eval.engine.device import device_of_process, pick_device
from stylegan_eval.engine.processes import Processes, processes_from_environment


@dataclass(frozen=True)
class Runtime:
    """Device and processes of the work."""

    device: torch.device  # Device of every network and batch of this process
    processes: Processes = field(default_factory=Processes)
    """This process among those that `torchrun` started."""

    @classmethod
    def choose(cls, name: str) -> "Runtime":
        """Take a device by name: 'auto' (CUDA when present), 'cpu', 'cuda' or 'cuda:N'."""
        return cls(device_of_process(name, Processes()))

    @classmethod
    def join(cls, name: str) -> "Runtime":
        """Take a device, and join the processes that `torchrun` started, if it did.

        NCCL adds up what is on GPUs, Gloo the rest.
        """
        on_cpu = pick_device(name).type == "cpu"
        processes = processes_from_environment("gloo" if on_cpu else "cpu:gloo,cuda:nccl")
        return cls(device_of_process(name, processes), processes)

    @property
    def rank(self) -> int:
        """Number of this process."""
        return self.processes.rank

    @property
    def world(self) -> int:
        """Number of processes."""
        return self.processes.world

    @property
    def is_first(self) -> bool:
        """Whether this process writes and reports."""
        return self.processes.is_first

    def any(self, *, here: bool) -> bool:
        """Whether it holds in any process. Goes past the GPU, which is not waited for."""
        return self.processes.any(here=here)


def stream_seed(*key: int) -> int:
    """63-bit seed of the random stream named by `key`; unlike keys give unrelated streams."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return int(state) >> 1
