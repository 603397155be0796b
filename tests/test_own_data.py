"""The walk in docs/own-data.md: its commands, scaled down, lead from a folder to a report."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import stylegan.data
import stylegan.sample.cli
import stylegan.train
import stylegan_eval.cli

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    "stylegan-data": stylegan.data.main,
    "stylegan-train": stylegan.train.main,
    "stylegan-sample": stylegan.sample.cli.main,
    "stylegan-eval": stylegan_eval.cli.main,
}
# What the test does in seconds instead of hours: each stands in the page.
SMALLER = {
    "--resolution 64": "--resolution 16",
    "--preset auto": "--preset auto --width 8 --kimg 0.1",
    "--kimg 600": "--kimg 0.2",
    "--metrics fd2k": "--metrics fd32",
    "--metrics-every 50": "--metrics-every 0.1",
    "--seeds 0-999": "--seeds 0-9",
    "-n 2000": "-n 32 --subset-size 16",
    "-n 1000": "-n 16",
}
PAGE = (ROOT / "docs/own-data.md").read_text(encoding="utf-8")
BLOCKS = re.sub(r" *\\\n +", " ", PAGE)
COMMANDS = re.findall(r"^ {4,}(stylegan-\w+ .*)$", BLOCKS, flags=re.MULTILINE)


def scaled(command):
    for old, new in SMALLER.items():
        command = re.sub(rf"{re.escape(old)}(?!\S)", new, command)
    return shlex.split(command)


def photographs(folder):
    """60 smooth pictures of 20 to 60 pixels, of several kinds, and what lies beside photographs."""
    rng = np.random.default_rng(0)
    for k in range(60):
        width, height = rng.integers(20, 60, 2)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        picture = coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC)
        kind = ("jpg", "png", "webp")[k % 3]
        path = folder / ("china", "flower")[k % 2] / f"IMG_{k:04d}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.convert("L" if k == 30 else "RGB").save(path)
    Image.new("RGB", (9, 9)).save(folder / "china" / "thumb.png")
    (folder / "notes.txt").write_text("no image")
    damaged = folder / "flower" / "IMG_0007.jpg"
    damaged.write_bytes((folder / "china" / "IMG_0000.jpg").read_bytes()[:300])


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """Folder in which the whole walk was made, and what each command said."""
    folder = tmp_path_factory.mktemp("walk")
    photographs(folder / "photos")
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("STYLEGAN_CACHE", str(folder / "cache"))
        for command in COMMANDS:
            program, *args = scaled(command)
            trains = program == "stylegan-train" and "--out" in args
            more = ["--device", "cpu", "--warmup", "0"] if trains else []
            said[command] = CliRunner().invoke(PROGRAMS[program], [*args, *more])
    return folder, said


def test_every_command_of_the_walk_does_its_work(walked):
    _, said = walked
    for command, done in said.items():
        looks = "--dry-run --report" in command  # finds the damaged file, and says so by status 1
        assert done.exit_code == looks, f"{command}: {done.output}"


def test_the_walk_ends_with_what_it_promises(walked):
    folder, _ = walked
    for name in ("prepared.png", "grid.png", "over-time.png", "status.png", "walk.gif"):
        with Image.open(folder / name) as image:
            assert image.size[0] >= 16
    assert len(list((folder / "samples").glob("seed*.png"))) == 10
    assert (folder / "results.csv").read_text().count("\n") > 2
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")[:200]


def test_what_is_scaled_down_stands_in_the_page():
    assert [option for option in SMALLER if option not in BLOCKS] == []
    assert len(COMMANDS) >= 12
