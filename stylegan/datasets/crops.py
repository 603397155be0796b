"""Which part of an image a data set takes, by the rules of the official data-set tool."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from stylegan.datasets.resample import Resample, centre_square, resized, shrink

Crop = Literal["centre", "celeba", "lsun-wide"]

CELEBA_SIZE = (178, 218)  # (width, height) of the aligned images
WIDE_RESOLUTION = 512  # of the published LSUN Car
_CELEBA_X, _CELEBA_Y, _CELEBA_HALF = 89, 121, 64  # centre and half the side of the square


def natural_crop(kind: str, sizes: Iterable[tuple[int, int]]) -> Crop:
    """The crop of a set of that `Source.kind` whose images have those (width, height)."""
    return "celeba" if kind == "CelebA" and set(sizes) == {CELEBA_SIZE} else "centre"


def fits(crop: Crop, width: int, height: int, resolution: int) -> bool:
    """Whether an image of that size can be cropped and need not be enlarged."""
    if crop == "celeba":
        return (width, height) == CELEBA_SIZE and resolution <= 2 * _CELEBA_HALF
    if crop == "lsun-wide":
        return width >= resolution and _kept_rows(width, height, resolution) >= _tall(resolution)
    return min(width, height) >= resolution


def crop_side(crop: Crop, width: int, height: int) -> int:
    """Side in pixels of the square that is cut out, before it is shrunk; of a wide crop, width."""
    if crop == "celeba":
        return 2 * _CELEBA_HALF
    return width if crop == "lsun-wide" else min(width, height)


def shrinks(crop: Crop, width: int, height: int, resolution: int) -> bool:
    """Whether pixels of an image of that size are averaged, not only cut out."""
    if crop == "lsun-wide" and _kept_rows(width, height, resolution) != _tall(resolution):
        return True
    return crop_side(crop, width, height) != resolution


def _kept_rows(width: int, height: int, resolution: int) -> int:
    return round(resolution * height / width)


def _tall(resolution: int) -> int:
    """Height of the part that is not black."""
    return 3 * resolution // 4


def cropped(image: np.ndarray, crop: Crop, resolution: int, resample: Resample) -> np.ndarray:
    """Crop and shrink one image.

    Parameters
    ----------
    image : ndarray
        uint8 [C, H, W], for which `fits` is true.
    crop : "centre", "celeba" or "lsun-wide"
        The largest centred square; or the square of 128x128 pixels around (89, 121); or R x 3R/4
        pixels above and below which there is black.

    Returns
    -------
    ndarray
        uint8 [C, resolution, resolution].

    References
    ----------
    ``create_lsun``, ``create_celeba`` and ``create_lsun_wide`` of the official
    ``dataset_tool.py``.
    """
    if crop == "celeba":
        rows = slice(_CELEBA_Y - _CELEBA_HALF, _CELEBA_Y + _CELEBA_HALF)
        columns = slice(_CELEBA_X - _CELEBA_HALF, _CELEBA_X + _CELEBA_HALF)
        return shrink(image[:, rows, columns], resolution, resample)
    if crop == "lsun-wide":
        return _wide(image, resolution, resample)
    return shrink(centre_square(image), resolution, resample)


def _wide(image: np.ndarray, resolution: int, resample: Resample) -> np.ndarray:
    """Black above and below the image at 4:3.

    The rows that the official tool keeps are as many as the image would have after scaling to the
    new width, but it keeps them of the image before scaling: wide images come out stretched. It
    is done so here, since the published networks saw such images.
    """
    height = image.shape[1]
    kept = _kept_rows(image.shape[2], height, resolution)
    strip = image[:, (height - kept) // 2 : (height + kept) // 2]
    tall = _tall(resolution)
    top = (resolution - tall) // 2
    canvas = np.zeros((len(image), resolution, resolution), np.uint8)
    canvas[:, top : top + tall] = resized(strip, tall, resolution, resample)
    return canvas
