"""JSON lines of a run: whole rows, and none from the future."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.results.run_folder import append_rows, drop_rows_after, read_rows

ROWS = st.lists(
    st.fixed_dictionaries(
        {"nimg": st.integers(0, 1000), "loss_D": st.floats() | st.none(), "note": st.text()}
    ),
    max_size=8,
)


@given(ROWS, st.integers(0, 1000), st.integers(1, 30))
def test_after_any_kill_the_rows_up_to_the_checkpoint_stay(tmp_path_factory, rows, nimg, cut):
    """Cut anywhere in the last line, and continued."""
    path = tmp_path_factory.mktemp("rows") / "log.jsonl"
    append_rows(path, [*rows, {"nimg": 0, "cut": 1}])
    path.write_bytes(path.read_bytes()[:-cut])
    whole = read_rows(path)[0]
    drop_rows_after(path, nimg)
    append_rows(path, [{"nimg": nimg, "resumed": True}])
    kept, damaged = read_rows(path)
    assert damaged == 0
    assert kept[:-1] == [row for row in whole if row["nimg"] <= nimg]
    assert kept[-1] == {"nimg": nimg, "resumed": True}


def test_what_is_no_number_is_null(tmp_path):
    path = tmp_path / "log.jsonl"
    append_rows(path, [{"nimg": 8, "grad_norm_D": float("inf"), "loss_D": float("nan")}])
    assert json.loads(path.read_text()) == {"nimg": 8, "grad_norm_D": None, "loss_D": None}


def test_damaged_lines_are_counted_and_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"nimg": 8}\n\xff\xfe\n[1]\n{"nimg": "x"}\n{"nimg": 16, "loss')
    assert read_rows(path) == ([{"nimg": 8}], 4)
    assert read_rows(tmp_path / "absent.jsonl") == ([], 0)


def test_nothing_to_drop_leaves_the_file_alone(tmp_path):
    path = tmp_path / "log.jsonl"
    append_rows(path, [{"nimg": 8}, {"nimg": 16}])
    before = path.stat().st_ino
    drop_rows_after(path, 16)
    assert path.stat().st_ino == before


def test_rows_that_belong_together_are_there_together(tmp_path):
    """A real limit on file sizes cuts the write, as a kill may."""
    path = tmp_path / "metrics.jsonl"
    append_rows(path, [{"nimg": 8, "metric": "fid"}])
    rows = [{"nimg": 16, "metric": f"{k}", "note": "x" * 3000} for k in range(4)]
    program = (
        "import json, resource, signal, sys; from pathlib import Path;"
        "from stylegan_eval.results.run_folder import append_rows;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000));"
        "append_rows(Path(sys.argv[1]), json.loads(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, path, json.dumps(rows)]
    assert subprocess.run(command, capture_output=True).returncode != 0
    assert read_rows(path) == ([{"nimg": 8, "metric": "fid"}], 0)
    append_rows(path, rows)
    assert read_rows(path)[0][1:] == rows


DAMAGED = (
    "[" * 100_000,
    '{"nimg": NaN}',
    '{"nimg": 1e999}',
    '{"nimg": -1}',
    "9" * 5000,
    '{"nimg": "1"}',
)


@pytest.mark.parametrize("line", DAMAGED)
def test_damaged_lines_are_counted_and_no_rows(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"nimg": 1}}\n{line}\n{{"nimg": 2}}\n')
    assert read_rows(path) == ([{"nimg": 1}, {"nimg": 2}], 1)
