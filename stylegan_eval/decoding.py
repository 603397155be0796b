"""Image bytes to pixels: every mode becomes 8-bit RGB by one set of rules."""

import io
import struct
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from stylegan_eval.errors import UserError

MAX_PIXELS = 2**28
"""Larger images are refused before decoding. Pillow's own limit, 178,956,970, is the lower."""

# Fixed, because Pillow's full list has formats that start other programs (PostScript).
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP")
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's decoders raise for damaged data.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError,
    AttributeError, MemoryError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip


class Header(NamedTuple):
    """What is known before decoding; sizes in pixels as stored (EXIF orientation not applied)."""

    width: int
    height: int
    mode: str


def read_header(stream: BinaryIO, where: str) -> Header:
    """Size and mode of the image in `stream`; reads its first bytes only.

    Parameters
    ----------
    where : str
        File and entry, for messages.

    Raises
    ------
    UserError
        Not an image, or larger than `MAX_PIXELS`.
    """
    image = _open(stream, where)
    return Header(image.width, image.height, image.mode)


def decode(data: bytes, where: str) -> np.ndarray:
    """Pixels of an image file as 8-bit RGB.

    8-bit RGB comes out as stored. Greyscale becomes three equal channels, 16-bit grey is scaled
    by 255/65535 and rounded (16-bit colour keeps its high bytes), alpha is composited over white,
    palettes, CMYK and other colour spaces are converted, EXIF orientation is applied, and of
    several frames the first is taken. Colour profiles are ignored.

    Parameters
    ----------
    data : bytes
        The whole file.
    where : str
        File and entry, for messages.

    Returns
    -------
    ndarray
        uint8 [3, H, W], contiguous.

    Raises
    ------
    UserError
        Not an image, damaged or truncated, too large, or of a pixel type without a defined range.
    """
    image = _open(io.BytesIO(data), where)
    try:
        ImageOps.exif_transpose(image, in_place=True)
        pixels = np.asarray(_to_rgb(image, where))  # [H, W, 3]
    except _TOO_LARGE as error:
        raise UserError(_too_large(where)) from error
    except _DAMAGED as error:
        raise UserError(f"{where}: damaged or truncated image ({error})") from error
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # [3, H, W]


def _open(stream: BinaryIO, where: str) -> Image.Image:
    try:
        image = Image.open(stream, formats=_FORMATS)
    except _TOO_LARGE as error:
        raise UserError(_too_large(where)) from error
    except _DAMAGED as error:
        raise UserError(f"{where}: not an image, or damaged from its first bytes on") from error
    if image.width * image.height > MAX_PIXELS:
        raise UserError(_too_large(where))
    return image


def _too_large(where: str) -> str:
    return f"{where}: too many pixels; images of up to about 13,000 x 13,000 are accepted"


def _to_rgb(image: Image.Image, where: str) -> Image.Image:
    if image.mode == "F":
        raise UserError(f"{where}: has float pixels; expected 8 or 16 bits per channel")
    if image.mode.startswith("I"):
        return _from_16_bits(image, where)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image.Image, where: str) -> Image.Image:
    values = np.asarray(image).astype(np.int64)  # [H, W]
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{where}: has 32-bit pixels; expected 8 or 16 bits per channel")
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
