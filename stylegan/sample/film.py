"""Films: paths in W and Z through seeds or recipes, frames, and their files.

Shapes: K key frames, L rows of ws, D length of w, C channels, R pixels. MP4 is written by ffmpeg,
GIF and APNG by Pillow, whole or not at all.
"""

import itertools
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan.png import picture, texts
from stylegan.sample.canvas import Pixels, enlarged
from stylegan.sample.drawing import OpenedGenerator, check_fits, ws_of
from stylegan.sample.figures import latents_of
from stylegan.sample.painter import Noise, Painter
from stylegan.sample.recipe import Recipe
from stylegan.sample.settings import Film
from stylegan_eval.engine.files import atomic_write, check_writable
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.path_length import lerp, slerp

# GIF counts in hundredths of a second, and players take a single one for a mistake.
MAX_GIF_FPS = 50
Strand = Sequence[int] | Tensor  # seeds of key frames, or their ws [K, num_ws, w_dim]
# A recipe, and the w [1, L, D] that takes the place of its seed, if any does.
KeyFrame = tuple[Recipe, Tensor | None]
MP4_CRF = 16  # x264's rate factor: 0 loses nothing, 18 nothing that one sees


class Position(NamedTuple):
    """Position of a frame."""

    start: int  # Number of the key frame before it
    end: int  # ... and after it
    t: float  # How far it is from the first to the second, 0 to below 1


def frame_count(keys: int, frames: int, *, loop: bool) -> int:
    """Frames of a path through so many key frames, `frames` from one to the next.

    >>> frame_count(3, 10, loop=False), frame_count(3, 10, loop=True)
    (21, 30)
    """
    return keys * frames if loop else (keys - 1) * frames + 1


def positions(keys: int, frames: int, *, loop: bool) -> list[Position]:
    """Positions of all frames, `frames` equal steps from each of the key frames to the next.

    With `loop`, the path goes on from the last key frame to the first, which is not shown twice.

    >>> [tuple(p) for p in positions(2, 2, loop=False)]
    [(0, 1, 0.0), (0, 1, 0.5), (1, 1, 0.0)]
    >>> [tuple(p) for p in positions(2, 2, loop=True)]
    [(0, 1, 0.0), (0, 1, 0.5), (1, 0, 0.0), (1, 0, 0.5)]
    """
    path = []
    for number in range(frame_count(keys, frames, loop=loop)):
        start, step = divmod(number, frames)
        end = (start + 1) % keys if loop else min(start + 1, keys - 1)
        path.append(Position(start, end, step / frames))
    return path


