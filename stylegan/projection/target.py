"""The image to project, made to fit the network."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylegan.datasets.resample import resized
from stylegan_eval.decoding import decode
from stylegan_eval.errors import UserError
from stylegan_eval.images import MAX_FILE_BYTES

Pixels = NDArray[np.uint8]


def read_square(path: Path) -> Pixels:
    """Read an image that is as wide as high.

    Returns
    -------
    ndarray
        uint8 [3, S, S].

    Raises
    ------
    UserError
        No such file, not an image, or not square.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such image: name a file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"{path}: files of at most 1 GiB are read")
    pixels = decode(path.read_bytes(), str(path))
    height, width = pixels.shape[1:]
    if height != width:
        raise UserError(
            f"{path} is {width}x{height}: expected a square image, framed as those that the network"
            " was trained on: crop it"
        )
    return pixels


def fitted(pixels: Pixels, size: int) -> Pixels:
    """Resample an image [3, S, S] to `size` pixels: area means down, bicubic up."""
    if pixels.shape[1] >= size:
        return resized(pixels, size, size, "box")
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    larger = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(larger.transpose(2, 0, 1))


def as_tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """Bytes [3, S, S] to float32 [1, 3, S, S] whose bytes are these: the middle of their steps.

    Generated images become bytes by floor(127.5 x + 128).
    """
    return (torch.from_numpy(pixels).to(device).float()[None] - 127.5) / 127.5
