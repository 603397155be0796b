"""What docs/extending.md adds works, in a copy of the packages, without any other change."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from stylegan_eval.networks import DETECTORS, DISTANCES
from stylegan_eval.settings.common import Features
from stylegan_eval.settings.others import DistanceName

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n# (\S+) \((.*?)\)\n(.*?)```", flags=re.DOTALL)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the packages with all blocks of the document."""
    folder = tmp_path_factory.mktemp("extended")
    for package in ("stylegan", "stylegan_eval"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("*.pyc"))
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("```python")
    for name, where, code in blocks:
        path = folder / name
        old = path.read_text(encoding="utf-8") if where != "new" else ""
        path.write_text(with_block(old, where, code), encoding="utf-8")
    return folder


def with_block(old, where, code):
    if where == "new":
        return code
    if where == "at the end":
        return f"{old}\n\n{code}"
    if where == "imports":
        return re.sub(r"^from stylegan", f"{code}\\g<0>", old, count=1, flags=re.MULTILINE)
    table = where.removeprefix("in ")
    start = re.search(rf"^{table}\b[^=]*= .*?[{{\[]\n", old, flags=re.MULTILINE | re.DOTALL)
    return old[: start.end()] + code + old[start.end() :]


def run(extended, *args, module="stylegan_eval"):
    environment = {**os.environ, "PYTHONPATH": str(extended)}
    command = [sys.executable, "-m", module, *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=extended, env=environment, check=False
    )


@pytest.fixture
def colours(tmp_path, monkeypatch):
    """Red, green and blue images, four of each: three different ones, and no two alike."""
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "colours"
    folder.mkdir()
    for index in range(12):
        Image.new("RGB", (16, 16), ["#f00", "#0f0", "#00f"][index % 3]).save(
            folder / f"{index}.png"
        )
    return folder


def test_a_metric_of_images_and_a_feature_network(extended, colours):
    args = ["--images", colours, "-n", 12, "--features", "thumbnail", "--device", "cpu", "--json"]
    done = run(extended, "all", *args, "--data", colours, "--metrics", "fid,vendi")
    assert done.returncode == 0, done.stderr
    values = {row["metric"]: row["value"] for row in json.loads(done.stdout)["results"]}
    # The same images, in three orthogonal directions, equally often.
    assert values == pytest.approx({"fd_thumbnail": 0, "vendi12[thumbnail]": 3}, abs=1e-6)


def test_the_new_metric_has_its_command_and_its_place_in_training(extended):
    done = run(extended, "vendi", "--help")
    assert "the effective number of different images" in done.stdout
    assert "thumbnail" in done.stdout
    program = "\n".join(
        [
            "from stylegan.training.metric_names import MetricSettings",
            "from stylegan_eval.metrics import higher_is_better",
            "[asked] = MetricSettings(metrics='vendi6k', metrics_features='thumbnail').asked()",
            "assert (asked.settings.num, asked.settings.features) == (6000, 'thumbnail')",
            "assert asked.better(2, 1) and higher_is_better('vendi6k[thumbnail]')",
        ]
    )
    (extended / "program.py").write_text(program)
    done = run(extended, module="program")
    assert done.returncode == 0, done.stderr


def test_names_of_networks_have_their_rows():
    assert set(get_args(Features)) == set(DETECTORS)
    assert set(get_args(DistanceName)) == {*DISTANCES, "auto"}
