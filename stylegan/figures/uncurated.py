"""Figure 2: uncurated images in columns of shrinking size."""

from PIL import Image

from stylegan.draw.painter import Painter
from stylegan.figures.canvas import Box, Pixels, check_box, crop, empty, paste, resize
from stylegan.figures.latents import official_batch
from stylegan.figures.settings import Uncurated
from stylegan_eval.errors import UserError


def places(settings: Uncurated, width: int, height: int) -> list[tuple[int, int, int]]:
    """Left, top and lod of each image, column by column from the top.

    Parameters
    ----------
    settings : Uncurated
        Its rows and lods.
    width, height : int
        Size of an image at lod 0.

    Raises
    ------
    UserError
        A column's images would have no pixel.
    """
    found: list[tuple[int, int, int]] = []
    left = 0
    for lod in settings.lods:
        if min(width, height) >> lod == 0:
            raise UserError(f"lod {lod} leaves nothing of images of {width}x{height}: lower --lods")
        rows = range(settings.rows << lod)
        found += [(left, row * height >> lod, lod) for row in rows]
        left += width >> lod
    return found


def draw_uncurated(painter: Painter, settings: Uncurated) -> Pixels:
    """Draw Figure 2.

    Returns
    -------
    ndarray
        uint8 [rows H, sum of the columns' widths, C].
    """
    size = painter.network.resolution
    box: Box = settings.crop or (0, 0, size, size)
    check_box(box, size)
    width, height = box[2:]
    targets = places(settings, width, height)
    z = official_batch(settings.seed, len(targets), painter.network.z_dim)
    ws = painter.truncated(painter.ws(z), settings.psi, settings.cutoff)
    across = sum(width >> lod for lod in settings.lods)
    canvas = empty(settings.rows * height, across, painter.network.config.num_channels)
    images = painter.images(ws, painter.fresh_noise(settings.noise_seed))
    for image, (left, top, lod) in zip(images, targets, strict=True):
        part = crop(image, box)
        small = resize(part, width >> lod, height >> lod, Image.Resampling.LANCZOS)
        paste(canvas, small, top, left)
    return canvas
