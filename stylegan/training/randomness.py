"""All randomness of a training step, a function of (seed, images shown) alone."""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from stylegan.runtime import stream_seed
from stylegan.training.partition import Share
from stylegan_eval.engine.sampling import keyed_normal, keyed_uniform

# Last element of each stream's key.
_FAKES, _HOST, _PENALTY = range(3)


class Purpose(IntEnum):
    """Whose step the fakes of an image are for."""

    D = 0
    G = 1


class StepRandom:
    """Random numbers of one step after the other, on `device`.

    An image of the stream that training shows has numbers of its own, in whatever process and
    micro-batch it is drawn, on every device. Nothing is ever stored: a resumed run has them again.
    """

    host: np.random.Generator
    """Decisions for the whole minibatch of a step: whether and where to mix."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._fakes, self._penalty = (stream_seed(seed, stream) for stream in (_FAKES, _PENALTY))
        # On the device, so that a step is the same operations whichever images it shows.
        self._nimg = torch.zeros((), dtype=torch.int64, device=device)
        self._places: dict[Share, Tensor] = {}
        self._waiting: dict[Share, Tensor] = {}  # of at most one share, for G
        self.begin(0)

    def begin(self, nimg: int) -> None:
        """Begin the step after `nimg` images."""
        self.host = np.random.default_rng(stream_seed(self._seed, nimg, _HOST))
        self._nimg.fill_(nimg)
        self._waiting.clear()

    def fakes(self, share: Share, purpose: Purpose, count: int) -> Tensor:
        """N(0, 1) [share.size, count] for the share's fakes; the same ones in each call."""
        if purpose == Purpose.G and share in self._waiting:
            return self._waiting.pop(share)
        rows = self._rows(share) * len(Purpose)
        if purpose == Purpose.G or self._waiting:  # what waits takes memory
            return keyed_normal(self._fakes, rows + purpose, count)
        both = torch.cat([rows + each for each in Purpose])  # half the operations
        for_D, self._waiting[share] = keyed_normal(self._fakes, both, count).chunk(2)
        return for_D

    def penalty(self, share: Share) -> Tensor:
        """Numbers [share.size] in [0, 1): where WGAN-GP looks between real and fake."""
        return keyed_uniform(self._penalty, self._rows(share), 1)[:, 0]

    def _rows(self, share: Share) -> Tensor:
        """Numbers of the share's images among all that training shows, int64 [share.size]."""
        if share not in self._places:
            device, stride = self._nimg.device, share.minibatch // share.group_size
            groups = torch.arange(share.groups.start, share.groups.stop, device=device)
            members = torch.arange(share.group_size, device=device)[:, None] * stride
            self._places[share] = (members + groups).flatten()
        return self._places[share] + self._nimg
