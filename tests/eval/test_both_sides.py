"""A row says where the same images stand on both sides, in whatever form they are given."""

import json
import shutil
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from stylegan_eval.cli import main
from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.engine.stats_file import write_stats
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics.both_sides import on_both_sides
from stylegan_eval.metrics.sources import open_pair
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import FidSettings

CPU = torch.device("cpu")
LITE = ["--features", "efficientnet-lite0", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def few(image_folder):
    """A folder of 30 images, in sub-folders."""
    folder = image_folder("few", 30, size=8)
    for number, path in enumerate(sorted(folder.iterdir())):
        (folder / f"class{number % 3}").mkdir(exist_ok=True)
        path.rename(folder / f"class{number % 3}" / path.name)
    return folder


def test_every_metric_that_compares_notes_images_on_both_sides(few):
    choices = [*LITE, "--metrics", "fid,kid,pr,prdc,is", "--subset-size", 4, "--json"]
    command = ["all", "--images", few, "--data", few, "-n", 10, *choices]
    done = CliRunner().invoke(main, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["results"]
    assert rows[0]["value"] == pytest.approx(0, abs=1e-6)
    for row in rows:
        noted = "10 of 10 images of --images that were looked up are among" in row["note"]
        assert noted == (not row["metric"].startswith("is")), row


@pytest.fixture
def forms(few, image_folder, tmp_path):
    """The same files in other forms, below a folder and under other names; statistics."""
    with zipfile.ZipFile(tmp_path / "zip.zip", "w") as file:
        for path in few.rglob("*.png"):
            file.write(path, f"few/{path.relative_to(few)}")
    (tmp_path / "copy").mkdir()
    for number, path in enumerate(sorted(few.rglob("*.png"), reverse=True)):
        shutil.copy(path, tmp_path / "copy" / f"{number:03d}.png")
    with tarfile.open(tmp_path / "tar.tar", "w") as tar:
        tar.add(few, "few")
    column = [path.read_bytes() for path in few.rglob("*.png")]
    pq.write_table(pa.table({"image": column}), tmp_path / "table.parquet")
    stats = tmp_path / "stats.npz"
    with open_images(few) as files:
        vectors = np.random.default_rng(2).standard_normal((30, 4))
        write_stats(stats, FeatureStats.of(vectors, "d"), {"content": content_digest(files)})
    places = {"zip": tmp_path / "zip.zip", "copy": tmp_path / "copy", "stats": stats}
    places |= {"tar": tmp_path / "tar.tar", "parquet": tmp_path / "table.parquet"}
    return {"itself": few, "others": image_folder("others", 20, size=8, seed=1), **places}


@pytest.mark.parametrize(
    ("sides", "choice", "note"),
    [
        (("itself", "itself"), {"num": 30}, "30 of 30 images"),
        (("itself", "zip"), {"num": 8}, "8 of 8 images"),
        (("zip", "itself"), {"num": 8}, "8 of 8 images"),
        (("copy", "zip"), {"num": 30}, "30 of 30 images"),
        (("copy", "itself"), {"num": 8, "reals": "full"}, "8 of 8 images"),
        (("tar", "parquet"), {"num": 8, "reals": "full"}, "8 of 8 images"),
        (("itself", "tar"), {"num": 8, "reals": "full"}, "8 of 8 images"),
        (("others", "parquet"), {"num": 8}, ""),
        (("itself", "stats"), {"num": 8}, "the images of --images are those of --data"),
        (("stats", "zip"), {"num": 30}, ""),  # of other bytes: a zip has another digest
        (("stats", "itself"), {"num": 30}, "the images of --images are those of --data"),
        (("stats", "stats"), {"num": 30}, "the images of --images are those of --data"),
        (("others", "itself"), {"num": 8}, ""),
        (("others", "stats"), {"num": 8}, ""),
        ((None, "itself"), {"num": 8, "floor": True}, ""),  # as the note says
    ],
)
def test_images_on_both_sides_are_found_in_every_form(forms, sides, choice, note):
    images, data = (forms.get(side) for side in sides)
    settings = FidSettings(features="efficientnet-lite0", **choice)
    inputs = Inputs(images=images, data=data)
    with open_pair(inputs, [settings], settings, Run(device=CPU)) as pair:
        found = on_both_sides(*pair)
    assert found.startswith(note) if note else not found
