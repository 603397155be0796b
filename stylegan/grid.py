"""Sheets of images as PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


def save_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write [H, W, 3] or [H, W, 1] as PNG, whole or not at all."""
    with atomic_write(path) as temporary:
        pixels = image[:, :, 0] if image.shape[2] == 1 else image
        Image.fromarray(pixels).save(temporary, format="PNG")
