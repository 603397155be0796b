"""Frames to a file: MP4 by ffmpeg, GIF and APNG by Pillow, whole or not at all."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from stylegan.figures.canvas import Pixels
from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write, check_writable

if TYPE_CHECKING:
    from types import ModuleType

# GIF counts in hundredths of a second, and players take a single one for a mistake.
MAX_GIF_FPS = 50
MP4_QUALITY = 7  # of imageio-ffmpeg's 1 to 10: no loss that one sees


def check_video(path: Path, fps: float) -> None:
    """Check, before the work, that a film can be written.

    Raises
    ------
    UserError
        A package or ffmpeg is missing, the file cannot be written, or a GIF cannot be so fast.
    """
    check_writable(path)
    if path.suffix.lower() == ".gif" and fps > MAX_GIF_FPS:
        raise UserError(
            f"--fps {fps:g}: a GIF shows at most {MAX_GIF_FPS} frames a second: use MP4 or APNG"
        )
    if path.suffix.lower() == ".mp4":
        _ffmpeg()


def _ffmpeg() -> "ModuleType":
    """Package that runs ffmpeg, which is there."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            'MP4 needs a package that is not installed: pip install "stylegan-bench[video]", or'
            " write a .gif or .apng"
        ) from error
    try:
        imageio_ffmpeg.get_ffmpeg_version()
    except (RuntimeError, OSError) as error:
        raise UserError(
            "MP4 needs ffmpeg, which was not found: install it, or name it in IMAGEIO_FFMPEG_EXE,"
            " or write a .gif or .apng"
        ) from error
    return imageio_ffmpeg


def write_video(path: Path, frames: Iterable[Pixels], *, fps: float, loop: bool) -> None:
    """Write a film; its kind goes by the extension: .mp4, .gif, .apng or .png.

    MP4 is encoded frame by frame. The other kinds are held until all frames are there, since
    Pillow compares them.

    Parameters
    ----------
    path : Path
        The file.
    frames : iterable of ndarray
        uint8 [H, W, C], at least one, all of one even size, C 1 or 3.
    fps : float
        Frames per second; GIF rounds a frame's time to hundredths of a second, APNG to
        thousandths.
    loop : bool
        Whether GIF and APNG start again at the end; players decide it for MP4.

    Raises
    ------
    UserError
        See `check_video`.
    """
    check_video(path, fps)
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_mp4(temporary, path, iter(frames), fps)
        elif path.suffix.lower() == ".gif":
            _write_gif(temporary, frames, fps, loop=loop)
        else:
            _write_apng(temporary, frames, fps, loop=loop)


def _image(frame: Pixels) -> Image.Image:
    return Image.fromarray(frame[:, :, 0] if frame.shape[2] == 1 else frame)


def _write_gif(temporary: Path, frames: Iterable[Pixels], fps: float, *, loop: bool) -> None:
    images = map(_image, frames)
    first = next(images)
    # Forever is 0; a GIF that does not say is shown once.
    repeats = {"loop": 0} if loop else {}
    duration = 10 * max(round(100 / fps), 1)
    first.save(temporary, "GIF", save_all=True, append_images=images, duration=duration, **repeats)


def _write_apng(temporary: Path, frames: Iterable[Pixels], fps: float, *, loop: bool) -> None:
    first, *others = map(_image, frames)
    first.save(
        temporary,
        "PNG",
        save_all=True,
        append_images=others,
        duration=1000 / fps,
        loop=0 if loop else 1,
    )


def _write_mp4(temporary: Path, path: Path, frames: Iterator[Pixels], fps: float) -> None:
    ffmpeg = _ffmpeg()
    first = next(frames)
    writer = ffmpeg.write_frames(
        temporary,
        (first.shape[1], first.shape[0]),
        fps=fps,
        quality=MP4_QUALITY,
        macro_block_size=2,  # what colours at half the resolution need
        ffmpeg_log_level="quiet",
        output_params=["-f", "mp4", "-movflags", "+faststart"],
    )
    sent = 0
    with contextlib.closing(writer):
        writer.send(None)
        for frame in itertools.chain([first], frames):
            rgb = np.broadcast_to(frame, (*frame.shape[:2], 3))
            try:
                writer.send(np.ascontiguousarray(rgb))
            except OSError as error:
                raise UserError(_failed(path)) from error
            sent += 1
    # ffmpeg's own end is not told: count what it wrote.
    try:
        written, _ = ffmpeg.count_frames_and_secs(temporary)
    except RuntimeError as error:
        raise UserError(_failed(path)) from error
    if written != sent:
        raise UserError(_failed(path))


def _failed(path: Path) -> str:
    return f"ffmpeg could not write {path}: look for free space, or write a .gif or .apng"
