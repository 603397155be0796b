"""Preparing a data set against the bare work of its decoder.

``python -m benchmarks.speed.prepare``: JPEGs of avatars are prepared at half their size by
`stylegan-data prepare`; decoded alone by Pillow; and decoded, shrunk and encoded by Pillow, each on
all cores. All take turns in a process of their own each, and ratios are of neighbours.
"""

import io
import os
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


def some_jpegs(count: int, size: int) -> list[bytes]:
    """Avatars as JPEG, all different."""
    encoded = []
    with tempfile.TemporaryDirectory() as folder:
        avatars = Path(folder) / "avatars.zip"
        make_avatars(avatars, count=count, resolution=size)
        with zipfile.ZipFile(avatars) as file:
            for name in sorted(n for n in file.namelist() if n.endswith(".png")):
                buffer = io.BytesIO()
                image = Image.open(io.BytesIO(file.read(name))).convert("RGB")
                image.save(buffer, "JPEG", quality=95)
                encoded.append(buffer.getvalue())
    return encoded


def write_jpegs(path: Path, count: int, size: int) -> None:
    """An archive of avatars as JPEG, 64 different ones again and again."""
    encoded = some_jpegs(min(count, 64), size)
    with zipfile.ZipFile(path, "w") as file:
        for number in range(count):
            file.writestr(f"{number:07d}.jpg", encoded[number % len(encoded)])


def _decoded(data: bytes, _size: int) -> None:
    Image.open(io.BytesIO(data)).convert("RGB")


def _shrunk(data: bytes, size: int) -> None:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    image.reduce(image.width // size).save(io.BytesIO(), "PNG")


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


def side_command(side: str, path: Path, size: int) -> list[str]:
    """Command that prints the seconds of one side, imports aside."""
    place = "benchmarks.speed.prepare"
    return [sys.executable, "-m", place, "--side", side, str(path), str(size)]


def run_side(side: str, path: Path, size: int) -> float:
    """Seconds of one side in a process of its own."""
    words = side_command(side, path, size)
    return float(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def _one_side(side: str, path: Path, size: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        SIDES[side](path, Path(folder) / "out.zip", size)
        print(time.perf_counter() - begun)


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--images", type=click.IntRange(min=64), default=500)
@click.option("--size", type=click.IntRange(min=16), default=512, help="Pixels; sides are equal.")
@click.option("--rounds", type=click.IntRange(min=1), default=3)
@click.option("--side", type=(str, click.Path(path_type=Path), int), hidden=True)
def main(images: int, size: int, rounds: int, side: tuple[str, Path, int] | None) -> None:
    """Print the ratios."""
    if side is not None:
        _one_side(*side)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jpegs.zip"
        write_jpegs(path, images, size)
        taken: dict[str, list[float]] = {name: [] for name in SIDES}
        for _ in range(rounds):
            for name, seconds in taken.items():
                seconds.append(run_side(name, path, size // 2))
        for name in list(SIDES)[1:]:
            pairs = zip(taken["prepare"], taken[name], strict=True)
            ratio = statistics.median(mine / other for mine, other in pairs)
            print(f"{ratio:.2f} of the time that Pillow takes to {name} {images} JPEGs of {size}")
        rate = images / statistics.median(taken["prepare"])
        print(f"{rate:.0f} images a second on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
