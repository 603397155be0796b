"""Image grids, PNG files and arrays as .npy files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylegan_eval.engine import npy
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.errors import UserError


def read_npy(path: Path, shape: tuple[int | None, ...], what: str) -> NDArray[np.float32]:
    """Read finite floats of a known shape (None is any length), at least one, as float32."""
    try:
        values = npy.read_npy(path)
    except UserError as error:
        raise UserError(f"cannot read {what} from {path}: not a .npy file of numbers") from error
    expected = "[" + ", ".join("N" if n is None else str(n) for n in shape) + "]"
    fits = values.ndim == len(shape) and all(
        n in (None, size) for n, size in zip(shape, values.shape, strict=True)
    )
    if not fits or len(values) == 0 or not np.issubdtype(values.dtype, np.floating):
        got = f"{values.dtype} {list(values.shape)}"
        raise UserError(f"{what} in {path} must be float {expected}, not {got}")
    if not np.isfinite(values).all():
        raise UserError(f"{what} in {path} hold infinities or NaN")
    return values.astype(np.float32)


def write_npy(path: Path, values: NDArray[np.float32]) -> None:
    """Write an array, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


def image_grid(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Lay images [N, C, H, W] out as [rows * H, columns * W, C]; cells after the last are black."""
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
