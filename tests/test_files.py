"""Files are whole or absent."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stylegan_eval.engine.files import atomic_folder, atomic_write, copy_file, sha256_of, sweep
from stylegan_eval.errors import UserError


def test_the_name_changes_only_when_the_block_succeeds(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text(f"second {1 / 0}")
    assert path.read_text() == "first"
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("name", ["file/x.txt", "file/deep/x.txt"])
def test_a_folder_that_cannot_be_made(tmp_path, name):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot write"), atomic_write(tmp_path / name):
        pass


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="cannot write"), atomic_write(tmp_path / "taken") as file:
        file.write_text("x")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_a_missing_input_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out"):
        (tmp_path / "elsewhere" / "input").read_text()


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Of one process number, as in two containers on a shared folder."""
    path = tmp_path / "x"
    with atomic_write(path) as first:
        with atomic_write(path) as second:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "second"
        assert first.read_text() == "first"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import pathlib, sys
from stylegan_eval.engine import files
write = getattr(files, sys.argv[1])
with write(pathlib.Path(sys.argv[2])) as temporary:
    if temporary.is_dir():
        temporary = temporary / "inside"
    temporary.write_text("whole")
    print("begun", flush=True)
    sys.stdin.read()
"""


def begun(write, path):
    """A process in the middle of writing `path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, write, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    return process


def ended(process):
    process.communicate(timeout=30)
    return process.returncode


@pytest.mark.parametrize("write", ["atomic_write", "atomic_folder"])
def test_what_a_killed_process_leaves_goes_with_the_next_write(tmp_path, write):
    killed, living = begun(write, tmp_path / "killed"), begun(write, tmp_path / "living")
    killed.kill()
    assert ended(killed) < 0
    assert len(list(tmp_path.glob(".*.tmp"))) == 2
    with (atomic_write if write == "atomic_write" else atomic_folder)(tmp_path / "another"):
        assert len(list(tmp_path.glob(".killed*"))) == 0
        assert len(list(tmp_path.glob(".living*"))) == 1
    assert ended(living) == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["another", "living"]


def test_what_another_machine_writes_stays_for_a_day(tmp_path):
    theirs = tmp_path / ".x.stylegan-00000000-0123456789ab.tmp"
    theirs.write_text("maybe unfinished")
    mine = tmp_path / ".x.0123456789ab.tmp"
    mine.write_text("a user's")
    sweep(tmp_path)
    assert theirs.exists()
    long_ago = time.time() - 90_000
    os.utime(theirs, (long_ago, long_ago))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [mine]


@pytest.mark.parametrize("name", ["n" * 255, "\u00e9" * 127, "\u8a71" * 85])
def test_the_longest_names_can_be_written(tmp_path, name):
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_text("x")
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_copy_shares_nothing_that_a_writer_changes(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(os.urandom(3_000_000))
    before = sha256_of(source)
    target.write_bytes(b"longer" * 1_000_000)
    assert copy_file(source, target) == before == sha256_of(target)
    with target.open("r+b") as file:
        file.write(b"changed")
    assert sha256_of(source) == before != sha256_of(target)


def test_a_copy_tells_which_of_the_two_fails(tmp_path):
    with pytest.raises(OSError, match="/proc/self/mem"):  # opens, and cannot be read
        copy_file(Path("/proc/self/mem"), tmp_path / "target")
    filled = tmp_path / "filled"
    filled.write_bytes(bytes(2**20))
    with pytest.raises(OSError, match="No space left") as error:
        copy_file(filled, Path("/dev/full"))
    assert error.value.filename is None
