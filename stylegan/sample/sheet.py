"""A sheet of samples: images of seeds, laid out in rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from stylegan.png import image_grid
from stylegan.sample.canvas import Pixels
from stylegan.sample.painter import Painter
from stylegan_eval.engine.sampling import latents


def drawn_seeds(
    painter: Painter,
    seeds: Sequence[int],
    labels: Tensor | None = None,
    *,
    psi: float,
    cutoff: int,
    noise: str,
) -> Iterator[Pixels]:
    """Draw images [H, W, C] of seeds one by one, each with its own noise.

    `labels` [N, label_size] in place of the painter's own.
    """
    ws = painter.ws(latents(0, seeds, painter.network.z_dim).numpy(), labels)
    yield from painter.images(painter.truncated(ws, psi, cutoff), painter.noise(noise))


def laid_out(cells: Sequence[Pixels], columns: int) -> Pixels:
    """Cells [H, W, C] of one size in rows; what is left of the last row is 0."""
    return image_grid(np.stack(cells).transpose(0, 3, 1, 2), columns)
