"""Figure 8: the truncation trick."""

import torch

from stylegan.draw.painter import Painter
from stylegan.figures.canvas import Pixels, table
from stylegan.figures.latents import official_latents
from stylegan.figures.settings import Truncation
from stylegan_eval.errors import UserError


def draw_truncation(painter: Painter, settings: Truncation) -> Pixels:
    """Draw Figure 8.

    Returns
    -------
    ndarray
        uint8 [seeds R, psis R, C], with the noise that is stored in the network.

    Raises
    ------
    UserError
        The network has no mapping network.
    """
    if not painter.maps:
        raise UserError(
            "this figure moves w towards its average, which needs a mapping network: this network"
            " has none"
        )
    ws = painter.ws(official_latents(settings.seeds, painter.network.z_dim))
    columns = [painter.truncated(ws, psi) for psi in settings.psis]  # [seeds, L, w_dim] each
    moved = torch.stack(columns, dim=1).flatten(0, 1)  # row by row
    images = list(painter.images(moved, painter.stored_noise()))
    across = len(columns)
    return table([images[at : at + across] for at in range(0, len(images), across)])
