"""The package of docs/extending.md, installed; and broken ones."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from stylegan_eval.images.files import open_images
from stylegan_eval.metrics import COMMANDS, METRICS
from stylegan_eval.networks import DISTANCES, NETWORKS, detectors
from stylegan_eval.settings.common import FEATURES
from stylegan_eval.settings.others import DistanceName
from tests import starting

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tests/plugin"
GROUPS = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
LITE = ["--features", "thumbnail", "--device", "cpu", "--json"]


def install(folder, code, groups, name="effective_rank"):
    """Put a module of code where Python finds it, with the entry points that pip would write."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    code = (PACKAGE / "effective_rank.py").read_text(encoding="utf-8")
    return install(tmp_path_factory.mktemp("site"), code, GROUPS)


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


def run(site, *args, module="stylegan_eval"):
    paths = os.pathsep.join(map(str, (site, ROOT)))
    start = ["-c", args[0]] if module == "-c" else ["-m", module, *map(str, args)]
    return starting.run(
        [sys.executable, *start],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )


def test_the_document_shows_the_package():
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    for language, name in (("toml", "pyproject.toml"), ("py", "effective_rank.py")):
        code = (PACKAGE / name).read_text(encoding="utf-8")
        assert f"```{language}\n# tests/plugin/{name}\n{code}```" in text


def test_pip_installs_the_entry_points(tmp_path):
    source = shutil.copytree(PACKAGE, tmp_path / "source")  # where the build leaves files
    words = ["install", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-t", tmp_path]
    done = run(tmp_path, *words, source, module="pip")
    assert done.returncode == 0, done.stderr
    assert "in how many directions images differ" in run(tmp_path, "rank", "--help").stdout


def test_its_metric_and_network_are_in_help_and_all_and_in_the_report(site, colours, tmp_path):
    assert "Effective rank: in how many directions" in run(site, "--help").stdout
    assert "thumbnail" in run(site, "fid", "--help").stdout
    assert "rank" in run(site, "all", "--help").stdout
    table, page = tmp_path / "results.csv", tmp_path / "page.html"
    args = ["--images", colours, "-n", 12, *LITE, "--data", colours, "--csv", table]
    done = run(site, "all", *args, "--metrics", "fid,rank")
    assert done.returncode == 0, done.stderr
    values = {row["metric"]: row["value"] for row in json.loads(done.stdout)["results"]}
    # The same images; three orthogonal directions, equally often, differ in two.
    assert values == pytest.approx({"fd_thumbnail": 0, "rank12[thumbnail]": 2}, abs=1e-6)
    assert run(site, "report", table, "-o", page, "--samples", 0).returncode == 0
    assert page.read_text().partition("rank12[thumbnail]")[2].find("higher is better") > 0


def test_python_and_training_know_it(site, colours):
    program = f"""
import effective_rank, stylegan_eval as se
from stylegan.training.settings import MetricSettings
from stylegan_eval.metrics import higher_is_better
both = [{str(colours)!r}] * 2
fid, rank = se.evaluate(*both, ["rank", "fid"], features="thumbnail")
assert abs(rank.value - 2) < 1e-6 and rank.name == "rank12[thumbnail]", rank
[asked] = MetricSettings(metrics="rank6k", metrics_features="thumbnail").named()
assert (asked.settings.num, asked.settings.features) == (6000, "thumbnail")
assert asked.better(2, 1) and higher_is_better("rank6k[thumbnail]")
"""
    done = run(site, program, module="-c")
    assert (done.returncode, done.stderr) == (0, "")


def test_its_kind_of_images_is_measured_and_prepared(site, colours, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32), dtype=np.uint8)
    digits = tmp_path / "train-images-idx3-ubyte"
    digits.write_bytes(struct.pack(">4L", 0x803, *pixels.shape) + pixels.tobytes())
    packed = tmp_path / "digits.zip"
    done = run(site, "prepare", digits, packed, module="stylegan.data")
    assert done.returncode == 0, done.stderr
    with open_images(packed) as files:
        grey = np.stack([files.read(number) for number in range(9)])
    assert np.array_equal(grey, pixels[:, None].repeat(3, axis=1))
    program = f"""
import stylegan_eval as se
own, packed = (
    se.evaluate(path, None, ["rank"], features="thumbnail")[0]
    for path in ({str(digits)!r}, {str(packed)!r})
)
assert own.value == packed.value > 4, (own, packed)
open({str(digits)!r}, "ab").write(b"0")
se.evaluate({str(digits)!r}, None, ["rank"], features="thumbnail")
"""
    done = run(site, program, module="-c")
    assert "UserError" in done.stderr
    assert done.stderr.endswith("expected 9 images of 32x32\n")


