"""Device and random streams, decided once at the start of a command."""

from dataclasses import dataclass

import numpy as np
import torch

from stylegan_eval.loading import pick_device


@dataclass(frozen=True)
class Runtime:
    """Where the work is done.

    Attributes
    ----------
    device : torch.device
        Device of every network and batch.
    """

    device: torch.device

    @classmethod
    def choose(cls, name: str) -> "Runtime":
        """Take a device by name: 'auto' (CUDA when present), 'cpu', 'cuda' or 'cuda:N'.

        Raises
        ------
        UserError
            There is no such device.
        """
        return cls(pick_device(name))


def stream_seed(*key: int) -> int:
    """63-bit seed of the random stream named by `key`; unlike keys give unrelated streams."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return int(state) >> 1


@dataclass(frozen=True)
class StepRandom:
    """All randomness of one training step, a function of (seed, images shown) alone.

    Nothing of it is ever stored: a resumed run derives it again.

    Attributes
    ----------
    device : torch.Generator
        Latents and noise, on the device.
    host : numpy.random.Generator
        Decisions that Python must know: whether and where to mix.
    """

    device: torch.Generator
    host: np.random.Generator

    @classmethod
    def at(cls, seed: int, nimg: int, device: torch.device) -> "StepRandom":
        """Streams of the step that starts at `nimg` images."""
        generator = torch.Generator(device).manual_seed(stream_seed(seed, nimg, 0))
        return cls(generator, np.random.default_rng(stream_seed(seed, nimg, 1)))
