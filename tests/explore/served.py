"""The real command as a process, which serves while the block runs."""

import subprocess
import sys
from contextlib import contextmanager

from tests import starting


@contextmanager
def serving(*args, start=("-m", "stylegan.explore.command"), popen=starting.Popen):
    """Yield the process and the address of its page; what it says goes to `process.said`.

    `start`: what Python runs. `popen`: subprocess.Popen for a new interpreter.
    """
    command = [sys.executable, *start, "--port", "0", *map(str, args)]
    process = popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, line.split()[-1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process, signal):
    """Send a signal; exit status and what was said on stderr."""
    process.send_signal(signal)
    _, said = process.communicate()
    return process.returncode, said
