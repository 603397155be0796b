"""Cropping and shrinking of images: pure functions on arrays."""

from typing import Literal

import numpy as np
from PIL import Image

Resample = Literal["box", "lanczos"]


def centre_square(image: np.ndarray) -> np.ndarray:
    """The largest centred square of an image.

    Parameters
    ----------
    image : ndarray
        [C, H, W].

    Returns
    -------
    ndarray
        View [C, S, S], S = min(H, W).
    """
    height, width = image.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


def shrink(image: np.ndarray, resolution: int, resample: Resample) -> np.ndarray:
    """Shrink an image and round to 8 bits once, at the end; see `resized`.

    Returns
    -------
    ndarray
        uint8 [C, resolution, resolution].
    """
    return resized(image, resolution, resolution, resample)


def resized(image: np.ndarray, height: int, width: int, resample: Resample) -> np.ndarray:
    """Shrink an image and round to 8 bits once, at the end.

    Parameters
    ----------
    image : ndarray
        uint8 [C, H, W], H >= `height`, W >= `width`.
    resample : "box" or "lanczos"
        The mean over each new pixel's area, or a windowed sinc with 3 lobes.

    Returns
    -------
    ndarray
        uint8 [C, height, width].
    """
    if image.shape[1:] == (height, width):
        return image
    if resample == "box":
        return to_uint8(_area_mean(image, height, width))
    return to_uint8(_lanczos(image, height, width))


def area_mean(image: np.ndarray, resolution: int) -> np.ndarray:
    """Exact mean over the area of each new pixel, also for sizes that do not divide.

    For a factor of 2^n this is the 2x2 mean, n times.

    Parameters
    ----------
    image : ndarray
        [C, H, W], integers.

    Returns
    -------
    ndarray
        float64 [C, resolution, resolution].
    """
    return _area_mean(image, resolution, resolution)


def _area_mean(image: np.ndarray, height: int, width: int) -> np.ndarray:
    area = image.shape[1] / height * (image.shape[2] / width)  # of a new pixel, in old ones
    rows = _area_sums(image, height)  # [C, H', W]
    columns = np.ascontiguousarray(rows.transpose(0, 2, 1))  # [C, W, H']
    return _area_sums(columns, width).transpose(0, 2, 1) / area


def _area_sums(image: np.ndarray, resolution: int) -> np.ndarray:
    """Sums over `resolution` equal stretches of axis 1, borders counted by their part."""
    side = image.shape[1]
    borders = np.arange(resolution + 1) * side
    whole, part = borders // resolution, borders % resolution / resolution
    sums = np.add.reduceat(image, whole[:-1], axis=1, dtype=np.float64)
    cut = part[:, None] * image[:, np.minimum(whole, side - 1)]  # [C, R + 1, W]
    return sums + cut[:, 1:] - cut[:, :-1]


def halve(images: np.ndarray) -> np.ndarray:
    """Mean of each 2x2 block.

    Parameters
    ----------
    images : ndarray
        float32 [N, C, H, W], H and W even.

    Returns
    -------
    ndarray
        float32 [N, C, H/2, W/2].
    """
    rows = images[:, :, 0::2] + images[:, :, 1::2]  # [N, C, H/2, W]
    return (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round to the nearest integer (halves to even), limit to [0, 255]."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _lanczos(image: np.ndarray, height: int, width: int) -> np.ndarray:
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in image]
    size = (width, height)
    return np.stack([np.asarray(p.resize(size, Image.Resampling.LANCZOS)) for p in planes])
