"""Figure 4: realisations of noise, and how far they lie apart."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylegan.draw.painter import Painter
from stylegan.figures.canvas import (
    Pixels,
    check_box,
    crop,
    empty,
    paste,
    resize,
    scaled_box,
)
from stylegan.figures.latents import official_latents
from stylegan.figures.settings import OFFICIAL_DETAIL, OFFICIAL_RESOLUTION, NoiseDetail
from stylegan_eval.errors import UserError

DETAILS = 4
_GAIN = 4  # grey levels of the picture for one of deviation


class Deviation:
    """Standard deviation of each pixel's brightness over images, from running sums.

    Brightness is the mean of the channels. The sums are whole numbers, so no digit is lost, and
    no more than one image is held.
    """

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.count = 0
        self.channels = channels
        self.total = np.zeros((height, width), np.int64)
        self.squares = np.zeros((height, width), np.int64)

    def add(self, image: Pixels) -> None:
        """Count an image [H, W, C]."""
        brightness = image.sum(axis=2, dtype=np.int64)
        self.count += 1
        self.total += brightness
        self.squares += brightness**2

    def value(self) -> NDArray[np.float64]:
        """Deviation [H, W] in grey levels, of these images themselves (no n - 1)."""
        spread = self.count * self.squares - self.total**2
        return np.sqrt(spread) / (self.count * self.channels)

    def picture(self) -> Pixels:
        """Four times the deviation, rounded and saturating: [H, W, C]."""
        grey = np.clip(_GAIN * self.value() + 0.5, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], self.channels, axis=2)


def check_noise(painter: Painter) -> None:
    """Refuse a network without noise inputs.

    Raises
    ------
    UserError
        It has none.
    """
    if not painter.network.noise_shapes:
        raise UserError(
            "this figure shows noise inputs, which this network lacks: use one of configuration"
            " E or F"
        )


def draw_noise_detail(painter: Painter, settings: NoiseDetail) -> Pixels:
    """Draw Figure 4.

    Returns
    -------
    ndarray
        uint8 [rows R, 3 R, C]: of each seed an image, four details enlarged, the deviation.

    Raises
    ------
    UserError
        The network has no noise inputs, or the part does not lie within its images.
    """
    check_noise(painter)
    size, channels = painter.network.resolution, painter.network.config.num_channels
    box = settings.crop or scaled_box(OFFICIAL_DETAIL, OFFICIAL_RESOLUTION, size)
    check_box(box, size)
    ws = painter.ws(official_latents(settings.seeds, painter.network.z_dim))
    ws = painter.truncated(ws, settings.psi)
    noise = painter.fresh_noise(settings.noise_seed)
    canvas = empty(len(settings.seeds) * size, 3 * size, channels)
    half = size // 2
    for row, w in enumerate(ws):  # [L, w_dim]
        top = row * size
        deviation = Deviation(size, size, channels)
        repeated = w.expand(settings.count, -1, -1)
        for i, image in enumerate(painter.images(repeated, noise, row * settings.count)):
            deviation.add(image)
            if i == 0:
                paste(canvas, image, top, 0)
            elif i <= DETAILS:
                detail = resize(crop(image, box), half, half, Image.Resampling.NEAREST)
                down, right = divmod(i - 1, 2)
                paste(canvas, detail, top + down * half, size + right * half)
        paste(canvas, deviation.picture(), top, 2 * size)
    return canvas
