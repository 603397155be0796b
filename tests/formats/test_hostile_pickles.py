"""Hostile and broken pickles: refused in a line, within limits, and nothing of them is run."""

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.formats.nvidia import read_nvidia
from stylegan_eval.errors import UserError
from tests import starting
from tests.formats import hostile_pickles as hostile
from tests.formats import official_pickles as pickles

OBEY = """
import os, pickle, sys
from pathlib import Path
for path in Path(sys.argv[1]).glob("*.pkl"):
    try:
        pickle.loads(path.read_bytes())
    except Exception as error:
        print(path.name, repr(error))
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
"""


def write_all(folder, found):
    folder.mkdir()
    for name, data in found.items():
        (folder / f"{name}.pkl").write_bytes(data)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the command said of each file of the corpus; by the file's name."""
    folder = tmp_path_factory.mktemp("hostile")
    marks = folder / "marks"
    marks.mkdir()
    found = {
        **hostile.gadgets(marks),
        **hostile.bombs(),
        **hostile.forbidden(),
        **hostile.damaged(),
        **hostile.wrong_networks(),
    }
    write_all(folder / "files", found)
    good = folder / "good.pkl"
    good.write_bytes(pickles.dumps(pickles.stylegan("F")))
    program = ["-m", "tests.formats.refuse_all", str(folder / "files"), str(good)]
    done = starting.run([sys.executable, *program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line[0] for line in lines} == found.keys()
    assert [path.name for path in marks.iterdir()] == ["script.py"]
    return {name: rest for name, *rest in lines}


def test_the_corpus_is_large(told):
    assert len(told) >= 100


def test_each_is_refused_in_one_line_and_nothing_is_written(told):
    for name, (status, stderr, said, written) in told.items():
        assert status == 1, (name, said)
        assert stderr.startswith("error: "), (name, said)
        assert f"{name}.pkl: " in stderr, (name, said)
        assert len(stderr.splitlines()) == 1, (name, said)
        assert stderr[:-1].isprintable(), (name, said)
        assert len(stderr) < 700, (name, said)
        assert "memory" not in stderr, (name, said)
        assert not written, name


def test_gadgets_are_refused_by_name(told):
    names = {
        "system-0": "posix.system",
        "system-5": "posix.system",
        "popen": "subprocess.Popen",
        "eval": "builtins.eval",
        "getattr": "builtins.getattr",
        "hidden-in-options": "posix.system",
        "stack-global": "os.system",
        "dotted-name": "subprocess.os.system",
        "numpy-load": "numpy.load",
        "numpy-tofile": "numpy.ndarray.tofile",
        "newer-code-base": "torch_utils.persistence._reconstruct_persistent_obj",
        "object-array": "of dtype 'O8'",
        "extension-1": "uses EXT1",
        "persistent-id": "uses PERSID",
        "page-instead-of-file": "not a pickle of networks",
    }
    for name, said in names.items():
        assert said in told[name][1], told[name]


def test_the_gadgets_would_work_on_an_unpickler_that_obeys(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    found = hostile.gadgets(marks)
    found = {name: data for name, data in found.items() if not name.startswith("hidden")}
    write_all(tmp_path / "files", found)
    done = starting.run(
        [sys.executable, "-c", OBEY, str(tmp_path / "files")], capture_output=True, text=True
    )
    missing = found.keys() - {path.name for path in marks.iterdir()}
    assert not missing, done.stdout


SMALL = pickles.dumps(pickles.stylegan_discriminator("F"))
# Most of a file are numbers: what matters lies where opcodes are dense.
PLACES = st.integers(0, 1500) | st.integers(0, len(SMALL) - 50)
EDITS = st.tuples(
    PLACES, st.sampled_from(("set", "cut", "double")), st.integers(1, 40)
) | st.tuples(PLACES, st.just("insert"), st.binary(min_size=1, max_size=8))


def mutated(edits):
    """The good pickle with some bytes changed, left out, repeated or put in."""
    data = bytearray(SMALL)
    for at, how, what in edits:
        if how == "set":
            data[at] = (data[at] + what) % 256
        elif how == "cut":
            del data[at : at + what]
        elif how == "double":
            data[at:at] = data[at : at + what]
        else:
            data[at:at] = what
    return bytes(data)


@settings(max_examples=400, derandomize=True, deadline=None, database=None)
@given(edits=st.lists(EDITS, min_size=1, max_size=4))
def test_a_mutated_file_is_read_or_refused_in_one_line(edits, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "mutated.pkl"
    path.write_bytes(mutated(edits))
    said = None
    try:
        tree = read_nvidia(path)
    except UserError as error:
        said = str(error)
    if said is None:
        assert tree.networks.keys() == {"D"}
    else:
        assert said.startswith(f"{path}: ")
        assert said.isprintable()
