"""Speed and memory of a whole FID of two folders of images, ours and by public packages.

``python -m benchmarks.speed.fid``: each side runs in a process of its own, all take turns, and the
ratios are of neighbours. The images are avatars, the weights random and the same for all: neither
matters for time. Every peer is held against the same protocol here (its resize), so that values
are equal: with fewer images than features up to about 1e-4, because the peers add the roots of
eigenvalues that are zero but for rounding. Needs the extras ``demo`` and ``test``.
"""

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click
import torch

from benchmarks.speed.features import random_inception_state
from benchmarks.speed.fid_sides import Outcome
from stylegan.datasets.avatars import make_avatars
from stylegan_eval.engine.command import ErrorLineCommand

# Ours, and what it is held against: the same protocol elsewhere, or the same in float32.
PAIRS = (
    ("ours pytorch-fid fp32", "pytorch-fid"),
    ("ours tf1 fp32", "torch-fidelity"),
    ("ours clean fp32", "clean-fid"),
    ("ours tf1 bf16", "ours tf1 fp32"),
)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One run of one side."""

    wall: float  # Seconds of the whole process
    outcome: Outcome  # What it found


@dataclass(frozen=True, kw_only=True)
class Line:
    """Two sides; times are medians in seconds, memory the median peak in MB."""

    side: str
    against: str
    """side, against: Ours, and the other."""
    images: int  # In each of the two folders
    wall: float
    against_wall: float
    ratio: float  # Median over the rounds of the other's whole time over ours
    cpu_ratio: float  # The same of processor time, which other work on the machine disturbs less
    features: float
    against_features: float
    distance: float
    against_distance: float
    memory: float
    against_memory: float
    value: float
    against_value: float
    difference: float  # Between the values, relative
    rounds: int
    threads: int  # Of PyTorch


def write_folders(folder: Path, images: int, size: int) -> tuple[Path, Path]:
    """Two folders of `images` different avatars each."""
    archive = folder / "avatars.zip"
    make_avatars(archive, count=2 * images, resolution=size)
    halves = (folder / "first", folder / "second")
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".png"))
        for half, part in zip(halves, (names[:images], names[images:]), strict=True):
            half.mkdir()
            for name in part:
                (half / Path(name).name).write_bytes(file.read(name))
    return halves


def run_side(side: str, folders: tuple[Path, Path], weights: Path) -> Timing:
    """Run one side with an empty cache."""
    command = [sys.executable, "-m", "benchmarks.speed.fid_sides", side]
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        done = subprocess.run(
            [*command, *map(str, folders), str(weights)],
            env={**os.environ, "STYLEGAN_CACHE": cache},
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - start
    if done.returncode:
        raise click.ClickException(f"{side} failed:\n{done.stderr[-2000:]}")
    return Timing(wall=wall, outcome=Outcome(**json.loads(done.stdout.splitlines()[-1])))


def line_of(side: str, against: str, images: int, mine: list[Timing], other: list[Timing]) -> Line:
    """Put the rounds of two sides together."""
    value, other_value = mine[0].outcome.value, other[0].outcome.value

    def median(timings: Sequence[Timing], name: str) -> float:
        return statistics.median(getattr(timing.outcome, name) for timing in timings)

    return Line(
        side=side,
        against=against,
        images=images,
        wall=statistics.median(timing.wall for timing in mine),
        against_wall=statistics.median(timing.wall for timing in other),
        ratio=statistics.median(b.wall / a.wall for a, b in zip(mine, other, strict=True)),
        cpu_ratio=statistics.median(
            b.outcome.cpu / a.outcome.cpu for a, b in zip(mine, other, strict=True)
        ),
        features=median(mine, "features"),
        against_features=median(other, "features"),
        distance=median(mine, "distance"),
        against_distance=median(other, "distance"),
        memory=median(mine, "memory"),
        against_memory=median(other, "memory"),
        value=value,
        against_value=other_value,
        difference=abs(value - other_value) / abs(other_value),
        rounds=len(mine),
        threads=torch.get_num_threads(),
    )


def show(lines: Sequence[Line]) -> None:
    """Print the lines as a table: ours / the other."""
    print(
        f"{'ratio':>5} {'cpu':>5} {'wall, s':>13} {'features, s':>13} {'distance, s':>11}"
        f" {'peak, MB':>11} {'value':>19} {'difference':>10}"
    )
    for line in lines:
        print(
            f"{line.ratio:5.2f} {line.cpu_ratio:5.2f} {line.wall:6.1f}/{line.against_wall:6.1f}"
            f" {line.features:6.1f}/{line.against_features:6.1f}"
            f" {line.distance:5.1f}/{line.against_distance:5.1f}"
            f" {line.memory:5.0f}/{line.against_memory:5.0f}"
            f" {line.value:9.4f}/{line.against_value:9.4f} {line.difference:10.1e}"
            f"  {line.side} / {line.against}"
        )


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--images", type=click.IntRange(min=2), default=5000, help="In each folder.")
@click.option("--size", type=click.IntRange(min=16), default=64, help="Pixels; sides are equal.")
@click.option("--rounds", type=click.IntRange(min=1), default=1, help="Runs of each side.")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write the figures here.")
def main(images: int, size: int, rounds: int, table: Path | None) -> None:
    """Compare a whole FID with pytorch-fid, torch-fidelity and clean-fid.

    The default takes hours on one core; ``--images 250`` takes about ten minutes.
    """
    sides = list(dict.fromkeys(side for against, other in PAIRS for side in (against, other)))
    timings: dict[str, list[Timing]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        folders = write_folders(Path(folder), images, size)
        weights = Path(folder) / "weights.pth"
        torch.save(random_inception_state(), weights)
        for _ in range(rounds):
            for side in sides:
                timings[side].append(run_side(side, folders, weights))
                last = timings[side][-1]
                print(f"{last.wall:7.1f} s  {side}", file=sys.stderr)
    lines = [
        line_of(side, against, images, timings[side], timings[against]) for side, against in PAIRS
    ]
    print(f"FID of {images} images of {size}x{size} against {images}, ours / the other")
    show(lines)
    if table is not None:
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Line)])
            writer.writeheader()
            writer.writerows(asdict(line) for line in lines)


if __name__ == "__main__":
    main()
