"""The demo is the commands of the README, one after another, at a size of seconds."""

import os
import sys

import pandas as pd
from PIL import Image

from tests import starting


def test_demo_from_nothing_to_a_row_and_a_picture(tmp_path):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "benchmarks.demo.__main__", "--out", str(out)]
    command += ["--count", "128", "--kimg", "0.1", "--num", "64"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "STYLEGAN_CACHE": str(tmp_path / "cache")}
    done = starting.run(command, env=env, capture_output=True, text=True, nested=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(out / "results.csv")
    floor, name = "fd_efficientnet-lite0_floor", "fd_efficientnet-lite0"
    assert table["metric"].tolist()[:2] == [floor, name]
    assert table["metric"].tolist()[-2:] == [name, name]
    # The carried network is trained; an untrained one, and a hundred images later, are worse.
    assert table["value"][0] < table["value"][1] < table["value"].iloc[-2:].min() / 1.1
    measured = {metric.split("_")[0] for metric in table["metric"][2:-2]}
    assert measured == {"kd", "is", "pr64", "prdc64", "ppl", "ls"}
    assert done.stdout.splitlines()[-3] == str(out / "results.csv")
    for line, size in zip(done.stdout.splitlines()[-2:], (64, 32), strict=True):
        assert line == str(out / f"samples{size}.png")
        with Image.open(line) as sheet:
            assert sheet.size == (8 * size, 4 * size)
