"""The warm process that forks for `tests.starting`."""

import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import time
import types
from pathlib import Path

from tests.starting import ROOT, SERVER

# Imports of the commands. None may start a thread: a fork has only one.
_LIBRARIES = (
    "torch",
    "torch.utils.data",
    "torch.distributed.run",
    "torch._dynamo",  # which every optimizer of PyTorch imports
    "torchvision",
    "scipy.linalg",
    "scipy.stats",
    "pandas",
    "sklearn.svm",
    "PIL.Image",
    "torch.utils.tensorboard",
    # Imports of NiceGUI. NiceGUI itself depends on the working folder.
    "fastapi",
    "socketio",
    "uvicorn",
)
_OURS = (
    "stylegan.training.request",
    "stylegan_eval.cli",
    "stylegan.sample.cli",
    "stylegan.data",
)
# Ignored by the server: signals to its process group are meant for its children.
_IGNORED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGTSTP", "SIGQUIT")
_PROJECT = ("stylegan", "stylegan_eval", "benchmarks", "tests")


def _read(connection):
    """A request and its streams; (None, []) once the connection is closed."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    if not head:
        return None, []
    left = int.from_bytes(head, "little")
    parts = []
    while left:
        parts.append(connection.recv(left))
        left -= len(parts[-1])
    return json.loads(b"".join(parts)), streams


def serve(connection):
    """Fork for each request; return the request in the child."""
    _call_this_process(SERVER)
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    while True:
        request, streams = _read(connection)
        if request is None:
            os._exit(0)
        between = os.fork()
        if not between:
            middle = os.getpid()
            if os.fork():
                os._exit(0)
            while os.getppid() == middle:  # until the caller has adopted this process
                time.sleep(0.0005)
            _answer(connection, request, streams)
            connection.close()
            _call_this_process("python")
            return request
        for number in streams:
            os.close(number)
        os.waitpid(between, 0)


def _call_this_process(name):
    """Set the name in /proc, which tells servers from their children."""
    ctypes.CDLL(None).prctl(15, name.encode())  # PR_SET_NAME of linux/prctl.h


def _answer(connection, request, streams):
    """Take over streams and working folder; answer with the process id, or minus the errno."""
    for number, stream in enumerate(streams):
        streams[number] = os.dup(stream) if stream < 3 else stream
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    if request["session"]:
        os.setsid()
    try:
        os.chdir(request["cwd"])
    except OSError as error:
        connection.sendall((-error.errno).to_bytes(8, "little", signed=True))
        os._exit(1)
    connection.sendall(os.getpid().to_bytes(8, "little", signed=True))


def _as_started(request):
    """Give this fork the state of a new interpreter for the request."""
    for name in _IGNORED:
        number = getattr(signal, name)
        usual = signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in request["ignored"] else usual)
    before = os.environ.get("PYTHONPATH", "")
    threads = os.environ.get("OMP_NUM_THREADS")
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.pycache_prefix = os.environ.get("PYTHONPYCACHEPREFIX")
    if os.environ.get("OMP_NUM_THREADS") != threads:
        given = os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))
        sys.modules["torch"].set_num_threads(int(given))
    _open_streams(unbuffered=request["unbuffered"] or bool(os.environ.get("PYTHONUNBUFFERED")))
    _set_path(request, before)


def _open_streams(*, unbuffered):
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        raw = io.FileIO(number, "w" if number else "r", closefd=False)
        raw.name = f"<{name}>"
        if not number:
            buffer = io.BufferedReader(raw)
        else:
            buffer = raw if unbuffered else io.BufferedWriter(raw)
        stream = io.TextIOWrapper(
            buffer,
            old.encoding,
            old.errors,
            newline="\n" if number else None,
            line_buffering=not unbuffered and (number == 2 or os.isatty(number)),
            write_through=unbuffered,
        )
        stream.mode = "w" if number else "r"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _set_path(request, before):
    """Build sys.path as Python does; drop the project's modules where another copy comes first."""
    own = [part for part in before.split(os.pathsep) if part]
    installed = [part for part in sys.path[1:] if part not in own]
    given = os.environ.get("PYTHONPATH", "")
    first = {"-c": "", "-m": str(Path.cwd())}.get(request["kind"])
    if first is None:
        first = str(Path(request["argv"][0]).resolve().parent)
    sys.path[:] = [first, *(part for part in given.split(os.pathsep) if part), *installed]
    sys.path_importer_cache.clear()
    near = Path(first or ".").resolve()
    elsewhere = _foreign(given) != _foreign(before) or (
        near != ROOT and (near / "stylegan").exists()
    )
    for name in list(sys.modules):
        if name.split(".")[0] in (_PROJECT if elsewhere else ("tests",)):
            del sys.modules[name]
    importlib.invalidate_caches()


def _foreign(paths):
    """Folders of PYTHONPATH that are not the project."""
    return [part for part in paths.split(os.pathsep) if part and Path(part).resolve() != ROOT]


def _nest():
    """Fork a server for the subprocesses of this process."""
    from tests import starting

    ours, its = socket.socketpair()
    if os.fork():
        its.close()
        return starting, ours
    ours.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)
    main_of(serve(its))
    sys.exit()


def _run(request):
    kind, argv = request["kind"], request["argv"]
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    sys.orig_argv = [sys.executable, *([kind] if kind != "script" else []), *argv]
    if kind == "-m":
        sys.modules.pop(argv[0], None)
        sys.argv = ["-m", *argv[1:]]
        runpy._run_module_as_main(argv[0])
        return
    sys.argv = ["-c", *argv[1:]] if kind == "-c" else argv
    text, name = (argv[0], "<string>") if kind == "-c" else (Path(argv[0]).read_bytes(), argv[0])
    if kind == "script":
        main.__file__ = name
    # A test's own program, as `python -c` and `python FILE` run it; exceptions end the process.
    exec(compile(text, name, "exec"), main.__dict__)


def main_of(request):
    """Run the request; then this process ends."""
    nest = _nest() if request["nested"] else None
    _as_started(request)
    if nest:
        nest[0].fork_all(nest[1], request["nested"] - 1)
    try:
        _run(request)
    except SystemExit:
        raise
    except BaseException as error:
        trace, hook = error.__traceback__, sys.excepthook
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next
        sys.excepthook = lambda kind, error, _: hook(kind, error.with_traceback(trace), trace)
        raise


def main():
    """Import, then serve."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    for name in (*_LIBRARIES, *_OURS):
        importlib.import_module(name)
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    if any(name != "jemalloc_bg_thd" for name in names[1:]):  # that one survives a fork
        sys.exit(f"an import started a thread, which forks would lack: {names}")
    gc.collect()
    gc.freeze()
    main_of(serve(connection))


if __name__ == "__main__":
    main()
