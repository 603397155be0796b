"""Damage files of every kind in many ways, and see that each copy is read or refused in a line.

    python -m benchmarks.fuzz --count 100000
    python -m benchmarks.fuzz pickle --file network.pkl --count 20000

Copy k of a reader is a function of the seed, the reader and k. Copies are read in a child process
with a limit on its memory and on the computing time of each copy.
"""

import json
import mmap
import os
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from zlib import crc32

import click
import numpy as np

from benchmarks.fuzz import mutants
from benchmarks.fuzz.readers import READERS, Reader
from stylegan_eval.engine.untrusted import printable
from stylegan_eval.errors import UserError

SECONDS = 10.0  # Computing time of a copy; the valid files take some milliseconds

_LONGEST = 1500
_STATE = struct.Struct("<qd")  # copy being read, slowest of all in seconds


def copy_of(name: str, reader: Reader, data: bytes, seed: int, k: int, folder: Path) -> bytes:
    """Copy number `k` of `data`; what is beside it may be written into `folder`."""
    rng = np.random.default_rng([seed, crc32(name.encode()), k])
    ways = len(reader.mutate) + reader.saved + 1
    way = int(rng.integers(ways))
    if way < len(reader.mutate):
        return reader.mutate[way](data, rng)
    if reader.saved and way == ways - 2:
        return mutants.of_saved(data, rng, folder)
    return mutants.of_bytes(data, rng)


def outcome(reader: Reader, path: Path) -> str:
    """Outcome of reading a file: "read", "refused", or what is wrong with that."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except UserError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError) or "allocate memory" in str(cause):
                return f"memory: {error}"
            cause = cause.__cause__
        line = printable(str(error))  # as commands print it
        return "refused" if line.isprintable() and len(line) <= _LONGEST else f"no line: {line!r}"
    except Exception as error:  # noqa: BLE001 - which is what is looked for
        return f"{type(error).__name__}: {error}"
    return "read"


def _child(
    name: str, reader: Reader, data: bytes, path: Path, seed: int, copies: range, state: mmap.mmap
) -> None:
    """Read copies, and write what became of each into the folder's ``outcomes``."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + reader.memory, size + reader.memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends the process, whatever it is in
    scratch, slowest = path.parent.parent, 0.0
    with (scratch / "outcomes").open("a", buffering=1, encoding="utf-8") as file:
        for k in copies:
            path.write_bytes(copy_of(name, reader, data, seed, k, scratch))
            state[: _STATE.size] = _STATE.pack(k, slowest)
            start = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            result = outcome(reader, path)
            signal.setitimer(signal.ITIMER_PROF, 0)
            slowest = max(slowest, time.process_time() - start)
            file.write(json.dumps([k, result]) + "\n")
        state[: _STATE.size] = _STATE.pack(copies.stop, slowest)


def fuzz(name: str, reader: Reader, seed: int, count: int) -> tuple[Counter[str], float, list[str]]:
    """Counts of copies read and refused, the slowest in seconds, and failures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "files"
        folder.mkdir()
        path = reader.make(folder)
        data = path.read_bytes()
        reader.read(path)  # also imports what it needs
        failures: list[str] = []
        slowest, first = 0.0, 0
        outcomes = path.parent.parent / "outcomes"
        outcomes.touch()
        with mmap.mmap(-1, _STATE.size) as state:
            while first < count:
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        _child(name, reader, data, path, seed, range(first, count), state)
                        status = 0
                    except BaseException:  # noqa: BLE001 - nothing may go on in a copy of this process
                        traceback.print_exc()
                    os._exit(status)
                _, ended = os.waitpid(child, 0)
                k, longest = _STATE.unpack(state[: _STATE.size])
                slowest, first = max(slowest, longest), k + 1
                if ended != 0:
                    failures.append(f"copy {k}: {_ending(ended)}")
        counts: Counter[str] = Counter()
        for line in outcomes.read_text(encoding="utf-8").splitlines():
            k, result = json.loads(line)
            if result in ("read", "refused"):
                counts[result] += 1
            else:
                failures.append(f"copy {k}: {result}")
    return counts, slowest, failures


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = signal.Signals(os.WTERMSIG(status))
        return "took too long" if number == signal.SIGPROF else f"ended by {number.name}"
    return f"the process exited with {os.WEXITSTATUS(status)}"


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(READERS)), metavar="[READER]...")
@click.option("--count", type=click.IntRange(min=1), default=3000, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--file", type=click.Path(path_type=Path, exists=True), help="Damage this file, for one READER."
)
def main(names: tuple[str, ...], count: int, seed: int, file: Path | None) -> None:
    """Damage valid files in --count ways, divided among the readers, and read each copy."""
    if file is not None and len(names) != 1:
        raise click.UsageError("--file takes one READER")
    chosen = {name: READERS[name] for name in names or READERS}
    if file is not None:
        reader = replace(
            READERS[names[0]], make=lambda folder: shutil.copyfile(file, folder / file.name)
        )
        chosen = {names[0]: reader}
    total: Counter[str] = Counter()
    longest, failed = 0.0, 0
    whole = sum(reader.share for reader in chosen.values())
    ends = [round(count * (end / whole)) for end in accumulate(r.share for r in chosen.values())]
    for (name, reader), begin, end in zip(chosen.items(), [0, *ends], ends, strict=False):
        counts, slowest, failures = fuzz(name, reader, seed, end - begin)
        total += counts
        longest, failed = max(longest, slowest), failed + len(failures)
        click.echo(
            f"{name:24}{counts['read']:8} read {counts['refused']:8} refused"
            f" {len(failures):5} failed  slowest {slowest:.2f} s"
        )
        for failure in failures[:5]:
            click.echo(f"    {failure[:300]}")
    click.echo(
        f"{count} copies of seed {seed}: {total['read']} read, {total['refused']} refused,"
        f" {failed} failed; slowest {longest:.2f} s of computing"
    )
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
