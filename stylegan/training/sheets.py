"""Sample sheets of a run over time: the same latents at every snapshot, as a picture or film."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan.png import save_png
from stylegan.sample.canvas import Pixels, captioned, framed
from stylegan.sample.film import check_video, write_video
from stylegan.training.status import RunStatus
from stylegan_eval.engine.files import check_writable
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

_SHEET = re.compile(r"fakes-(\d+)(?:_(\d{3}))?\.png")
ROWS = 12  # of the contact sheet, at most
FPS = 4.0  # of a film
_CELL = 32  # pixels: smaller images are enlarged to about this size


def sheets_in(folder: Path) -> list[tuple[float, Path]]:
    """Sheets of a run by kimg, oldest first."""
    names = [(_SHEET.fullmatch(path.name), path) for path in folder.glob("fakes-*.png")]
    return sorted((int(m[1]) + int(m[2] or 0) / 1000, path) for m, path in names if m is not None)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, evenly spread, with the first and the last.

    >>> evenly(3, 12), evenly(10, 4)
    ([0, 1, 2], [0, 3, 6, 9])
    """
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def write_sheets(status: RunStatus, path: Path, command: str) -> None:
    """Write a run's sheets to a PNG, a row for each snapshot, or a film of whole sheets."""
    check_writable(path)
    sheets = sheets_in(status.folder)
    if not sheets:
        raise UserError(f"{status.folder} has no sample sheets (fakes-*.png) yet")
    size = status.config.resolution
    scale = max(1, math.ceil(_CELL / size))
    if path.suffix.lower() == ".png":
        chosen = [sheets[k] for k in evenly(len(sheets), ROWS)]
        rows = [_read(sheet, size)[:size] for _, sheet in chosen]
        texts = [f"kimg {kimg:.1f}" for kimg, _ in chosen]
        save_png(path, framed(np.concatenate(rows), [], texts, scale), command)
        return
    check_video(path, FPS)

    def frames() -> Iterator[Pixels]:
        for kimg, sheet in sheets:
            yield captioned(_read(sheet, size), f"kimg {kimg:.1f}", scale)

    write_video(path, frames(), fps=FPS, loop=True, command=command)


def _read(path: Path, size: int) -> Pixels:
    """A sheet [H, W, C] of images of `size` pixels."""
    with parsing(path, "no sample sheet", "delete it"), Image.open(path) as image:
        pixels = np.asarray(image)
        if min(pixels.shape[:2]) < size or pixels.shape[1] % size:
            raise UserError(f"it has {image.width}x{image.height} pixels, not {size}x{size} images")
    return pixels if pixels.ndim == 3 else pixels[:, :, None]
