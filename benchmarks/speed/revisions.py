"""Training steps and features of this source tree against those of an older revision, in turns.

``python -m benchmarks.speed.revisions REVISION``: the older tree is unpacked from git into a
temporary folder, and each tree works in a process of its own. Weights and images are random.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from stylegan_eval.engine.command import ErrorLineCommand
from stylegan_eval.errors import UserError

_ROOT = Path(__file__).parents[2]
# Runs the task once for each line on its input and prints the processor time in seconds, which
# other programs disturb less than wall time.
_SIDE = """
import pathlib, sys, tempfile, time
import torch

kind, threads, *numbers = sys.argv[1:]
torch.set_num_threads(int(threads))
numbers = [int(number) for number in numbers]
if kind == "step":
    from benchmarks.speed.train_side import WAYS, Case, fast_step

    width, resolution, minibatch = numbers
    case = Case(width=width, resolution=resolution, minibatch=minibatch, device="cpu")
    step = fast_step(case, WAYS["fast"])
    work = lambda: step().item()
else:
    from benchmarks.speed.features import random_inception_state
    from stylegan_eval.networks.inception import load_inception

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "weights.pth"
        torch.save(random_inception_state(), path)
        network = load_inception(path, "pytorch-fid", torch.device("cpu"), "fp32")
    count, size = numbers
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8)
    work = lambda: network(images).sum().item()
for _ in sys.stdin:
    begun = time.process_time()
    work()
    print(time.process_time() - begun, flush=True)
"""
# What both trees do: a name for the table, and the words of `_SIDE`.
TASKS = {
    "step, width 64, 16 images of 32x32": ("step", 64, 32, 16),
    "step, width 512, 4 images of 16x16": ("step", 512, 16, 4),
    "Inception, 16 images of 256x256": ("features", 16, 256),
}


def unpack(revision: str, folder: Path) -> None:
    """Write the files of a revision into a folder; UserError where there is none."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=_ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        message = archive.stderr.decode(errors="replace").strip()
        raise UserError(f"git cannot read {revision} ({message}): choose a commit from git log")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)


@contextmanager
def working(
    tree: Path, words: tuple[str | int, ...], threads: int
) -> Iterator[Callable[[], float]]:
    """A process that does a task with the modules of a tree; each call runs it once.

    A call returns the seconds of processor time that the task took.
    """
    kind, *numbers = map(str, words)
    process = subprocess.Popen(
        [sys.executable, "-c", _SIDE, kind, str(threads), *numbers],
        cwd=tree,  # where a program of `-c` looks for modules first
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    to_it, from_it = process.stdin, process.stdout

    def once() -> float:
        to_it.write("\n")
        to_it.flush()
        line = from_it.readline()
        if not line:  # its traceback is on the terminal
            raise UserError("that tree cannot run this task: choose a later revision")
        return float(line)

    try:
        yield once
    finally:
        process.kill()
        process.communicate()


def compare(
    older: Path, words: tuple[str | int, ...], rounds: int, threads: int
) -> list[tuple[float, float]]:
    """Seconds of the older tree and of this one in each round, after two rounds of warm-up."""
    with working(older, words, threads) as first, working(_ROOT, words, threads) as second:
        for once in (first, second, first, second):
            once()
        # They take turns at going first: the second one of a round meets a warmer processor.
        pairs = []
        for k in range(rounds):
            taken = {once: once() for once in ((first, second), (second, first))[k % 2]}
            pairs.append((taken[first], taken[second]))
        return pairs


@click.command(cls=ErrorLineCommand, context_settings={"show_default": True})
@click.argument("revision")
@click.option("--rounds", type=click.IntRange(min=2), default=40, help="Of each task.")
@click.option("--threads", type=click.IntRange(min=1), default=1, help="Of each process.")
def main(revision: str, rounds: int, threads: int) -> None:
    """Print processor time of this tree over that of REVISION: below 1 it is faster."""
    with tempfile.TemporaryDirectory() as folder:
        unpack(revision, Path(folder))
        for name, words in TASKS.items():
            pairs = compare(Path(folder), words, rounds, threads)
            ratios = sorted(new / old for old, new in pairs)
            old, new = (statistics.median(times) for times in zip(*pairs, strict=True))
            low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
            print(
                f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f}, half of the rounds):"
                f" {name}, {old * 1000:.0f} and {new * 1000:.0f} ms"
            )


if __name__ == "__main__":
    main()
