"""Figure 3, and tables of style mixing like it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan.draw.painter import Painter
from stylegan.figures.canvas import Pixels, table
from stylegan.figures.layers import Layers, style_layers
from stylegan.figures.settings import Mixing
from stylegan_eval.errors import UserError


def mix_layers(source: Tensor, destination: Tensor, layers: range) -> Tensor:
    """Rows `layers` of the source's ws, the others of the destination's: [..., L, w_dim]."""
    index = torch.arange(destination.shape[-2], device=destination.device)[:, None]  # [L, 1]
    return torch.where((index >= layers.start) & (index < layers.stop), source, destination)


def row_ranges(ranges: Sequence[Layers], rows: int, num_layers: int) -> list[range]:
    """Layers that take the source's style in each row of a table.

    Raises
    ------
    UserError
        There are neither as many as rows nor one, or the network has no such layer.
    """
    if len(ranges) not in (1, rows):
        raise UserError(
            f"{len(ranges)} layer ranges for {rows} destinations: give --layers one for each, or"
            " one for all"
        )
    each = list(ranges) * (rows if len(ranges) == 1 else 1)
    return [style_layers(layers, num_layers) for layers in each]


def draw_mixing(
    painter: Painter,
    sources: NDArray[np.float32],
    destinations: NDArray[np.float32],
    settings: Mixing,
) -> Pixels:
    """Draw a table: sources along the top, destinations down the left side, mixtures between.

    Parameters
    ----------
    painter : Painter
        Of a network with styles.
    sources, destinations : ndarray
        Latents [S, z_dim] and [D, z_dim].
    settings : Mixing
        Layers, truncation, noise, gaps.

    Returns
    -------
    ndarray
        uint8 [H, W, C] of 1 + D rows and 1 + S columns.

    Raises
    ------
    UserError
        The network has no styles, or not these layers.
    """
    if not painter.network.g.uses_styles:
        raise UserError(
            "mixing needs a w for every layer, and this network has no styles: use one of"
            " configuration C to F"
        )
    S, D = len(sources), len(destinations)
    ranges = row_ranges(settings.ranges, D, painter.num_layers)
    src, dst = (
        painter.truncated(painter.ws(z), settings.psi, settings.cutoff)  # [S or D, L, w_dim]
        for z in (sources, destinations)
    )
    mixtures = [mix_layers(src, dst[row], layers) for row, layers in enumerate(ranges)]
    noise = painter.noise(settings.noise, settings.noise_seed)
    images = list(painter.images(torch.cat([src, dst, *mixtures]), noise))
    top: list[Pixels | None] = [None, *images[:S]]
    rows = [[images[S + d], *images[S + D + d * S :][:S]] for d in range(D)]
    return table([top, *rows], gap=settings.gap, ground=settings.ground)
