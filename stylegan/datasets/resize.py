"""Crops and resampling of images to a square of a given size."""

from collections.abc import Iterable

import numpy as np
from PIL import Image

from stylegan.datasets import Crop, Resample

CELEBA_SIZE = (178, 218)  # (width, height) of the aligned images
WIDE_RESOLUTION = 512  # of the published LSUN Car
_CELEBA_X, _CELEBA_Y, _CELEBA_HALF = 89, 121, 64  # centre and half the side of the square


def centre_square(image: np.ndarray) -> np.ndarray:
    """The largest centred square, a view [C, S, S] of `image` [C, H, W]."""
    height, width = image.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[:, top : top + side, left : left + side]


def resized(image: np.ndarray, height: int, width: int, resample: Resample) -> np.ndarray:
    """Shrink uint8 [C, H, W] to uint8 [C, height, width], rounding once, at the end.

    Colours of RGBA are weighted by alpha; what becomes transparent is white.
    """
    if image.shape[1:] == (height, width):
        return image
    shrink = area_mean if resample == "box" else _lanczos
    if len(image) < 4:
        return to_uint8(shrink(image, height, width))
    alpha = shrink(image[3:], height, width)  # [1, height, width]
    weighted = shrink(image[:3].astype(np.int64) * image[3], height, width)
    seen = np.rint(alpha) > 0
    colours = np.divide(weighted, alpha, out=np.full(weighted.shape, 255.0), where=seen)
    return to_uint8(np.concatenate([colours, alpha]))


def area_mean(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Exact mean over the area of each new pixel, also for sizes that do not divide.

    For a factor of 2^n this is the 2x2 mean, n times. Returns float64 [C, height, width] of
    integers [C, H, W].
    """
    area = image.shape[1] / height * (image.shape[2] / width)  # of a new pixel, in old ones
    rows = _area_sums(image, height)  # [C, H', W]
    columns = np.ascontiguousarray(rows.transpose(0, 2, 1))  # [C, W, H']
    return _area_sums(columns, width).transpose(0, 2, 1) / area


def _area_sums(image: np.ndarray, resolution: int) -> np.ndarray:
    """Sums over `resolution` equal stretches of axis 1, borders counted by their part."""
    side = image.shape[1]
    if side % resolution == 0:  # by additions alone, several times as fast
        step = side // resolution
        kind = np.uint32 if image.dtype == np.uint8 else np.promote_types(image.dtype, np.int64)
        sums = image[:, ::step].astype(kind)
        for place in range(1, step):
            sums += image[:, place::step]
        return sums
    borders = np.arange(resolution + 1) * side
    whole, part = borders // resolution, borders % resolution / resolution
    sums = np.add.reduceat(image, whole[:-1], axis=1, dtype=np.float64)
    cut = part[:, None] * image[:, np.minimum(whole, side - 1)]  # [C, R + 1, W]
    return sums + cut[:, 1:] - cut[:, :-1]


def halve(images: np.ndarray) -> np.ndarray:
    """Mean of each 2x2 block: float32 [N, C, H, W], H and W even -> [N, C, H/2, W/2]."""
    rows = images[:, :, 0::2] + images[:, :, 1::2]  # [N, C, H/2, W]
    return (rows[..., 0::2] + rows[..., 1::2]) * np.float32(0.25)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round to the nearest integer (halves to even), limit to [0, 255]."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def _lanczos(image: np.ndarray, height: int, width: int) -> np.ndarray:
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in image]
    size = (width, height)
    return np.stack([np.asarray(p.resize(size, Image.Resampling.LANCZOS)) for p in planes])


def natural_crop(kind: str, sizes: Iterable[tuple[int, int]]) -> Crop:
    """The crop of a set of that `Source.kind` whose images have those (width, height)."""
    return "celeba" if kind == "CelebA" and set(sizes) == {CELEBA_SIZE} else "centre"


def fits(crop: Crop, width: int, height: int, resolution: int) -> bool:
    """Whether an image of that size can be cropped and need not be enlarged."""
    if crop == "celeba":
        return (width, height) == CELEBA_SIZE and resolution <= 2 * _CELEBA_HALF
    if crop == "lsun-wide":
        return width >= resolution and _kept_rows(width, height, resolution) >= _tall(resolution)
    return (max if crop == "pad" else min)(width, height) >= resolution


def crop_side(crop: Crop, width: int, height: int) -> int:
    """Side in pixels of the square that is cut out, before it is shrunk; of a wide crop, width."""
    if crop == "celeba":
        return 2 * _CELEBA_HALF
    if crop == "pad":
        return max(width, height)
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


def cropped(
    image: np.ndarray,
    crop: Crop,
    resolution: int,
    resample: Resample,
    ground: tuple[int, ...] = (0, 0, 0),
) -> np.ndarray:
    """Crop and shrink uint8 [C, H, W], for which `fits` is true, to uint8 [C, R, R].

    `crop` takes the largest centred square; or the square of 128x128 pixels around (89, 121); or R
    x 3R/4 pixels above and below which there is black, as ``create_lsun``, ``create_celeba`` and
    ``create_lsun_wide`` of the official ``dataset_tool.py``; or all, centred on `ground` [C].
    """
    if crop == "pad":
        return _padded(image, resolution, resample, ground)
    if crop == "lsun-wide":
        return _wide(image, resolution, resample)
    if crop == "celeba":
        rows = slice(_CELEBA_Y - _CELEBA_HALF, _CELEBA_Y + _CELEBA_HALF)
        columns = slice(_CELEBA_X - _CELEBA_HALF, _CELEBA_X + _CELEBA_HALF)
        square = image[:, rows, columns]
    else:
        square = centre_square(image)
    return resized(square, resolution, resolution, resample)


def _padded(
    image: np.ndarray, resolution: int, resample: Resample, ground: tuple[int, ...]
) -> np.ndarray:
    """The whole image, its longer side made `resolution`."""
    height, width = image.shape[1:]
    longer = max(height, width)
    tall, wide = (max(1, round(resolution * side / longer)) for side in (height, width))
    canvas = np.empty((len(image), resolution, resolution), np.uint8)
    canvas[:] = np.array(ground, np.uint8)[:, None, None]
    top, left = (resolution - tall) // 2, (resolution - wide) // 2
    canvas[:, top : top + tall, left : left + wide] = resized(image, tall, wide, resample)
    return canvas


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
    canvas[3:] = 255  # the bars of RGBA are opaque
    canvas[:, top : top + tall] = resized(strip, tall, resolution, resample)
    return canvas
