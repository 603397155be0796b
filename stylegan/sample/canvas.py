"""Laying images out with gaps, labels and enlargement, all of them bytes [H, W, C]."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stylegan.sample.settings import Box
from stylegan_eval.errors import UserError

Pixels = NDArray[np.uint8]
_SMALLEST_TEXT = 10  # pixels
_TEXTS = 12  # the height of a cell is so many lines of text


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


def enlarged(image: Pixels, scale: int) -> Pixels:
    """Repeat each pixel `scale` times in both directions."""
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def captioned(image: Pixels, text: str, scale: int) -> Pixels:
    """Enlarge an image, with a text in a strip below it."""
    height, width = (scale * side for side in image.shape[:2])
    font = _font(height)
    _check_fits(text, font, width, scale)
    line = _line(font)
    canvas = _written(
        height + line, width, image.shape[2], font, [(text, width / 2, height + line / 2)]
    )
    paste(canvas, enlarged(image, scale), 0, 0)
    return canvas


def framed(picture: Pixels, above: Sequence[str], left: Sequence[str], scale: int) -> Pixels:
    """Enlarge a picture, with texts above its columns and left of its rows, of equal sizes."""
    height, width = (scale * side for side in picture.shape[:2])
    across, down = width / max(len(above), 1), height / max(len(left), 1)
    font = _font(int(min(across, down)))
    for text in above:
        _check_fits(text, font, int(across), scale)
    line = _line(font)
    if left and line > down:
        raise UserError(f"--labels: lines of {line} pixels do not fit: add --scale {scale * 2}")
    top = line if any(above) else 0
    margin = max([0, *(_width(text, font) + line // 2 for text in left if text)])
    texts = [(text, margin + (k + 0.5) * across, top / 2) for k, text in enumerate(above)]
    texts += [(text, margin / 2, top + (k + 0.5) * down) for k, text in enumerate(left)]
    canvas = _written(top + height, margin + width, picture.shape[2], font, texts)
    paste(canvas, enlarged(picture, scale), top, margin)
    return canvas


_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _font(cell: int) -> _Font:
    """Pillow's own font, in proportion to the images."""
    return ImageFont.load_default(max(_SMALLEST_TEXT, cell // _TEXTS))


def _width(text: str, font: _Font) -> int:
    return math.ceil(font.getlength(text))


def _line(font: _Font) -> int:
    """Height of a strip of text, even, as films need it."""
    _, top, _, bottom = font.getbbox("Ag0")
    return 2 * math.ceil((bottom - top) * 0.75)


def _check_fits(text: str, font: _Font, width: int, scale: int) -> None:
    needed = _width(text, font)
    if needed > width:
        larger = scale * math.ceil(needed / width)
        raise UserError(
            f"--labels: {text!r} takes {needed} pixels, more than the {width} of an image: add"
            f" --scale {larger}"
        )


def _written(
    height: int, width: int, channels: int, font: _Font, texts: Sequence[tuple[str, float, float]]
) -> Pixels:
    """White, opaque canvas with texts in black around points (left, top)."""
    image = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(image)
    for text, left, top in texts:
        draw.text((left, top), text, fill=0, font=font, anchor="mm")
    canvas = np.repeat(np.asarray(image)[:, :, None], channels, axis=2)
    if channels in (2, 4):
        canvas[:, :, -1] = 255
    return canvas
