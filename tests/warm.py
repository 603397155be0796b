"""Processes of Python that begin with everything imported.

To import PyTorch and the toolkit takes a processor seconds. A server does it once; what
`subprocess` would start as ``python -m module``, ``python -c code`` or ``python script`` is forked
from it, as a child of who asks, with the arguments, environment, folder and streams of a new
process and with its signals as they come. What such a process starts is forked from it.

Not for tests of imports, of how an interpreter starts, or of memory; /proc/PID/cmdline is that of
the server.
"""

import atexit
import builtins
import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import types
import weakref
from multiprocessing import process as multiprocessing_process
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("stylegan", "stylegan_eval")
OTHERS = (
    "matplotlib.pyplot", "nicegui", "pandas", "PIL.Image", "scipy.linalg", "sklearn.svm",
    "torch.distributed.run", "torch.utils.tensorboard", "torchvision", "tqdm",
)  # fmt: skip
# Variables that are read once, when an interpreter or a library begins.
READ_ONCE = (
    "CUDA", "CXX", "KMP_", "LANG", "LC_", "LD_", "MALLOC_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON",
)  # fmt: skip
READ_LATER = ("PYTHONPATH", "PYTHONUNBUFFERED")
ROOM = {"ROOM_FOR_AN_ENVIRONMENT": 2**16 * "x"}  # in /proc/PID/environ
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_exec = getattr(subprocess, "_fork_exec", None)  # starts a new program
_one_at_a_time = threading.Lock()
_path = []  # where the server looks for modules, without what a program adds


class Server:
    """A process that has imported everything."""

    def __init__(self):
        self._channel, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        code = f"from tests.warm import serve; serve({its.fileno()})"
        self._fixed = read_once(environment)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env=environment | ROOM,
                pass_fds=[its.fileno()],
            )

    def close(self):
        self._channel.close()  # ends it
        self._process.wait()

    @contextlib.contextmanager
    def used(self):
        """Let `subprocess` start by this server, in the block, what it can start."""

        def start(*arguments):
            request = request_of(*arguments, fixed=self._fixed)
            return _exec(*arguments) if request is None else self._start(*request)

        before, subprocess._fork_exec = subprocess._fork_exec, start
        try:
            yield
        finally:
            subprocess._fork_exec = before

    def _start(self, request, files):
        prctl = ctypes.CDLL(None).prctl
        with _one_at_a_time:
            prctl(_SUBREAPER, 1)  # what has lost its parent becomes a child of this process
            try:
                socket.send_fds(self._channel, [json.dumps(request).encode()], files)
                return int(self._channel.recv(64))
            finally:
                prctl(_SUBREAPER, 0)


def read_once(environment):
    """The part of an environment that a process which has begun cannot take over."""
    return {
        key: value
        for key, value in environment.items()
        if key.startswith(READ_ONCE) and key not in READ_LATER
    }


def request_of(args, _executables, close_fds, kept, cwd, env, *rest, fixed):
    """What is to be started, with its files, by the arguments of `_fork_exec`.

    None where it must be a new program.
    """
    stdin, _, _, stdout, _, stderr, _, errors, _, session, group, *owner, umask, before = rest[:16]
    words = [os.fsdecode(word) for word in args]
    environment = dict(os.environ)
    if env is not None:
        environment = dict(os.fsdecode(pair).split("=", 1) for pair in env)
    plain = close_fds and before is None and umask == -1 and set(owner) == {None}
    if not plain or not is_known(words) or read_once(environment) != fixed:
        return None
    streams = [
        number if file == -1 else file for number, file in enumerate((stdin, stdout, stderr))
    ]
    others = [file for file in kept if file != errors]
    request = {
        "words": words[1:],
        "environment": environment,
        "folder": str(Path(os.fsdecode(cwd or ".")).absolute()),
        "group": "session" if session else group,
        "numbers": [0, 1, 2, *others],
    }
    return request, [*streams, *others]


def is_known(words):
    """Whether a command line is of this Python with nothing but a program."""
    _, options = without_u(words)
    return words[0] == sys.executable and (
        options[:1] in (["-m"], ["-c"]) or Path(*options[:1]).is_file()
    )


def without_u(words):
    """Whether Python is to be unbuffered, and its arguments from the program on."""
    unbuffered = words[1:2] == ["-u"]
    return unbuffered, words[2 if unbuffered else 1 :]


# --- in the server


