"""A fork behaves as a new interpreter: the same programs run both ways."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from benchmarks.kill_trial import children_of
from tests import starting

STATE = """
import atexit, os, signal, sys, threading, time
atexit.register(print, "the end")
threading.Thread(target=lambda: time.sleep(0.2) or print("after the main thread")).start()
print(__name__, __builtins__, sys.argv, sys.orig_argv, sys.stdin.read(), os.getcwd(), flush=True)
print(sys.path, sys.flags, sys.excepthook is sys.__excepthook__, os.getppid(), os.getpgid(0))
print([(n, str(signal.getsignal(n))) for n in sorted(signal.valid_signals())])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), sorted(os.environ.items()))
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.encoding, stream.errors, stream.line_buffering, stream.write_through)
    print(stream.name, stream.mode, stream.fileno(), stream.isatty(), stream.newlines)
print(len(os.listdir("/proc/self/fd")), os.getsid(0) == os.getpid())
os.write(1, b"at once\\n")
sys.exit(3)
"""
PROCESSES = """
import multiprocessing, sys
def answer(number):
    print("asked", number, __name__, flush=True)
    sys.exit(number)
if __name__ == "__main__":
    for number, method in enumerate(("spawn", "forkserver", "fork")):
        process = multiprocessing.get_context(method).Process(target=answer, args=[number])
        process.start()
        process.join()
        print(process.exitcode, flush=True)
"""
PROGRAMS = {
    "state": ["-c", STATE, "a", "b"],
    "an error": ["-c", "def f():\n    1 / 0\nf()"],
    "words": ["-c", "import sys; sys.exit('words')"],
    "ctrl-c": ["-u", "-c", "print('before'); raise KeyboardInterrupt"],
    "a signal": ["-c", "import os; os.kill(os.getpid(), 15)"],
    "syntax": ["-c", "1 +"],
    "module": ["-m", "tests.no_such_module"],
    "script": ["FOLDER/script.py", "a"],
    "group": ["-c", "import os, signal; os.killpg(0, signal.SIGTERM)"],
}
linux = pytest.mark.skipif(
    sys.platform != "linux",
    reason="forks are for Linux alone: elsewhere tests start new interpreters",
)


@linux
@pytest.mark.parametrize("name", PROGRAMS)
def test_it_ends_as_a_new_interpreter_does(name, tmp_path):
    (tmp_path / "script.py").write_text(PROCESSES)
    words = [sys.executable, *(word.replace("FOLDER", str(tmp_path)) for word in PROGRAMS[name])]
    environment = os.environ | {"OF_ITS": "OWN"}
    ends = [
        module.run(
            words,
            env=environment,
            cwd=tmp_path,
            input="in",
            capture_output=True,
            text=True,
            start_new_session=name == "group",
        )
        for module in (subprocess, starting)
    ]
    true, forked = ends
    assert forked.returncode == true.returncode
    assert forked.stdout == true.stdout
    assert without_positions(forked.stderr) == without_positions(true.stderr)


def without_positions(text):
    """Without the lines in which Python points at a place of one above."""
    return [line for line in text.splitlines() if "^" not in line]


NESTED = """
import os, subprocess, sys
program = "import os, sys; print(os.getppid(), 'torch' in sys.modules)"
print(os.getpid(), subprocess.run([sys.executable, "-c", program], capture_output=True).stdout)
"""


@linux
def test_a_launcher_forks_what_it_starts_too():
    done = starting.run([sys.executable, "-c", NESTED], capture_output=True, text=True, nested=True)
    pid, child = done.stdout.split(maxsplit=1)
    assert child == f"b'{pid} True\\n'\n"


@linux
def test_it_is_a_child_of_the_caller_and_is_killed_where_the_block_fails():
    process = starting.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    assert process.pid in children_of(os.getpid())
    with pytest.raises(ZeroDivisionError), process:
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGKILL


@linux
@pytest.mark.parametrize(
    "words", [["sh", "-c", "exit 3"], [sys.executable, "-I", "-c", "raise SystemExit(3)"]]
)
def test_what_cannot_be_forked_gets_a_new_interpreter(words):
    assert starting.run(words).returncode == 3


@linux
def test_without_the_server_new_interpreters_are_started(monkeypatch):
    ours, its = socket.socketpair()
    its.close()
    server = starting.Server(ours, dict(os.environ))
    monkeypatch.setattr(starting, "_servers", [server])
    program = [sys.executable, "-c", "import sys; print('torch' in sys.modules); sys.exit(3)"]
    done = starting.run(program, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "False\n")
    server.close()


@linux
def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        starting.run([sys.executable, "-c", ""], cwd=tmp_path / "none")