ROW = """
from dataclasses import dataclass
from stylegan_eval.metrics import GENERATED, MetricRow
from stylegan_eval.settings.common import Sampling
from stylegan_eval.settings.image_metrics import GeneratedSettings, VendiSettings
@dataclass(frozen=True, kw_only=True)
class Own(GeneratedSettings): ...
row = lambda settings=Own, inputs=GENERATED: MetricRow(
    place="broken:nothing", settings=settings, inputs=inputs, help="Nothing.", fake=("vectors",)
)
"""


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("odd", "import no_such_module", "No module named 'no_such_module'"),
        ("odd", "", "has no attribute 'ROW'"),
        ("odd", "syntax error", "SyntaxError"),
        ("odd", "1 / 0", "division by zero"),
        ("odd", "raise SystemExit(3)", "SystemExit: 3"),
        ("odd", "ROW = 3", "expected a MetricRow, got int"),
        ("fid", f"{ROW}ROW = row()", "there is one of this name already"),
        ("fd", f"{ROW}ROW = row()", "fd is a name of another"),
        ("report", f"{ROW}ROW = row()", "report is a name of another"),
        ("odd-one", f"{ROW}ROW = row()", "small letters alone, got 'odd-one'"),
        ("odd", f"{ROW}ROW = row(VendiSettings)", "VendiSettings is another metric's"),
        ("odd", f"{ROW}ROW = row(Sampling)", "Sampling is not derived from GeneratedSettings"),
        ("odd", f"{ROW}ROW = row(inputs=('image',))", "image is unknown"),
    ],
)
def test_a_broken_package_is_named_in_one_line_and_nothing_else_is_lost(
    tmp_path, name, code, reason
):
    site = install(tmp_path, code, {"stylegan_eval.metrics": {name: "broken:ROW"}}, "broken")
    done = run(site, "--help")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert f"note: package broken 1.0: its metric {name} is left out: " in done.stderr
    assert reason in done.stderr
    assert set(METRICS) <= set(done.stdout.split())


def test_a_broken_network_or_kind_of_images_is_named(tmp_path, colours):
    kinds = {
        "stylegan_eval.features": {"odd": "broken:A"},
        "stylegan_eval.images": {"X": "broken:B"},
    }
    code = "from stylegan_eval.images.containers import Container\nB = Container('.x', 'a:b')"
    site = install(tmp_path / "site", code, kinds, "broken")
    done = run(site, "is", "--images", colours, "--features", "efficientnet-lite0", "--splits", 1)
    assert done.returncode == 0, done.stderr
    for line in (
        "its feature network odd is left out: AttributeError: module 'broken' has no attribute 'A'",
        "its kind of images X is left out: ValueError: expected several endings of names",
    ):
        assert line in done.stderr


def test_what_is_kept_of_a_package_is_not_taken_for_its_changed_code(tmp_path, colours):
    code = (PACKAGE / "effective_rank.py").read_text(encoding="utf-8")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32), dtype=np.uint8)
    digits = tmp_path / "train-images-idx3-ubyte"
    digits.write_bytes(struct.pack(">4L", 0x803, *pixels.shape) + pixels.tobytes())
    changes = [
        ("", ""),
        ("images.float()", "(255 - images.float())"),  # of the network
        ("pixels[index][None]", "(pixels[index][None] // 2)"),  # of the reader
    ]
    for number, (old, new) in enumerate(changes):
        changed = install(tmp_path / str(number), code.replace(old, new), GROUPS)
        done = run(changed, "fid", "--images", digits, "--data", digits, *LITE)
        assert done.returncode == 0, done.stderr
        [row] = json.loads(done.stdout)["results"]
        assert abs(row["value"]) < 1e-6, (number, row)  # of the cached side and of the other


def test_a_function_that_is_not_there_is_one_line(tmp_path, colours):
    entries = {"stylegan_eval.metrics": {"odd": "broken:ROW"}}
    site = install(tmp_path / "site", f"{ROW}ROW = row()", entries, "broken")
    words = ["--images", colours, "--features", "efficientnet-lite0"]
    done = run(site, "odd", *words)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: broken:nothing cannot be imported: ")


def test_what_is_not_installed_is_not_run(tmp_path):
    """A module of that name beside the packages, and a group of others."""
    (tmp_path / "effective_rank.py").write_text("raise SystemExit(3)")
    site = install(
        tmp_path, "raise SystemExit(3)", {"another.group": {"rank": "other:ROW"}}, "other"
    )
    done = run(site, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "rank" not in done.stdout


def test_without_packages_nothing_is_imported_for_them():
    program = "import sys, stylegan_eval.cli; assert 'importlib.metadata' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_names_have_their_rows():
    from stylegan_eval.cli import main

    assert set(main.commands) == {*METRICS, *COMMANDS}
    assert set(FEATURES) == set(detectors())
    assert set(get_args(DistanceName)) == {*DISTANCES, "auto"}
    assert set(NETWORKS) == {*FEATURES, *DISTANCES}
