"""Spoil a pickle of networks in many ways, and see that each copy is read or refused in a line.

    python -m benchmarks.fuzz_pickle network.pkl --count 20000

Copy k is a function of the seed and k; what is neither read nor refused ends the program with its
traceback, after the number of the copy.
"""

import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np

from stylegan.formats.nvidia import read_nvidia
from stylegan_eval.errors import UserError

# Share of changes near the beginning or the end: elsewhere most bytes are weights.
_NEAR, _REACH = 0.5, 2000
_MOST_CHANGES, _LONGEST = 4, 40
# What a mutation may put in: opcodes of every kind, or large sizes.
_PIECES = (
    b"\xff" * 4,
    b"\x00" * 8,
    b"cos\nsystem\n",
    b"R",
    b"b",
    b"\x81",
    b"(",
    b"t",
    b"h\x00",
    b".",
)


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Copy of `data` with up to four bytes or pieces changed, left out, repeated or put in."""
    copy = bytearray(data)
    for _ in range(int(rng.integers(1, _MOST_CHANGES + 1))):
        at = int(rng.integers(len(copy)))
        if rng.random() < _NEAR:
            at = at % _REACH if rng.random() < _NEAR else len(copy) - 1 - at % _REACH
        at = min(max(at, 0), len(copy) - 1)
        size = int(rng.integers(1, _LONGEST))
        how = rng.integers(5)
        if how == 0:
            copy[at] = int(rng.integers(256))
        elif how == 1:
            del copy[at : at + size]
        elif how == 2:
            copy[at:at] = copy[at : at + size]
        elif how == 3:
            copy[at:at] = _PIECES[int(rng.integers(len(_PIECES)))]
        else:
            del copy[at if at > 0 else 1 :]
        copy = copy or bytearray(b".")
    return bytes(copy)


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, exists=True))
@click.option("--count", type=click.IntRange(min=1), default=2000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def main(source: Path, count: int, seed: int) -> None:
    """Spoil FILE in --count ways; print what became of the copies."""
    data = source.read_bytes()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    read_nvidia(source)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoiled.pkl"
        for k in range(count):
            path.write_bytes(spoiled(data, np.random.default_rng([seed, k])))
            start = time.process_time()
            try:
                read_nvidia(path)
                outcomes["read"] += 1
            except UserError as error:
                if not str(error).isprintable():
                    raise SystemExit(f"copy {k}: more than a line: {error}") from error
                outcomes["refused"] += 1
            except BaseException:
                print(f"copy {k} of seed {seed}:")
                raise
            slowest = max(slowest, time.process_time() - start)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    print(
        f"{count} copies: {said}; slowest {slowest:.3f} s of computing, {more:.0f} MB more memory"
    )


if __name__ == "__main__":
    main()
