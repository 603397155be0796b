"""The difference of two images: by pixel, as a picture, in numbers.

Shapes: H W pixels of an image, S T those of the smaller one, C channels.
"""

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

PEAK = 255.0  # the largest difference
Pixels = NDArray[np.uint8]
Levels = NDArray[np.float64]  # 0 to `PEAK`
_MODES = ("L", "LA", "RGB", "RGBA")


def read_png(data: bytes, name: str | Path) -> Pixels:
    """Pixels [H, W, C] of a PNG that `name` names in errors."""
    with parsing(name, "not a PNG"), Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        if image.mode not in _MODES:
            kinds = ", ".join(_MODES)
            raise UserError(f"{name}: pixels of the kind {image.mode}, expected one of {kinds}")
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise UserError(f"{name}: a film of {frames} frames, expected one image")
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def over_black(image: Pixels) -> Levels:
    """Colours [H, W, 1 or 3] of an image [H, W, C], what is transparent over black."""
    levels = image.astype(np.float64)
    if levels.shape[2] in (1, 3):
        return levels
    return levels[:, :, :-1] * (levels[:, :, -1:] / PEAK)


def averaged(levels: Levels, size: tuple[int, int]) -> Levels:
    """Average [H, W, C] over areas, so that [S, T, C] are left; `size` (S, T) divides both."""
    (height, width), (S, T) = levels.shape[:2], size
    return levels.reshape(S, height // S, T, width // T, -1).mean(axis=(1, 3))


def difference(a: Pixels, b: Pixels) -> Levels:
    """Absolute difference [S, T, C] of two images, the larger one averaged over areas."""
    first, second = over_black(a), over_black(b)
    if first.shape[2] != second.shape[2]:
        raise UserError("one image is grey and one has colours: they have no difference")
    small, large = sorted((first, second), key=len)
    (S, T), (height, width) = small.shape[:2], large.shape[:2]
    if height % S or height * T != width * S:
        sizes = f"{T}x{S} and {width}x{height}"
        raise UserError(f"images of {sizes} pixels: one has to be as large, or 2, 3, ... times")
    return np.abs(small - averaged(large, (S, T)))


def psnr(levels: Levels) -> float:
    """Peak signal-to-noise ratio of a difference, in dB; infinite where there is none."""
    error = float(np.square(levels).mean())
    return 10 * math.log10(PEAK**2 / error) if error else math.inf


def enlarged(levels: Levels, times: int) -> Pixels:
    """A picture [S, T, C] of a difference: black where there is none, white from PEAK / times."""
    return np.rint(np.minimum(levels * times, PEAK)).astype(np.uint8)


def in_words(levels: Levels) -> str:
    """Mean and PSNR of a difference."""
    if not levels.any():
        return "There is no difference."
    mean = f"Mean absolute difference {levels.mean():.2f} of 255"
    return f"{mean}, PSNR {psnr(levels):.1f} dB"
