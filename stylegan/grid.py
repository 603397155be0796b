"""Sheets of images as PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write


def image_grid(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Lay images [N, C, H, W] out row by row.

    Returns
    -------
    ndarray
        [rows * H, columns * W, C]; cells after the last image are black.
    """
    N, C, H, W = images.shape
    rows = -(-N // columns)
    sheet = np.zeros((rows * columns, C, H, W), np.uint8)
    sheet[:N] = images
    sheet = sheet.reshape(rows, columns, C, H, W).transpose(0, 3, 1, 4, 2)  # rows H columns W C
    return np.ascontiguousarray(sheet.reshape(rows * H, columns * W, C))


def picture(pixels: NDArray[np.uint8]) -> Image.Image:
    """An image [H, W, C] as Pillow has it: grey, grey and alpha, RGB or RGBA."""
    channels = pixels.shape[2]
    if channels > 4:
        raise UserError(
            f"images of {channels} channels are no picture: stylegan-sample export writes them to"
            " a .npy file"
        )
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if channels == 1 else pixels))


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write [H, W, C] as PNG, whole or not at all."""
    shown = picture(image)
    with atomic_write(path) as temporary:
        shown.save(temporary, format="PNG")
