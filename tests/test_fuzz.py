"""A short run of `python -m benchmarks.fuzz`: damaged files of every kind that is read."""

import faulthandler
import re
import signal
import sys

import pytest
from click.testing import CliRunner

from benchmarks.fuzz.__main__ import copy_of, fuzz, main
from benchmarks.fuzz.readers import READERS, Reader
from stylegan_eval.errors import UserError
from tests import starting
from tests.formats import official_pickles as pickles

SLOW = {"status by run.json", "status by the log"}


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused_in_a_line(name):
    if name in SLOW:  # they use autograd, which no process may that was forked from its user
        command = [sys.executable, "-m", "benchmarks.fuzz", name, "--seed", "1", "--count", "3"]
        done = starting.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return
    counts, _, failures = fuzz(name, READERS[name], seed=1, count=25)
    assert failures == []
    assert sum(counts.values()) == 25


def test_copies_are_functions_of_the_seed_and_differ(tmp_path):
    reader = READERS["configuration"]
    data = reader.make(tmp_path).read_bytes()

    def copies(seed):
        return [copy_of("x", reader, data, seed, k, tmp_path) for k in range(30)]

    assert copies(0) == copies(0)
    assert len({*copies(0), *copies(1), data}) > 50


def written(folder):
    (folder / "x").write_bytes(b"0" * 40)
    return folder / "x"


def hang(_path):
    while True:
        pass


def fill(path):
    try:
        bytearray(2**40)
    except MemoryError as error:
        raise UserError(f"{path}: hidden") from error


def a_long_line(path):
    raise UserError(f"{path}: " + "a" * 2000)


def die(_path):
    faulthandler.disable()  # pytest's would tell of it as of a failure of the tests
    signal.raise_signal(signal.SIGSEGV)


BROKEN = {
    "a traceback": (lambda _path: [][7], "IndexError"),
    "memory": (fill, "memory"),
    "length": (a_long_line, "no line"),
    "death": (die, "ended by SIGSEGV"),
    "time": (hang, "took too long"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_reader_that_fails_is_found_out(name, monkeypatch):
    monkeypatch.setattr("benchmarks.fuzz.__main__.SECONDS", 0.2)
    broken, words = BROKEN[name]

    def read(path):
        return path.read_bytes() == b"0" * 40 or broken(path)

    _, _, failures = fuzz("x", Reader(make=written, read=read), seed=0, count=2)
    assert len(failures) == 2
    assert all(words in failure for failure in failures)


def test_a_file_of_the_users_is_damaged_too(tmp_path):
    path = tmp_path / "D.pkl"
    path.write_bytes(pickles.dumps(pickles.stylegan_discriminator("F")))
    done = CliRunner().invoke(main, ["pickle", "--file", str(path), "--count", "20"])
    assert done.exit_code == 0, done.output
    last = done.stdout.splitlines()[-1]
    counts = [int(number) for number in re.findall(r"(\d+) (?:read|refused)", last)]
    assert sum(counts) == 20
