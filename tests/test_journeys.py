"""How many files of the project a reader passes through before a command's work begins."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from stylegan.datasets.archive import write_archive
from tests.journey import ROOT

# Files entered at most: a change that needs one more moves code together, or has a reason.
MOST = {"fid": 38, "ppl": 40, "train": 54, "image": 19}


@pytest.fixture(scope="module")
def journeys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journeys")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    write_archive(folder / "images.zip", ((image, None) for image in images))
    paths = [str(folder / name) for name in ("images.zip", "images.zip", "out")]
    (folder / "out").mkdir()
    command = [sys.executable, "-m", "tests.journey", *paths]
    env = os.environ | {"STYLEGAN_CACHE": str(folder / "cache")}  # which knows no images yet
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MOST)
def test_a_command_comes_to_its_work_through_few_files(name, journeys):
    assert len(journeys[name]) <= MOST[name], journeys[name]
