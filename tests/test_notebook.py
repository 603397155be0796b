"""docs/tour.ipynb runs from its first cell to its last, and gives the numbers that it shows."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests import starting

ROOT = Path(__file__).parents[1]
NUMBER = re.compile(r"-?\d+\.\d+")


def texts(notebook):
    """What each cell prints or shows in words, without progress, which only slow machines show."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        shown = []
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            if output.get("name") != "stderr":
                shown += output.get("data", {}).get("text/plain") or output.get("text") or []
        yield "".join(shown)


def test_the_tour_gives_what_it_shows(tmp_path):
    notebook = tmp_path / "tour.ipynb"
    content = json.loads((ROOT / "docs/tour.ipynb").read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    notebook.write_text(json.dumps(content), encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "STYLEGAN_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    program = "from nbclient.cli import main; main()"
    command = [sys.executable, "-c", program, "--inplace", str(notebook)]
    done = starting.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, nested=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made, stored = list(texts(notebook)), list(texts(ROOT / "docs/tour.ipynb"))
    assert len(made) == len(stored)
    for ours, theirs in zip(made, stored, strict=True):
        assert NUMBER.sub("", ours).split() == NUMBER.sub("", theirs).split()
        numbers = [list(map(float, NUMBER.findall(text))) for text in (ours, theirs)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0.02, abs=0.005)
