"""Speed and memory of a whole FID of two folders of images, ours and by public packages.

``python -m benchmarks.speed.fid``: each side runs in a process of its own, all take turns, and the
ratios are of neighbours. The images are avatars, the weights random and the same for all: neither
matters for time. Every peer is held against the same protocol here (its resize), so that values
are equal: with fewer images than features up to about 1e-4, because the peers add the roots of
eigenvalues that are zero but for rounding. Needs the extras ``demo`` and ``test``.
"""

import json
import statistics
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch

from benchmarks.processes import timed
from benchmarks.speed.features import random_inception_state
from stylegan.datasets.avatars import make_avatars
from stylegan_eval.engine.command import ErrorLineCommand

# Ours, and what it is held against: the same protocol elsewhere, or the same in float32.
PAIRS = (
    ("ours pytorch-fid fp32", "pytorch-fid"),
    ("ours tf1 fp32", "torch-fidelity"),
    ("ours clean fp32", "clean-fid"),
    ("ours tf1 bf16", "ours tf1 fp32"),
    ("ours tf1 fp32", "api tf1 fp32"),
)


@dataclass(frozen=True, kw_only=True)
class FidRun:
    """One run of one side."""

    value: float  # The distance
    wall: float  # Seconds of the whole process
    cpu: float  # Processor seconds of the process, imports included
    features: float  # Seconds of network, decoding and features, without imports
    distance: float  # Seconds from statistics to the value and its standard error
    memory: float  # Peak of the process, in MB


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


def run_side(side: str, folders: tuple[Path, Path], weights: Path) -> FidRun:
    """Run one side with an empty cache."""
    words = [side, *map(str, folders), str(weights)]
    with tempfile.TemporaryDirectory() as cache:
        wall, output = timed("benchmarks.speed.fid_sides", words, Path(cache))
    return FidRun(wall=wall, **json.loads(output.splitlines()[-1]))


def compared(
    side: str, against: str, images: int, mine: Sequence[FidRun], other: Sequence[FidRun]
) -> dict[str, Any]:
    """A row of the table: times are medians in seconds, memory the median peak in MB.

    Ratios are medians over the rounds, of the other side's time over ours.
    """

    def medians(name: str) -> dict[str, float]:
        ours, others = (statistics.median(getattr(r, name) for r in runs) for runs in (mine, other))
        return {name: ours, f"against_{name}": others}

    def ratio(name: str) -> float:
        pairs = zip(mine, other, strict=True)
        return statistics.median(getattr(b, name) / getattr(a, name) for a, b in pairs)

    value, other_value = mine[0].value, other[0].value
    return {
        "side": side,
        "against": against,
        "images": images,
        **medians("wall"),
        "ratio": ratio("wall"),
        "cpu_ratio": ratio("cpu"),  # which other work on the machine disturbs less
        **medians("features"),
        **medians("distance"),
        **medians("memory"),
        "value": value,
        "against_value": other_value,
        "difference": abs(value - other_value) / abs(other_value),
        "rounds": len(mine),
        "threads": torch.get_num_threads(),
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows as a table: ours / the other."""
    print(
        f"{'ratio':>5} {'cpu':>5} {'wall, s':>13} {'features, s':>13} {'distance, s':>11}"
        f" {'peak, MB':>11} {'value':>19} {'difference':>10}"
    )
    layout = (
        "{ratio:5.2f} {cpu_ratio:5.2f} {wall:6.1f}/{against_wall:6.1f}"
        " {features:6.1f}/{against_features:6.1f} {distance:5.1f}/{against_distance:5.1f}"
        " {memory:5.0f}/{against_memory:5.0f} {value:9.4f}/{against_value:9.4f}"
        " {difference:10.1e}  {side} / {against}"
    )
    for row in rows:
        print(layout.format_map(row))


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.option("--images", type=click.IntRange(min=2), default=5000, help="In each folder.")
@click.option("--size", type=click.IntRange(min=16), default=64, help="Pixels; sides are equal.")
@click.option("--rounds", type=click.IntRange(min=1), default=1, help="Runs of each side.")
@click.option(
    "--against",
    "others",
    type=click.Choice([other for _, other in PAIRS]),
    multiple=True,
    default=[other for _, other in PAIRS],
    help="What ours is held against.",
)
@click.option("--csv", "table", type=click.Path(path_type=Path), help="Write the figures here.")
def main(images: int, size: int, rounds: int, others: Sequence[str], table: Path | None) -> None:
    """Compare a whole FID with pytorch-fid, torch-fidelity and clean-fid.

    The default takes hours on one core; ``--images 250`` takes about ten minutes.
    """
    pairs = [pair for pair in PAIRS if pair[1] in others]
    sides = list(dict.fromkeys(side for pair in pairs for side in pair))
    runs: dict[str, list[FidRun]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        folders = write_folders(Path(folder), images, size)
        weights = Path(folder) / "weights.pth"
        torch.save(random_inception_state(), weights)
        for _ in range(rounds):
            for side in sides:
                runs[side].append(run_side(side, folders, weights))
                print(f"{runs[side][-1].wall:7.1f} s  {side}", file=sys.stderr)
    rows = [compared(side, other, images, runs[side], runs[other]) for side, other in pairs]
    print(f"FID of {images} images of {size}x{size} against {images}, ours / the other")
    show(rows)
    if table is not None:
        pd.DataFrame(rows).to_csv(table, index=False)


if __name__ == "__main__":
    main()
