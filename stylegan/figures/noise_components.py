"""Figure 5: noise in all layers, in none, in fine ones, in coarse ones."""

from stylegan.draw.painter import Painter
from stylegan.figures.canvas import Pixels, empty, paste
from stylegan.figures.latents import official_latents
from stylegan.figures.layers import noise_layers
from stylegan.figures.noise_detail import check_noise
from stylegan.figures.settings import NoiseComponents
from stylegan_eval.errors import UserError

PANELS = 4


def draw_noise_components(painter: Painter, settings: NoiseComponents) -> Pixels:
    """Draw Figure 5.

    Returns
    -------
    ndarray
        uint8 [2 R, columns R, C]. A column is one seed: above, the left half of the image with
        noise in the first range beside the right half with noise in the second; below, likewise
        the third and the fourth.

    Raises
    ------
    UserError
        The network has no noise inputs or not these layers, or there are not four ranges.
    """
    check_noise(painter)
    if len(settings.ranges) != PANELS:
        raise UserError(
            f"figure 5 has 4 halves, not {len(settings.ranges)}: give --layers 4 ranges"
        )
    size = painter.network.resolution
    ranges = [noise_layers(layers, painter.num_layers) for layers in settings.ranges]
    ws = painter.ws(official_latents(settings.seeds, painter.network.z_dim))
    ws = painter.truncated(ws, settings.psi)
    columns = len(settings.seeds)
    canvas = empty(2 * size, columns * size, painter.network.config.num_channels)
    half = size // 2
    for panel, layers in enumerate(ranges):
        down, right = divmod(panel, 2)
        images = painter.images(ws, painter.stored_noise(layers))
        for column, (seed, image) in enumerate(zip(settings.seeds, images, strict=True)):
            seen = image[:, ::-1] if seed in settings.mirrored else image
            part = seen[:, right * half : (right + 1) * half]
            paste(canvas, part, down * size, column * size + right * half)
    return canvas