def arc(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Point of the great circle from a to b [N, D], its length going evenly from |a| to |b|.

    `t` [N, 1] is the share of the angle. The ends are not opposite; where they are equal, so is the
    point.
    """
    length = lerp(a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True), t)
    still = (t == 0) | (a == b).all(dim=-1, keepdim=True)
    return torch.where(still, a, slerp(a, b, t) * length)


class LinePath:
    """Path through ws [K, num_ws, w_dim] of key frames, along lines of W."""

    def __init__(self, ws: Tensor) -> None:
        self.ws = ws

    def at(self, places: Sequence[Position]) -> Tensor:
        """Ws [N, num_ws, w_dim] at these positions."""
        start, end, t = _ends(places, self.ws.device)
        return lerp(self.ws[start], self.ws[end], t[:, :, None])


class ArcPath:
    """Path through latents z [K, z_dim], along great circles of Z, labels blended."""

    def __init__(self, painter: Painter, z: Tensor, labels: Tensor | None) -> None:
        self.painter, self.z, self.labels = painter, z, labels

    def at(self, places: Sequence[Position]) -> Tensor:
        """Ws [N, num_ws, w_dim] at these positions."""
        start, end, t = _ends(places, self.z.device)
        labels = None if self.labels is None else lerp(self.labels[start], self.labels[end], t)
        return self.painter.mapped(arc(self.z[start], self.z[end], t), labels)


def _ends(places: Sequence[Position], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Key frames before and after each position, [N] each, and its share t, [N, 1]."""
    start, end = torch.tensor([place[:2] for place in places]).T.to(device)
    return start, end, torch.tensor([[place.t] for place in places]).to(device)


def path_of(
    painter: Painter, strand: Strand, settings: Film, numbers: Sequence[int] | None = None
) -> ArcPath | LinePath:
    """Path through the key frames of one strand."""
    if isinstance(strand, Tensor):
        return LinePath(strand)
    if settings.space == "w" and not painter.maps:
        raise UserError(
            "--space w needs a mapping network, and this network has none: use --space z"
        )
    seeded = latents_of(strand, painter.network.z_dim, settings.seeding)
    z = torch.from_numpy(seeded).to(painter.device)
    labels = painter.labels(z) if numbers is None else painter.one_hot(numbers)
    if settings.space == "w":
        return LinePath(painter.ws(seeded, labels))
    return ArcPath(painter, z, labels)


def film(
    painter: Painter,
    strands: Sequence[Strand],
    settings: Film,
    numbers: Sequence[int] | None = None,
) -> Iterator[Pixels]:
    """Frames, uint8 [scale R, strands scale R, C], of the key frames of each strand.

    `numbers`: the class of each key frame, if not drawn as in the training data.
    """
    paths = [path_of(painter, strand, settings, numbers) for strand in strands]
    places = positions(len(strands[0]), settings.frames, loop=settings.loop)
    noise = painter.noise(settings.noise, settings.noise_seed)
    psi, cutoff, scale = settings.psi, settings.cutoff, settings.scale
    yield from frames_along(paths, places, painter, noise, scale, psi=psi, cutoff=cutoff)


def frames_along(
    paths: Sequence[ArcPath | LinePath],
    places: Sequence[Position],
    painter: Painter,
    noise: Noise,
    scale: int,
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
) -> Iterator[Pixels]:
    """Frames, uint8 [scale R, paths scale R, C], of paths side by side, drawn batch by batch."""
    for first in range(0, len(places), painter.batch):
        batch = places[first : first + painter.batch]
        panels = []
        for number, path in enumerate(paths):
            ws = painter.truncated(path.at(batch), psi, cutoff)
            panels.append(list(painter.images(ws, noise, number * len(places) + first)))
        for images in zip(*panels, strict=True):
            yield enlarged(np.concatenate(images, axis=1), scale)


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Refuse what makes no film: fewer than two key frames, or other noise in some of them."""
    if len(recipes) < 2:
        raise UserError("a film needs two key frames or more")
    words = [_noise_word(recipe) for recipe in recipes]
    for number, word in enumerate(words, 1):
        if word != words[0]:
            raise UserError(
                f"key frame {number} has --noise {word}, and the first --noise {words[0]}: a film"
                " has the same noise from end to end"
            )


def _noise_word(recipe: Recipe) -> str:
    return recipe.noise if recipe.noise != "random" else f"random --noise-seed {recipe.noise_seed}"


def path_through(keys: Sequence[KeyFrame], subject: OpenedGenerator) -> LinePath:
    """Path along lines of W, through what each recipe draws from: truncated, mixed and moved."""
    check_recipes([recipe for recipe, _ in keys])
    if not subject.painter.maps:
        raise UserError(
            f"a film of recipes goes through W, and {subject.ckpt} has no mapping network: use"
            " --seeds with --space z"
        )
    rows = []
    for recipe, start in keys:
        check_fits(recipe, subject, saved=start is not None)
        rows.append(ws_of(recipe, subject, start))
    return LinePath(torch.cat(rows))  # [K, L, D]


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


def write_video(
    path: Path, frames: Iterable[Pixels], *, fps: float, loop: bool, command: str = ""
) -> None:
    """Write a film; its kind goes by the extension: .mp4, .gif, .apng or .png.

    MP4 is encoded frame by frame. The other kinds are held until all frames are there, since Pillow
    compares them.

    Parameters
    ----------
    frames : iterable of ndarray
        uint8 [H, W, C], at least one, all of one even size, C from 1 to 4; MP4 has alpha over
        white.
    fps : float
        Frames per second; GIF rounds a frame's time to hundredths of a second, APNG to thousandths.
    loop : bool
        Whether GIF and APNG start again at the end; players decide it for MP4.
    command : str
        What makes the film, as text of an APNG.
    """
    check_video(path, fps)
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _write_mp4(temporary, path, iter(frames), fps)
        elif path.suffix.lower() == ".gif":
            _write_gif(temporary, frames, fps, loop=loop)
        else:
            _write_apng(temporary, frames, fps, loop=loop, command=command)


def _opaque(frame: Pixels) -> Pixels:
    """[H, W, 3], what is transparent over white."""
    if frame.shape[2] in (1, 3):
        return np.broadcast_to(frame, (*frame.shape[:2], 3))
    rgba = picture(frame).convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


def _write_gif(temporary: Path, frames: Iterable[Pixels], fps: float, *, loop: bool) -> None:
    images = map(Image.fromarray, map(_opaque, frames))
    first = next(images)
    # Forever is 0; a GIF that does not say is shown once.
    repeats = {"loop": 0} if loop else {}
    duration = 10 * max(round(100 / fps), 1)
    settings = {"save_all": True, "append_images": images, "duration": duration, **repeats}
    try:
        first.save(temporary, "GIF", **settings)
    except OverflowError as error:  # equal frames are one, whose time has 16 bits
        raise UserError(
            "frames that are equal for more than 655 seconds are too long for a GIF: raise --fps,"
            " or write .apng or .mp4"
        ) from error


def _write_apng(
    temporary: Path, frames: Iterable[Pixels], fps: float, *, loop: bool, command: str
) -> None:
    first, *others = map(picture, frames)
    first.save(
        temporary,
        "PNG",
        save_all=True,
        append_images=others,
        duration=1000 / fps,
        loop=0 if loop else 1,
        pnginfo=texts(command),
    )


def _write_mp4(temporary: Path, path: Path, frames: Iterator[Pixels], fps: float) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    command = [_ffmpeg(), "-y", "-v", "error"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps)]
    # 4:2:0, which every player takes.
    command += ["-i", "-", "-c:v", "libx264", "-crf", str(MP4_CRF), "-pix_fmt", "yuv420p"]
    command += ["-movflags", "+faststart", "-f", "mp4", str(temporary)]
    # Into a file: a pipe without a reader fills up and blocks the program.
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors) as ffmpeg:
            assert ffmpeg.stdin is not None
            whole = _send(itertools.chain([first], frames), ffmpeg.stdin)
        if not whole or ffmpeg.returncode != 0:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").split("\n")
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
