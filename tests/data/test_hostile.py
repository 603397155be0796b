"""Hostile files are refused in one line, with little memory and time, and leave nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import hostile, hostile_containers
from tests.data.samples import everything_below

CORPUS = hostile.CORPUS | hostile_containers.CORPUS
SPARE_BYTES = 200 * 2**20
SECONDS = 2

# One process imports; for each case a fork of it runs the command with what is left of memory and
# time limited by the system, so that what goes beyond is killed.
SERVER = """
import json, os, resource, sys
from pathlib import Path
import google_crc32c, lmdb, lmdb.verify, PIL.Image
import stylegan.datasets.check, stylegan.datasets.prepare
from stylegan.data import main

PIL.Image.init()
spare, seconds = int(sys.argv[1]), int(sys.argv[2])

def run(case):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, used + spare))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    os.chdir(case["folder"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(case[name], os.O_WRONLY | os.O_CREAT), number)
    main(["prepare", case["source"], case["out"], "--workers", "1"])

statuses = {}
for case in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        status = 99
        try:
            run(case)
        except SystemExit as error:
            status = error.code
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    statuses[case["name"]] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps(statuses))
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """By name: exit status, what was printed, and what the folders held before and after."""
    root = tmp_path_factory.mktemp("hostile")
    cases, before = [], {}
    for number, (name, (make, _)) in enumerate(CORPUS.items()):
        folder = root / str(number)
        (folder / "target").mkdir(parents=True)
        out = folder / "target" / ("out.zip" if number % 2 else "out")
        source = str(make(folder))
        printed = {stream: str(root / f"{number}.{stream}") for stream in ("stdout", "stderr")}
        case = {"name": name, "folder": str(folder), "source": source, "out": str(out)}
        cases.append(case | printed)
        before[name] = everything_below(folder)
    done = subprocess.run(
        [sys.executable, "-c", SERVER, str(SPARE_BYTES), str(SECONDS)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": "", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "HOME": str(root)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    statuses = json.loads(done.stdout)
    return {
        case["name"]: (
            statuses[case["name"]],
            Path(case["stdout"]).read_text(),
            Path(case["stderr"]).read_text(),
            before[case["name"]],
            everything_below(root / str(number)),
        )
        for number, case in enumerate(cases)
    }


@pytest.mark.skipif(sys.platform != "linux", reason="needs resource limits and /proc")
@pytest.mark.parametrize("name", CORPUS)
def test_it_is_refused_in_one_line_and_leaves_nothing(outcomes, name):
    status, stdout, stderr, before, after = outcomes[name]
    assert (status, stdout) == (1, ""), stderr
    (line,) = stderr.splitlines()
    assert line.startswith("error: ")
    assert CORPUS[name][1] in line
    assert after == before
