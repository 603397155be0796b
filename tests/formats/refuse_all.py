"""Program: convert every file of a folder, each within 200 MB and 2 seconds of computing more.

Prints a line of JSON per file: its name, the exit status, what stderr said.
"""

import json
import resource
import signal
import sys
from pathlib import Path

from click.testing import CliRunner

from stylegan.convert import main

MEGABYTES = 200
SECONDS = 2


def too_slow(number, frame):
    raise SystemExit("took too long")


def refuse(folder, good):
    """Convert, after one good file has brought in all that a conversion imports."""
    out = folder / "out.safetensors"
    assert CliRunner().invoke(main, [str(good), str(out)]).exit_code == 0
    out.unlink()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGVTALRM, too_slow)
    for path in sorted(folder.glob("*.pkl")):
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        done = CliRunner().invoke(main, [str(path), str(out)])
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        said = done.stderr if done.exception is None else f"{done.stderr}{done.exception!r}"
        line = json.dumps([path.stem, done.exit_code, done.stderr, said, out.exists()])
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    refuse(Path(sys.argv[1]), Path(sys.argv[2]))
