"""Frames to a file: MP4 by ffmpeg, GIF and APNG by Pillow, whole or not at all."""

import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from stylegan.png import picture
from stylegan.sample.canvas import Pixels
from stylegan_eval.engine.files import atomic_write, check_writable
from stylegan_eval.errors import UserError

# GIF counts in hundredths of a second, and players take a single one for a mistake.
MAX_GIF_FPS = 50
MP4_CRF = 16  # x264's rate factor: 0 loses nothing, 18 nothing that one sees


def check_video(path: Path, fps: float) -> None:
    """Check, before the work, that a film can be written."""
    check_writable(path)
    if path.suffix.lower() == ".gif" and fps > MAX_GIF_FPS:
        raise UserError(
            f"--fps {fps:g}: a GIF shows at most {MAX_GIF_FPS} frames a second: use MP4 or APNG"
        )
    if path.suffix.lower() == ".mp4":
        _ffmpeg()


def _ffmpeg() -> str:
    """Path of an ffmpeg that runs."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise UserError(
            "MP4 needs a package that is not installed: write a .gif or .apng, or"
            ' pip install ".[video]" in the source folder'
        ) from error
    try:
        imageio_ffmpeg.get_ffmpeg_version()
        return imageio_ffmpeg.get_ffmpeg_exe()
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise UserError(
            "MP4 needs ffmpeg, which does not run here: install it, or name it in"
            " IMAGEIO_FFMPEG_EXE, or write a .gif or .apng"
        ) from error


def write_video(path: Path, frames: Iterable[Pixels], *, fps: float, loop: bool) -> None:
    """Write a film; its kind goes by the extension: .mp4, .gif, .apng or .png.

    MP4 is encoded frame by frame. The other kinds are held until all frames are there, since
    Pillow compares them.

    Parameters
    ----------
    frames : iterable of ndarray
        uint8 [H, W, C], at least one, all of one even size, C from 1 to 4; MP4 has alpha over
        white.
    fps : float
        Frames per second; GIF rounds a frame's time to hundredths of a second, APNG to thousandths.
    loop : bool
        Whether GIF and APNG start again at the end; players decide it for MP4.
    """
    check_video(path, fps)
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_mp4(temporary, path, iter(frames), fps)
        elif path.suffix.lower() == ".gif":
            _write_gif(temporary, frames, fps, loop=loop)
        else:
            _write_apng(temporary, frames, fps, loop=loop)


def _opaque(frame: Pixels) -> Pixels:
    """[H, W, 3], what is transparent over white."""
    if frame.shape[2] in (1, 3):
        return np.broadcast_to(frame, (*frame.shape[:2], 3))
    rgba = picture(frame).convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


def _write_gif(temporary: Path, frames: Iterable[Pixels], fps: float, *, loop: bool) -> None:
    images = map(picture, frames)
    first = next(images)
    # Forever is 0; a GIF that does not say is shown once.
    repeats = {"loop": 0} if loop else {}
    duration = 10 * max(round(100 / fps), 1)
    first.save(temporary, "GIF", save_all=True, append_images=images, duration=duration, **repeats)


def _write_apng(temporary: Path, frames: Iterable[Pixels], fps: float, *, loop: bool) -> None:
    first, *others = map(picture, frames)
    first.save(
        temporary,
        "PNG",
        save_all=True,
        append_images=others,
        duration=1000 / fps,
        loop=0 if loop else 1,
    )


def _write_mp4(temporary: Path, path: Path, frames: Iterator[Pixels], fps: float) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    command = [_ffmpeg(), "-y", "-v", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps)]
    # 4:2:0, which every player takes.
    command += ["-i", "-", "-c:v", "libx264", "-crf", str(MP4_CRF), "-pix_fmt", "yuv420p"]
    command += ["-movflags", "+faststart", "-f", "mp4", str(temporary)]
    # Into a file, since nobody would empty a pipe meanwhile.
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said) as ffmpeg:
            assert ffmpeg.stdin is not None
            whole = _send(itertools.chain([first], frames), ffmpeg.stdin)
        if not whole or ffmpeg.returncode != 0:
            said.seek(0)
            lines = said.read().decode(errors="replace").split("\n")
            reason = next((line for line in reversed(lines) if line.strip()), "it broke off")
            raise UserError(f"ffmpeg could not write {path}: {reason.strip()}")


def _send(frames: Iterable[Pixels], encoder: IO[bytes]) -> bool:
    """Hand all frames over; False where the encoder went away."""
    whole = True
    for frame in frames:
        try:
            encoder.write(_opaque(frame).tobytes())
        except BrokenPipeError:
            whole = False
            break
    try:
        encoder.close()
    except BrokenPipeError:
        whole = False
    return whole
