"""Frames of an interpolation, one after the other."""

from collections.abc import Iterator, Sequence

import numpy as np

from stylegan.draw.painter import Painter
from stylegan.figures.canvas import Pixels
from stylegan.figures.interpolation import Path, positions
from stylegan.figures.latents import latents_of
from stylegan.figures.settings import Film


def film(painter: Painter, strands: Sequence[Sequence[int]], settings: Film) -> Iterator[Pixels]:
    """Draw the frames.

    Parameters
    ----------
    painter : Painter
        Draws.
    strands : sequence of sequence of int
        Seeds of the key frames, as many in each strand; strands are seen side by side.
    settings : Film
        How.

    Yields
    ------
    ndarray
        uint8 [scale R, strands scale R, C].

    Raises
    ------
    UserError
        The network cannot draw that.
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
