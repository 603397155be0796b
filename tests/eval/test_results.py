import csv
import io
import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan_eval.engine.blocks import Run
from stylegan_eval.errors import UserError
from stylegan_eval.results.comparison import read_results
from stylegan_eval.results.formatting import fitted, folded, with_error
from stylegan_eval.results.results import (
    COLUMNS,
    Row,
    append_csv,
    one_note,
    read_table,
    report,
    summary,
    table,
    to_json,
)
from tests import starting

ROW = Row(
    metric="fd_efficientnet-lite0",
    value=123.456789012345,
    num=2000,
    seed=3,
    protocol={"resize": "tf1", "mirror": "no"},
    details={"std": "0.5"},
    generator='runs/a "b", c.pt',
    generator_digest="ab" * 32,
    description="config F, 32x32",
    detector="efficientnet-lite0",
    weights_sha256="cd" * 32,
    data="data.zip",
    data_digest="ef" * 32,
    data_count=2000,
    precision="fp32",
    device="cpu",
    torch="2.14.1",
    seconds=1.5,
)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_survives_the_table(tmp_path):
    path = tmp_path / "new" / "results.csv"
    append_csv(path, [ROW])
    append_csv(path, [replace(ROW, value=1 / 3), replace(ROW, seed=4)])
    rows = read(path)
    assert len(rows) == 3
    assert list(rows[0]) == list(COLUMNS)
    assert [float(row["value"]) for row in rows] == [ROW.value, 1 / 3, ROW.value]
    assert rows[0]["generator"] == ROW.generator
    assert rows[0]["protocol"] == "resize=tf1 mirror=no"
    assert rows[0]["details"] == "std=0.5"
    assert [path.name for path in path.parent.iterdir()] == ["results.csv"]


def test_a_row_says_when_and_with_what():
    assert ROW.date.endswith("+00:00")
    assert ROW.version


def test_a_missing_last_line_end_is_mended(tmp_path):
    path = tmp_path / "results.csv"
    append_csv(path, [ROW])
    path.write_text(path.read_text().rstrip("\n"))
    append_csv(path, [ROW])
    assert len(read(path)) == 2


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00", b"\n"])
def test_another_kind_of_file_is_left_alone(tmp_path, content):
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"other\.csv"):
        append_csv(path, [ROW])
    assert path.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(UserError, match="it is a folder"):
        append_csv(tmp_path, [ROW])


def test_an_empty_file_becomes_a_table(tmp_path):
    path = tmp_path / "results.csv"
    path.touch()
    assert read_table(path) == ""
    append_csv(path, [ROW])
    assert len(read(path)) == 1


def test_json_is_one_object():
    (result,) = json.loads(to_json([ROW]))["results"]
    assert list(result) == list(COLUMNS)
    assert result["value"] == ROW.value
    assert result["protocol"] == {"resize": "tf1", "mirror": "no"}


def test_what_is_no_number_is_null_in_json():
    (result,) = json.loads(to_json([replace(ROW, value=math.nan, note="no fit")]))["results"]
    assert result["value"] is None
    assert result["stderr"] is None