def serve(number):
    """Import everything; then fork what is asked for, until no one can ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, for all
    import_everything()
    _path.extend(each for each in sys.path if each)
    with socket.socket(fileno=number) as channel:
        while True:
            data, files, *_ = socket.recv_fds(channel, 2**20, 100)
            if not data:
                return
            channel.send(b"%d" % orphan(lambda: become(json.loads(data), files)))  # noqa: B023
            for file in files:
                os.close(file)


def import_everything():
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module.name)
    for name in OTHERS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def orphan(work):
    """Fork a process for some work that begins when this one is no longer its ancestor's parent."""
    told, tell = os.pipe()
    begun, begin = os.pipe()
    between = os.fork()
    if between == 0:
        number = os.fork()
        if number == 0:
            os.close(begin)
            os.read(begun, 1)
            work()
        os.write(tell, b"%d" % number)
        os._exit(0)
    os.waitpid(between, 0)
    number = int(os.read(told, 64))
    for file in (told, tell, begun, begin):
        os.close(file)
    return number


# --- in what was forked


def become(request, files):
    """Be the process that was asked for, to its end."""
    status = 1
    try:
        take_files(files, request["numbers"])
        os.chdir(request["folder"])
        if request["group"] == "session":
            os.setsid()
        elif request["group"] >= 0:
            os.setpgid(0, request["group"])
        reset_signals()
        set_environment(request["environment"])
        fixed = read_once(request["environment"])
        subprocess._fork_exec = lambda *arguments: fork_here(arguments, fixed)
        status = run(request["words"])
    finally:
        os._exit(status)


def fork_here(arguments, fixed):
    """Fork this process where it can be what is to be started."""
    request = request_of(*arguments, fixed=fixed)
    if request is None or has_used_autograd():
        return _exec(*arguments)
    number = os.fork()
    if number == 0:
        multiprocessing_process._children.clear()  # they are this process's siblings
        weakref.finalize._registry.clear()  # and its folders another's
        become(*request)
    return number


def has_used_autograd():
    """Whether PyTorch's threads for it run: it refuses to work in what is forked from these."""
    names = Path("/proc/self/task").glob("*/comm")
    return any(name.read_text().startswith("pt_autograd") for name in names)


def take_files(files, numbers):
    """Give open files these numbers, and close all others."""
    beyond = max(*files, *numbers) + 1
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, beyond) for file in files]
    for file, number in zip(moved, numbers, strict=True):
        os.dup2(file, number)
    for path in list(Path("/proc/self/fd").iterdir()):
        if int(path.name) not in numbers:
            with contextlib.suppress(OSError):  # of the listing itself
                os.close(int(path.name))


def set_environment(environment):
    """Set all variables, also those that other processes see."""
    os.environ.clear()
    os.environ.update(environment)
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = map(int, stat[47:49])  # where the kernel put the first environment
    pairs = [os.fsencode(f"{key}={value}\0") for key, value in environment.items()]
    block = b"".join(pairs)[: end - start].ljust(end - start, b"\0")
    ctypes.memmove(start, block, len(block))


def reset_signals():
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) and number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def run(words):
    """Run a program as Python does; its exit status."""
    unbuffered, program = without_u(["", *words])
    open_streams(unbuffered)
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    more = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[:] = [*more, *_path]
    if set(more) - {str(ROOT)}:
        forget_packages()
    try:
        execute(program, main.__dict__)
        status = 0
    except SystemExit as left:
        status = status_of(left.code)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - as Python itself
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return status & 0xFF


def forget_packages():
    """Let them be imported again: there may be others, or packages that add to their tables."""
    for name in [each for each in sys.modules if each.partition(".")[0] in PACKAGES]:
        del sys.modules[name]


def execute(program, names):
    """Execute what stands behind ``python`` in the names of a module."""
    kind, *rest = program
    importlib.invalidate_caches()
    if kind == "-m":
        name, *arguments = rest
        if name in sys.modules and not hasattr(sys.modules[name], "__path__"):
            del sys.modules[name]
        sys.argv = ["-m", *arguments]
        sys.path.insert(0, str(Path.cwd()))
        runpy._run_module_as_main(name)
    elif kind == "-c":
        code, *arguments = rest
        sys.argv = ["-c", *arguments]
        sys.path.insert(0, "")
        exec(compile(code, "<string>", "exec"), names)
    else:
        sys.argv = program
        sys.path.insert(0, str(Path(kind).absolute().parent))
        names |= {"__file__": kind}
        exec(compile(Path(kind).read_bytes(), kind, "exec"), names)


def open_streams(unbuffered):
    """Anew, for what was known of the earlier ones: whether they are terminals."""
    unbuffered = unbuffered or bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        stream = open(  # noqa: SIM115 - to the end of the process
            number, "w" if number else "r", encoding=old.encoding, errors=old.errors, closefd=False
        )
        if number:
            lines = number == 2 or stream.isatty()
            stream.reconfigure(line_buffering=lines, write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def status_of(code):
    """Exit status of ``sys.exit(code)``."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)  # noqa: T201
    return 1
