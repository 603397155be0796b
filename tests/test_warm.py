"""A process that is forked from the server of the tests is what a new one would be."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from benchmarks.kill_trial import children_of

pytestmark = [
    pytest.mark.usefixtures("warm"),
    pytest.mark.skipif(sys.platform != "linux", reason="forks as Linux can"),
]


def run(code, *words, **options):
    command = [sys.executable, "-c", "import os, sys\n" + textwrap.dedent(code), *words]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_it_has_imported_everything_and_is_a_child_of_who_asked():
    code = "import sys; sys.stdin.read(); print('torch' in sys.modules)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.pid in children_of(os.getpid())
        assert process.communicate("")[0] == "True\n"
    assert process.returncode == 0


def test_it_has_its_own_words_environment_folder_and_streams(tmp_path):
    code = """
    print(sys.argv[1:], os.environ["MINE"], "HOME" in os.environ, os.getcwd(), sys.stdin.read())
    sys.exit("a message")
    """
    fixed = {key: os.environ[key] for key in ("OMP_NUM_THREADS", "PATH")}
    fixed |= {key: value for key, value in os.environ.items() if key.startswith(("PYTHON", "L"))}
    done = run(code, "a b", cwd=tmp_path, env={**fixed, "MINE": "x"}, input="typed")
    assert done.stdout == f"['a b'] x False {tmp_path} typed\n"
    assert (done.stderr, done.returncode) == ("a message\n", 1)
    seen = "print(open('/proc/self/environ').read().split('\\0'))"
    assert run(seen, env={**fixed, "MINE": "y"}).stdout.count("MINE=y") == 1


def test_modules_and_scripts_are_run_as_by_python(tmp_path):
    (tmp_path / "beside.py").write_text("NAME = 'beside'")
    script = tmp_path / "script.py"
    script.write_text("import sys, beside\nprint(__name__, __file__, beside.NAME, sys.argv)")
    done = subprocess.run([sys.executable, script, "x"], capture_output=True, text=True)
    assert done.stdout == f"__main__ {script} beside ['{script}', 'x']\n"
    module = [sys.executable, "-u", "-m", "script", "y"]
    done = subprocess.run(module, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == f"__main__ {script} beside ['{script}', 'y']\n"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM, ""),
        ("os.kill(os.getpid(), 2)", -signal.SIGINT, "KeyboardInterrupt"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import atexit; atexit.register(print, 'left', file=sys.stderr); sys.exit(3)", 3, "left"),
    ],
)
def test_it_ends_as_python_does(code, status, said):
    done = run(code)
    assert done.returncode == status
    assert said in done.stderr


def test_what_it_starts_is_its_child_and_has_imported_everything():
    code = """
    import subprocess
    inner = "import os, sys; print(os.getppid(), 'torch' in sys.modules, flush=True); sys.exit(4)"
    print(os.getpid(), flush=True)
    sys.exit(subprocess.run([sys.executable, "-c", inner]).returncode)
    """
    done = run(code)
    number, inner = done.stdout.splitlines()
    assert (inner, done.returncode) == (f"{number} True", 4)


def test_where_python_would_begin_otherwise_it_is_started_anew():
    code = "print('torch' in sys.modules)"
    assert run(code, env={**os.environ, "OMP_NUM_THREADS": "2"}).stdout == "False\n"
