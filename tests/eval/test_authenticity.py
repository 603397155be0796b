import base64
import io
import math

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageEnhance
from scipy.spatial.distance import cdist

import stylegan_eval as se
from stylegan_eval.cli import main
from stylegan_eval.metrics import precision_recall
from stylegan_eval.metrics.authenticity import authenticity, nearest_real
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.image_tables import image_pairs
from stylegan_eval.results.image_tables import ImagePair, read_table
from stylegan_eval.settings.image_metrics import AuthenticitySettings
from tests.elements import Elements

LITE = {"features": "efficientnet-lite0", "device": "cpu"}
FLAGS = [word for key, value in LITE.items() for word in (f"--{key}", value)]


def normal(count, seed, dim=5):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def network():
    about = {"name": "net", "weights_sha256": "", "device": torch.device("cpu")}
    return type("Network", (), about)


def measured(fake, real):
    settings = AuthenticitySettings(features="efficientnet-lite0", num=len(fake))
    sides = (ImageFeatures(detector=network(), vectors=x.numpy()) for x in (fake, real))
    [value] = authenticity(settings, *sides)
    return value


def by_definition(fake, real):
    """Whether d(fake, nearest real) > d(that, the nearest other real), pair by pair."""
    across, within = cdist(fake.double(), real.double()), cdist(real.double(), real.double())
    np.fill_diagonal(within, math.inf)
    at = across.argmin(axis=1)
    return across.min(axis=1) > within.min(axis=1)[at], at


def test_it_is_the_papers_definition(monkeypatch):
    monkeypatch.setattr(precision_recall, "TILE", 7)
    fake, real = normal(60, 1), normal(41, 2)
    new, at = by_definition(fake, real)
    near = nearest_real(fake, real)
    assert near.at.tolist() == at.tolist()
    assert (near.distance > near.own).tolist() == new.tolist()
    assert 0.2 < measured(fake, real).value == new.mean() < 0.9


def test_copies_are_no_new_images_and_images_elsewhere_are():
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    fake = torch.tensor([[0.9], [0.0], [3.5], [3.0], [5.5], [20.0]])
    # Own distances 1, 1, 2, 4: only 20 is farther from 7 than 4.
    assert measured(fake, real).value == pytest.approx(1 / 6)
    assert measured(real, real).value == 0
    assert measured(real + 100, real).value == 1


def test_training_images_that_are_there_twice_have_no_distance_of_their_own():
    twice = torch.tensor([[0.0], [0.0], [5.0]])
    assert measured(torch.tensor([[0.0], [0.1], [4.9], [5.0]]), twice).value == 0.25


def test_error_is_that_of_repeated_samples():
    real = normal(60, 0)
    values = [measured(normal(100, seed), real) for seed in range(1, 201)]
    spread = np.std([value.value for value in values], ddof=1)
    stated = np.mean([value.stderr for value in values])
    assert stated == pytest.approx(spread, rel=0.2)  # four deviations of 200 repeats


def test_copied_pictures_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    real, new = (rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8) for _ in range(2))
    of_copies = se.authenticity(real[:4], real, **LITE)
    assert (of_copies.value, of_copies.name) == (0, "authenticity4_full[efficientnet-lite0]")
    assert of_copies.details["stderr"] == "reals-fixed"
    assert of_copies.note == ""
    half = np.concatenate([real[:4], 255 - new[:4] // 4])
    assert se.authenticity(half, real, **LITE).value == 0.5


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def pictures(image_folder, tmp_path, monkeypatch):
    """Training images, and generated ones: a copy, a darker copy, a mirrored one, new ones."""
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    reals, fakes = image_folder("reals", 12), image_folder("fakes", 5, seed=1)
    with Image.open(reals / "00007.png") as image:
        image.save(fakes / "copy.png")
        ImageEnhance.Brightness(image).enhance(0.98).save(fakes / "darker.png")
    return fakes, reals


def test_the_table_names_the_copies_first(pictures, tmp_path):
    fakes, reals = pictures
    path = tmp_path / "new" / "pairs.csv"
    done = run("authenticity", "--images", fakes, "--data", reals, *FLAGS, "--pairs", path)
    assert done.exit_code == 0, done.stderr
    found = pd.read_csv(path, keep_default_na=False)
    assert list(found.columns) == list(ImagePair._fields)
    assert list(found["image"][:2]) == ["copy.png", "darker.png"]
    assert list(found["real"][:2]) == ["00007.png", "00007.png"]
    assert sorted(found["image"]) == sorted(file.name for file in fakes.iterdir())
    assert found["distance"][0] == 0 < found["distance"][1] < found["own"][1]
    frame = se.pairs(fakes, reals, **LITE)
    pd.testing.assert_frame_equal(frame, found, check_dtype=False)
    share = se.authenticity(fakes, reals, **LITE).value
    assert share == (found["distance"] > found["own"]).mean()


def test_a_copy_of_an_image_that_is_there_twice_stands_first():
    real = torch.tensor([[0.0], [4.0], [4.0], [9.0]])
    fake = torch.tensor([[4.5], [0.5], [4.0]])
    near = nearest_real(fake, real)
    assert near.own.tolist() == [0, 4, 0]
    images = type("Images", (), {"source": type("Drawn", (), {"seed": 0})})
    sides = [ImageFeatures(detector=network(), vectors=x.numpy()) for x in (fake, real)]
    assert [row.image for row in image_pairs((images, images), sides)] == ["2", "1", "0"]


def report(table, *args):
    out = table.with_name("report.html")
    done = run("report", table, *args, "--samples", 3, "--device", "cpu", "-o", out)
    assert done.exit_code == 0, done.stderr
    return out.read_text().partition('<h2 id="pairs">')[2].partition("</section>")[0]


def test_the_report_shows_the_pairs(pictures, tmp_path):
    fakes, reals = pictures
    path, table = tmp_path / "pairs.csv", tmp_path / "results.csv"
    args = ["authenticity", "--images", fakes, "--data", reals, *FLAGS, "--csv", table]
    assert run(*args, "--pairs", path).exit_code == 0
    images = [attrs for tag, attrs in Elements(report(table)).tags if tag == "img"]
    rows = read_table(path, ImagePair)[:3]
    names = [(fakes / row.image, reals / row.real) for row in rows]
    assert len(images) == 6
    for attrs, file in zip(images, [file for pair in names for file in pair], strict=True):
        assert file.name in attrs["alt"]
        shown = Image.open(io.BytesIO(base64.b64decode(attrs["src"].partition(",")[2])))
        with Image.open(file) as image:
            np.testing.assert_array_equal(np.asarray(shown), np.asarray(image))
    (fakes / "copy.png").unlink()
    assert "holds other images now, not those measured" in report(table)
    refused = run(*args, "--pairs", table)
    assert (refused.exit_code, "name of two outputs" in refused.stderr) == (1, True)
