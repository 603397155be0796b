"""Laying images out, all of them bytes [H, W, C]."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylegan.sample.settings import Box
from stylegan_eval.errors import UserError

Pixels = NDArray[np.uint8]


def empty(height: int, width: int, channels: int, ground: int = 255) -> Pixels:
    """Canvas of one grey level, white unless told otherwise."""
    return np.full((height, width, channels), ground, np.uint8)


def paste(canvas: Pixels, image: Pixels, top: int, left: int) -> None:
    """Put an image into a canvas."""
    height, width = image.shape[:2]
    canvas[top : top + height, left : left + width] = image


def check_box(box: Box, size: int) -> None:
    """Check that a part lies within images of `size` x `size`."""
    left, top, width, height = box
    if max(top + height, left + width) > size or min(width, height) < 1:
        raise UserError(
            f"the part {','.join(map(str, box))} (left, top, width, height) does not lie within"
            f" images of {size}x{size}"
        )


def crop(image: Pixels, box: Box) -> Pixels:
    """Cut a part out."""
    left, top, width, height = box
    return image[top : top + height, left : left + width]


def scaled_box(box: Box, size: int, resolution: int) -> Box:
    """Scale a part of images of `size` to images of `resolution`, to the nearest pixel.

    >>> scaled_box((650, 180, 256, 256), 1024, 64)
    (41, 11, 16, 16)
    """
    left, top, width, height = ((2 * side * resolution + size) // (2 * size) for side in box)
    return left, top, max(width, 1), max(height, 1)


def resize(image: Pixels, width: int, height: int, how: Image.Resampling) -> Pixels:
    """Resize by one of Pillow's filters."""
    grey = image.shape[2] == 1
    resized = Image.fromarray(image[:, :, 0] if grey else image).resize((width, height), how)
    return np.asarray(resized).reshape(height, width, image.shape[2])


def table(rows: Sequence[Sequence[Pixels | None]], *, gap: int = 0, ground: int = 255) -> Pixels:
    """Lay cells [H, W, C] out in rows, `gap` pixels apart; None is left empty, grey `ground`."""
    height, width, channels = next(cell for row in rows for cell in row if cell is not None).shape
    down, across = height + gap, width + gap
    canvas = empty(len(rows) * down + gap, len(rows[0]) * across + gap, channels, ground)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            if cell is not None:
                paste(canvas, cell, gap + i * down, gap + j * across)
    return canvas
