"""Interpolation paths in W and Z, and the frames of a film."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.sample.canvas import Pixels
from stylegan.sample.figures import latents_of
from stylegan.sample.painter import Painter
from stylegan.sample.settings import Film
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.path_length import lerp, slerp


class Position(NamedTuple):
    """Where a frame stands."""

    start: int
    end: int
    """start, end: Numbers of the key frames that it lies between."""
    t: float  # How far it is from the first to the second, 0 to below 1


def frame_count(keys: int, frames: int, *, loop: bool) -> int:
    """Frames of a path through so many key frames, `frames` from one to the next.

    Examples
    --------
    >>> frame_count(3, 10, loop=False), frame_count(3, 10, loop=True)
    (21, 30)
    """
    return keys * frames if loop else (keys - 1) * frames + 1


def positions(keys: int, frames: int, *, loop: bool) -> list[Position]:
    """Positions of all frames, at equal steps.

    `keys`: Key frames, at least 2. `frames`: Frames from one key frame to the next. `loop`: Whether
    the path goes on from the last key frame to the first, which is not shown twice; otherwise it
    ends with the last.

    Examples
    --------
    >>> [tuple(p) for p in positions(2, 2, loop=False)]
    [(0, 1, 0.0), (0, 1, 0.5), (1, 1, 0.0)]
    >>> [tuple(p) for p in positions(2, 2, loop=True)]
    [(0, 1, 0.0), (0, 1, 0.5), (1, 0, 0.0), (1, 0, 0.5)]
    """
    found = []
    for number in range(frame_count(keys, frames, loop=loop)):
        start, step = divmod(number, frames)
        end = (start + 1) % keys if loop else min(start + 1, keys - 1)
        found.append(Position(start, end, step / frames))
    return found


def arc(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Point of the great circle from a to b, its length going evenly from |a| to |b|.

    Parameters
    ----------
    a, b : Tensor
        [N, D], not opposite; where they are equal, so is the point.
    t : Tensor
        [N, 1], share of the angle.
    """
    length = lerp(a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True), t)
    still = (t == 0) | (a == b).all(dim=-1, keepdim=True)
    return torch.where(still, a, slerp(a, b, t) * length)


class Path:
    """Path through the latents of some seeds.

    Parameters
    ----------
    z : ndarray
        [K, z_dim], latents of the key frames.
    space : str
        'z': along great circles of Z, labels blended evenly. 'w': along lines of W.
    """

    def __init__(self, painter: Painter, z: NDArray[np.float32], space: str) -> None:
        if space == "w" and not painter.maps:
            raise UserError(
                "--space w needs a mapping network, and this network has none: use --space z"
            )
        self.painter = painter
        self.space = space
        self.z = torch.from_numpy(z).to(painter.device)
        self.labels = painter.labels(self.z)
        self.ws = painter.ws(z)

    def at(self, places: list[Position]) -> Tensor:
        """Ws [N, num_ws, w_dim] at these positions."""
        device = self.painter.device
        start, end = torch.tensor([place[:2] for place in places]).T.to(device)  # [N] each
        t = torch.tensor([[place.t] for place in places]).to(device)  # [N, 1]
        if self.space == "w":
            return lerp(self.ws[start], self.ws[end], t[:, :, None])
        labels = None if self.labels is None else lerp(self.labels[start], self.labels[end], t)
        return self.painter.mapped(arc(self.z[start], self.z[end], t), labels)


def film(painter: Painter, strands: Sequence[Sequence[int]], settings: Film) -> Iterator[Pixels]:
    """Draw the frames.

    `strands`: Seeds of the key frames, as many in each strand; strands are seen side by side.

    Yields
    ------
    ndarray
        uint8 [scale R, strands scale R, C].
    """
    z_dim = painter.network.z_dim
    paths = [
        Path(painter, latents_of(seeds, z_dim, settings.seeding), settings.space)
        for seeds in strands
    ]
    places = positions(len(strands[0]), settings.frames, loop=settings.loop)
    noise = painter.noise(settings.noise, settings.noise_seed)
    for first in range(0, len(places), painter.batch):
        batch = places[first : first + painter.batch]
        panels = [
            list(
                painter.images(
                    painter.truncated(path.at(batch), settings.psi, settings.cutoff),
                    noise,
                    strand * len(places) + first,
                )
            )
            for strand, path in enumerate(paths)
        ]
        for images in zip(*panels, strict=True):
            frame = np.concatenate(images, axis=1)  # side by side
            yield frame.repeat(settings.scale, axis=0).repeat(settings.scale, axis=1)
