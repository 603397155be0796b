"""All randomness of a training step, a function of (seed, images shown) alone."""

import numpy as np
import torch
from torch import Tensor

from stylegan.runtime import stream_seed
from stylegan.training.partition import Share

# Last element of each stream's key.
_DEVICE, _HOST = 0, 1


class StepRandom:
    """Random numbers of the step that starts at `nimg` images, on `device`.

    Every group of the minibatch has a stream of its own, so an image gets the same latent and noise
    in whatever process and micro-batch it is drawn. Nothing is ever stored: a resumed run derives
    the streams again.
    """

    host: np.random.Generator
    """Decisions for the whole minibatch that Python must know: whether and where to mix."""

    def __init__(self, seed: int, nimg: int, device: torch.device) -> None:
        self.host = np.random.default_rng(stream_seed(seed, nimg, _HOST))
        self._seed, self._nimg, self._device = seed, nimg, device
        self._streams: dict[int, torch.Generator] = {}

    def normal(self, share: Share, *shape: int) -> Tensor:
        """The next N(0, 1) numbers [share.size, *shape] of the share's images."""
        parts = [
            torch.randn(share.group_size, *shape, generator=rng, device=self._device)
            for rng in map(self._stream, share.groups)
        ]
        return torch.stack(parts, dim=1).flatten(0, 1)  # [G, M, ...] -> [G * M, ...]

    def uniform(self, share: Share, *shape: int) -> Tensor:
        """The next numbers [share.size, *shape] in [0, 1) of the share's images."""
        parts = [
            torch.rand(share.group_size, *shape, generator=rng, device=self._device)
            for rng in map(self._stream, share.groups)
        ]
        return torch.stack(parts, dim=1).flatten(0, 1)

    def _stream(self, group: int) -> torch.Generator:
        if group not in self._streams:
            seed = stream_seed(self._seed, self._nimg, _DEVICE, group)
            self._streams[group] = torch.Generator(self._device).manual_seed(seed)
        return self._streams[group]
