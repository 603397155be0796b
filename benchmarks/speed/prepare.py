"""Preparing a data set against the bare work of its decoder, and its memory by number of images.

``python -m benchmarks.speed.prepare``: JPEGs of avatars are prepared at half their size by
`stylegan-data prepare`; decoded alone by Pillow; and decoded, shrunk and encoded by Pillow, each on
all cores. All take turns in a process of their own each, and ratios are of neighbours.
"""

import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import click
from PIL import Image

from stylegan.datasets import Choices
from stylegan.datasets.avatars import make_avatars
from stylegan.datasets.prepare import prepare
from stylegan_eval.engine.command import ErrorLineCommand


def write_jpegs(path: Path, count: int, size: int) -> None:
    """An archive of avatars as JPEG, 64 different ones again and again."""
    avatars = path.with_suffix(".png.zip")
    make_avatars(avatars, count=min(count, 64), resolution=size)
    encoded = []
    with zipfile.ZipFile(avatars) as file:
        for name in sorted(n for n in file.namelist() if n.endswith(".png")):
            buffer = io.BytesIO()
            Image.open(io.BytesIO(file.read(name))).convert("RGB").save(buffer, "JPEG", quality=95)
            encoded.append(buffer.getvalue())
    with zipfile.ZipFile(path, "w") as file:
        for number in range(count):
            file.writestr(f"{number:07d}.jpg", encoded[number % len(encoded)])


def _unpacked(path: Path) -> Path:
    """The files of an archive, in a folder in place of those that are there."""
    folder = path.with_suffix("")
    with zipfile.ZipFile(path) as file:
        file.extractall(folder)
    return folder


def _decoded(data: bytes, _size: int) -> None:
    Image.open(io.BytesIO(data)).convert("RGB")


def _shrunk(data: bytes, size: int) -> None:
    image = Image.open(io.BytesIO(data)).convert("RGB").reduce(image_side(data) // size)
    image.save(io.BytesIO(), "PNG")


def image_side(data: bytes) -> int:
    """Width in pixels, by the header alone."""
    return Image.open(io.BytesIO(data)).width


def _bare(work: Callable[[bytes, int], None]) -> Callable[[Path, Path, int], None]:
    def run(path: Path, _out: Path, size: int) -> None:
        with zipfile.ZipFile(path) as file, ThreadPoolExecutor(os.cpu_count()) as pool:
            data = [file.read(name) for name in file.namelist()]
            for _ in pool.map(lambda each: work(each, size), data):
                pass

    return run


def _prepared(path: Path, out: Path, size: int) -> None:
    prepare(path, out, choices=Choices(resolution=size), progress=False)


SIDES: Mapping[str, Callable[[Path, Path, int], None]] = MappingProxyType(
    {
        "prepare": _prepared,
        "decode": _bare(_decoded),
        "decode, shrink, encode": _bare(_shrunk),
    }
)


def run_side(side: str, path: Path, size: int) -> tuple[float, float]:
    """Seconds of one side in a process of its own, imports aside; its peak memory in MiB."""
    words = [sys.executable, "-m", "benchmarks.speed.prepare", "--side", side, str(path), str(size)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def _one_side(side: str, path: Path, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        SIDES[side](path, Path(folder) / "out.zip", size)
        seconds = time.perf_counter() - begun
    print(seconds, _peak())


def _peak() -> float:
    """Most memory of this process so far, in MiB.

    Not by `getrusage` where there is another way: that counts the program that started this one.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--images", type=click.IntRange(min=64), default=500)
@click.option("--size", type=click.IntRange(min=16), default=512, help="Pixels; sides are equal.")
@click.option("--rounds", type=click.IntRange(min=1), default=3)
@click.option(
    "--many", type=click.IntRange(min=3), default=60_000, help="Images of 16 pixels, for memory."
)
@click.option("--side", type=(str, click.Path(path_type=Path), int), hidden=True)
def main(
    images: int, size: int, rounds: int, many: int, side: tuple[str, Path, int] | None
) -> None:
    """Print the ratios, and the memory that an image more takes."""
    if side is not None:
        _one_side(*side)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jpegs.zip"
        write_jpegs(path, images, size)
        taken: dict[str, list[float]] = {name: [] for name in SIDES}
        for _ in range(rounds):
            for name, seconds in taken.items():
                seconds.append(run_side(name, path, size // 2)[0])
        for name in list(SIDES)[1:]:
            pairs = zip(taken["prepare"], taken[name], strict=True)
            ratio = statistics.median(mine / other for mine, other in pairs)
            print(f"{ratio:.2f} of the time that Pillow takes to {name} {images} JPEGs of {size}")
        rate = images / statistics.median(taken["prepare"])
        print(f"{rate:.0f} images a second on {os.cpu_count()} cores")
        for kind in ("zip", "folder"):
            peaks = []
            for count in (many // 3, many):
                write_jpegs(path, count, 16)
                source = path if kind == "zip" else _unpacked(path)
                peaks.append(run_side("prepare", source, 8)[1])
            grown = 2**20 * (peaks[1] - peaks[0]) / (many - many // 3)
            print(
                f"{peaks[0]:.0f} and {peaks[1]:.0f} MiB at most for {many // 3:,} and {many:,}"
                f" images of a {kind}: {grown:.0f} bytes an image"
            )


if __name__ == "__main__":
    main()
