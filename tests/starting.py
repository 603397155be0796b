"""Fast Python processes for tests: `run` and `Popen` as in subprocess, forked from a warm process.

A new interpreter that imports PyTorch and its optimizers takes five seconds of processor time; a
fork of a process that has imported them takes half a second. The fork is a child of the caller,
with its own process id, arguments, environment, working directory, streams and signal handlers; the
difference is that its modules are imported already. Tests of imports, start-up, resource limits,
threads or PID 1 use `subprocess` itself. Other programs, and options that a fork cannot honour,
get a new interpreter automatically.

All forks share one seed of string hashes, and /proc shows the arguments and the environment of
`tests.start_server`, the process that forks.
"""

import array
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVER = "start_server"  # what /proc calls it
_PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h
# Variables that Python or a library reads at start-up, so a fork would miss a change.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "MKL_", "MPL", "TQDM_", "CXX")
_READ_AT_START += ("TORCH_LOGS", "TORCHDYNAMO", "TORCHINDUCTOR")
_HONOURED = ("PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


class _NotForkedError(Exception):
    """A new interpreter is needed."""


class Server:
    """Connection to the process that forks."""

    def __init__(self, connection, environment, process=None):
        self._process = process
        self._connection = connection
        self._environment = environment
        self._lock = threading.Lock()

    @classmethod
    def started(cls):
        """Start the process. It is ready after 10 seconds; earlier requests wait."""
        ours, its = socket.socketpair()
        with its:
            environment = dict(os.environ)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.start_server", str(its.fileno())],
                cwd=ROOT,
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
            )
        return cls(ours, environment, process)

    def close(self):
        """End the process."""
        self._connection.close()
        if self._process is not None:
            self._process.wait()

    def check(self, environment):
        """Refuse an environment that Python or a library reads at start-up."""
        for name, _ in {*environment.items()} ^ {*self._environment.items()}:
            if name.startswith(_READ_AT_START) and name not in _HONOURED:
                raise _NotForkedError(f"{name} is read at the start")

    def start(self, request, streams):
        """Fork a child for a request; its process id."""
        message = json.dumps(request).encode()
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))
        try:
            with self._lock, _taking_orphans():
                self._connection.sendmsg([len(message).to_bytes(8, "little")], [rights])
                self._connection.sendall(message)
                answer = self._connection.recv(8)
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
        if not answer:
            raise _NotForkedError("the process that forks has ended")
        number = int.from_bytes(answer, "little", signed=True)
        if number < 0:
            raise OSError(-number, os.strerror(-number), request["cwd"])
        return number


@contextlib.contextmanager
def _taking_orphans():
    """Adopt orphaned grandchildren inside the block: so a fork becomes a child of this process."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0)


def program_of(words):
    """Kind of program in a command line of Python (-c, -m or a script), and its arguments."""
    if not words or words[0] != sys.executable:
        raise _NotForkedError(f"not this Python: {words[:1]}")
    rest = words[1:]
    unbuffered = rest[:1] == ["-u"]
    rest = rest[unbuffered:]
    if not rest or (rest[0].startswith("-") and rest[0] not in ("-c", "-m")):
        raise _NotForkedError(f"an option of Python: {rest[:1]}")
    if rest[0] in ("-c", "-m"):
        return {"kind": rest[0], "argv": rest[1:], "unbuffered": unbuffered}
    return {"kind": "script", "argv": rest, "unbuffered": unbuffered}


# The server of this process, started on first use; a list, so that it can be replaced.
_servers = []
_start_child = subprocess.Popen._execute_child


def _server():
    if not _servers:
        _servers.append(Server.started())
    return _servers[0]


def _request(args, environment, cwd, *, nested, session):
    words = [os.fsdecode(word) for word in args] if not isinstance(args, str | bytes) else []
    known = set(signal.valid_signals()) - {signal.SIGPIPE, signal.SIGXFSZ}
    environment = {os.fsdecode(k): os.fsdecode(v) for k, v in environment.items()}
    return {
        **program_of(words),
        "environment": environment,
        "cwd": os.fsdecode(cwd) if cwd is not None else str(Path.cwd()),
        "ignored": [int(each) for each in known if signal.getsignal(each) is signal.SIG_IGN],
        "session": session,
        "nested": nested,
    }


def _fork_child(
    process, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, info, flags, shell, *rest
):
    """Replacement for `Popen._execute_child`, with its arguments."""
    p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, _, *whose, session, group = rest
    if executable or preexec_fn or not close_fds or pass_fds or shell:
        raise _NotForkedError("an option of Popen")
    if any(each not in (None, -1) for each in (*whose, group)):
        raise _NotForkedError("another user or group")
    nested = int(getattr(process, "nested", 0))
    environment = os.environ if env is None else env
    request = _request(args, environment, cwd, nested=nested, session=session)
    streams = [p2cread, c2pwrite, errwrite]
    streams = [number if number != -1 else usual for usual, number in enumerate(streams)]
    server = _server()
    server.check(request["environment"])
    pipes = (p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)
    try:
        process.pid = server.start(request, streams)
    except OSError:
        process._close_pipe_fds(*pipes)
        raise
    process._child_created = True
    process._close_pipe_fds(*pipes)


def _execute_child(process, *arguments):
    """Fork, or start a new interpreter where a fork will not do."""
    try:
        _fork_child(process, *arguments)
    except _NotForkedError:
        _start_child(process, *arguments)


def fork_all(connection, nested):
    """Let this process fork the Python processes that it starts, `nested` levels down."""
    subprocess.Popen.nested = nested
    _servers[:] = [Server(connection, dict(os.environ))]
    subprocess.Popen._execute_child = _execute_child


def fork_all_of(monkeypatch):
    """Until the end of the test, fork the processes that the project starts through subprocess."""

    def execute(process, *arguments):
        process.nested = True
        _execute_child(process, *arguments)

    if sys.platform == "linux":
        monkeypatch.setattr(subprocess.Popen, "_execute_child", execute)


def without_servers(pids):
    """Leave out fork servers, which are children of a `nested` process too."""
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() != SERVER]


class Popen(subprocess.Popen):
    """As subprocess.Popen, but an exception in the with block kills the process."""

    def __init__(self, args, *, nested=0, **options):
        """`nested`: levels of its own subprocesses that are forked too."""
        self.nested = nested
        super().__init__(args, **options)
        _started.append(self)

    _execute_child = _execute_child if sys.platform == "linux" else _start_child

    def __exit__(self, kind, *error):
        if kind is not None:
            self.kill()
        super().__exit__(kind, *error)


_started = []


def end_all():
    """Kill the processes that are still running, and end the server."""
    for process in _started:
        if process.poll() is None:
            process.kill()
            process.wait()
    while _servers:
        _servers.pop().close()


def run(args, *, capture_output=False, check=False, timeout=None, **options):
    """As subprocess.run."""
    text = options.pop("input", None)
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if text is not None:
        options["stdin"] = subprocess.PIPE
    with Popen(args, **options) as process:
        stdout, stderr = process.communicate(text, timeout)
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    if check:
        done.check_returncode()
    return done