def test_many_processes_append_to_one_table(tmp_path):
    path = tmp_path / "results.csv"
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.eval.test_results import ROW\n"
        "from stylegan_eval.results.results import append_csv\n"
        "for _ in range(10):\n"
        "    append_csv(Path(sys.argv[1]), [ROW])\n"
    )
    started = [starting.Popen([sys.executable, "-c", code, str(path)]) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert len(read(path)) == 30


def test_many_results_are_a_table_with_parts_below_their_whole():
    rows = [
        replace(ROW, metric="ls_w", value=12.0, stderr=0.5),
        replace(ROW, metric="ls_w/hat", value=0.25, details={"share": "0.2", "accuracy": "0.9"}),
        replace(ROW, metric="ls_w/beard", value=math.nan, details={"error": "one-class"}),
    ]
    assert table(rows).splitlines() == [
        "ls_w  12.00 ± 0.50  (num 2000)",
        "    hat               0.2500  accuracy 0.9, share 0.2",
        "    beard                nan  error one-class",
    ]


def test_equal_notes_share_a_line(capsys):
    assert one_note("few", "", "few", "noisy") == "few; noisy"
    assert one_note("") == ""
    notes = {
        "fid50k": "few",
        "is50k": "",
        "kid50k": "few",
        "kid50k/part": "few",
        "ppl_wend": "few; noisy",
    }
    report([replace(ROW, metric=m, note=n) for m, n in notes.items()], None, as_json=False)
    assert capsys.readouterr().err.splitlines() == [
        "note: fid50k, kid50k: few",
        "note: ppl_wend: few; noisy",
    ]


def test_a_line_is_folded_on_a_narrow_terminal_and_no_number_is_broken():
    row = replace(ROW, stderr=1.234, protocol={f"choice{at}": f"value-{at}" for at in range(9)})
    whole = summary(row)
    for width in (30, 60, 80, 500):
        lines = folded(whole, width).splitlines()
        assert "".join(lines).replace(" ", "") == whole.replace(" ", "")
        assert max(map(len, lines)) <= max(width, len("fd_efficientnet-lite0 123.5 ± 1.2"))
        assert "fd_efficientnet-lite0 123.5 ± 1.2" in lines[0]
    assert folded(whole, 500) == whole


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_has_whole_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = f"{summary(ROW)}\nshort"
    assert fitted(text, io.StringIO()) == text
    assert max(map(len, fitted(text, Terminal()).splitlines())) <= 40


@pytest.mark.parametrize("error", [0.0996, 0.095, 0.00123, 9.96, 99.7, 12345.0])
@given(value=st.floats(-1e4, 1e4))
def test_a_value_ends_where_its_error_does(value, error):
    """Two digits of the error, or all before the point; the value to the same place."""
    first, second = with_error(value, error).split(" ± ")
    assert len(first.partition(".")[2]) == len(second.partition(".")[2])
    assert float(second) == pytest.approx(error, rel=0.051)
    assert len(second.replace(".", "").lstrip("0")) >= 2
    assert abs(float(first) - value) <= 0.51 * 10.0 ** -len(second.partition(".")[2])


def test_summary_is_one_line():
    assert "123.5 ± 1.2  (num" in summary(replace(ROW, stderr=1.234))
    assert summary(ROW) == (
        "fd_efficientnet-lite0 123.4568  (num 2000, seed 3, resize tf1, mirror no)"
    )


@pytest.mark.parametrize("name", ["=1+1.pt", "+a", "-b.pt", "@c", "\t=d", "'e", "f=1.pt", "-1"])
def test_a_name_is_no_formula_in_a_spreadsheet_and_reads_back(tmp_path, name):
    path = tmp_path / "results.csv"
    append_csv(path, [replace(ROW, generator=name, value=-1.5)])
    [written] = read(path)
    assert not written["generator"].startswith(("=", "+", "-", "@", "\t"))
    assert written["value"] == "-1.5"
    [row] = read_results(path)
    assert row["generator"] == name


def test_work_that_goes_on_after_a_kill_appends_its_rows_once(tmp_path):
    """Killed before the table, between the table and the end; measured again at will."""
    table, key = tmp_path / "results.csv", {"a": 1}

    def measured(seconds):
        run = Run(device=torch.device("cpu"), folder=tmp_path / "work")
        run.map_blocks(key, [range(1)], lambda *_: {"x": np.zeros(1)}, "work")
        return run, replace(ROW, seconds=seconds)

    def count():
        return len(table.read_text().splitlines()) - 1

    run, row = measured(1.0)
    run.receipt.write_text("another row\n")  # the kill came before the table
    append_csv(table, [row], run.receipt)
    assert count() == 1
    run, row = measured(2.0)  # it came before the end
    append_csv(table, [row], run.receipt)
    assert count() == 1
    append_csv(tmp_path / "other.csv", [row], run.receipt)
    assert (tmp_path / "other.csv").exists()
    run.finish()
    run, row = measured(3.0)
    append_csv(table, [row], run.receipt)
    assert count() == 2
    run.finish()
    assert not list((tmp_path / "work").iterdir())
