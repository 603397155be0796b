"""Image grids, PNG files with the command that made them, and arrays of NumPy's files."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stylegan_eval.engine import safe_files
from stylegan_eval.engine.files import atomic_write
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

KEYWORD = "Command"  # of a PNG's text
NETWORK = "Network"  # of the text with the SHA-256 of the network's file
PROJECTED = "w"  # array of the projected_w.npz that NVIDIA's projector writes


def read_npy(path: Path, shape: tuple[int | None, ...], what: str) -> NDArray[np.float32]:
    """Read finite floats of a known shape (None is any length), at least one, as float32."""
    try:
        values = safe_files.read_npy(path)
    except UserError as error:
        raise UserError(f"cannot read {what} from {path}: not a .npy file of numbers") from error
    return _checked(values, path, shape, what)


def read_ws(path: Path, num_ws: int, w_dim: int) -> NDArray[np.float32]:
    """Read ws [N, num_ws, w_dim] of a .npy file, or of an .npz such as NVIDIA's projected_w.npz."""
    shape = (None, num_ws, w_dim)
    if path.suffix.lower() != ".npz":
        return read_npy(path, shape, "ws")
    if not path.is_file():
        raise UserError(f"cannot read ws from {path}: no such file")
    arrays = safe_files.read_npz(path, {PROJECTED})
    if PROJECTED not in arrays:
        raise UserError(
            f"{path} holds no array named {PROJECTED}, as NVIDIA's projected_w.npz does: expected"
            f" float [N, {num_ws}, {w_dim}] of that name"
        )
    return _checked(arrays[PROJECTED], path, shape, "ws")


def _checked(
    values: NDArray[Any], path: Path, shape: tuple[int | None, ...], what: str
) -> NDArray[np.float32]:
    expected = "[" + ", ".join("N" if n is None else str(n) for n in shape) + "]"
    fits = values.ndim == len(shape) and all(
        n in (None, size) for n, size in zip(shape, values.shape, strict=True)
    )
    if not fits or len(values) == 0 or not np.issubdtype(values.dtype, np.floating):
        got = f"{values.dtype} {list(values.shape)}"
        raise UserError(f"{what} in {path} must be float {expected}, not {got}")
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise UserError(f"{what} in {path} hold infinities, NaN or numbers beyond float32")
    return values


def write_npy(path: Path, values: NDArray[np.float32]) -> None:
    """Write an array, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)


def image_grid(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Lay images [N, C, H, W] out as [rows * H, columns * W, C]; cells after the last are 0."""
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


def texts(command: str, network: str = "") -> PngInfo:
    """Text of a PNG: the command that made it, and the network's SHA-256; none where empty."""
    info = PngInfo()
    for keyword, text in ((KEYWORD, command), (NETWORK, network)):
        if text:
            info.add_text(keyword, text)  # as iTXt where Latin-1 does not hold it
    return info


def png_of(image: NDArray[np.uint8], command: str, network: str = "") -> bytes:
    """Encode an image [H, W, C] as PNG, with its `texts`, reproducibly."""
    buffer = io.BytesIO()
    picture(image).save(buffer, format="PNG", pnginfo=texts(command, network))
    return buffer.getvalue()


def save_png(path: Path, image: NDArray[np.uint8], command: str = "") -> None:
    """Write [H, W, C] as PNG with the command that made it, whole or not at all."""
    data = png_of(image, command)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def texts_of(path: Path) -> tuple[str, str]:
    """Command and network that a PNG names, empty where it names none; see `texts`."""
    with parsing(path, "not a PNG"), Image.open(path, formats=("PNG",)) as image:
        found = [image.info.get(keyword, "") for keyword in (KEYWORD, NETWORK)]
    command, network = (text if isinstance(text, str) else "" for text in found)
    return command, network
