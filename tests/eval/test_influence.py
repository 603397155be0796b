"""What each image adds to a distance: the table, against leaving images out one by one."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import stylegan_eval as se
from stylegan_eval.cli import main
from stylegan_eval.engine.sampling import draw, to_uint8
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from stylegan_eval.metrics.frechet import FrechetTo, frechet_distance
from stylegan_eval.metrics.image_tables import influence
from stylegan_eval.results.image_tables import (
    ImageInfluence,
    is_image_table,
    read_table,
    table_digest,
    write_table,
)
from tests.elements import Elements
from tests.eval.fakes import LinearGenerator

LITE = ["--features", "efficientnet-lite0", "--device", "cpu"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def moments(vectors):
    return FeatureStats.of(vectors, "d")


@pytest.mark.parametrize(
    ("count", "others", "like", "off"),
    [
        (1000, 1000, 0.999, 0.05),
        (1000, 6, 0.999, 0.05),  # singular on the other side
        (60, 1000, 0.95, 0.4),
        (8, 1000, 0.9, 0.5),  # singular: the order is right, the sizes are rough
    ],
)
def test_it_is_what_the_distance_loses_without_the_image(count, others, like, off):
    rng = np.random.default_rng(0)
    x = 0.3 + 1.2 * rng.standard_normal((count, 12)) * rng.lognormal(0, 0.3, (count, 1))
    other = moments(rng.standard_normal((others, 12)))
    added = influence(x, moments(x), other)
    some = np.arange(min(count, 50))
    without = [frechet_distance(moments(np.delete(x, one, axis=0)), other) for one in some]
    lost = frechet_distance(moments(x), other) - np.array(without)
    assert np.corrcoef(added[some], lost)[0, 1] > like
    slope = added[some] @ lost / (added[some] @ added[some])
    assert slope == pytest.approx(1, abs=off)
    assert abs(added.sum()) < 1e-9 * np.abs(added).sum()


def test_the_root_of_the_sum_of_squares_is_the_deviation_of_repeated_samples():
    rng = np.random.default_rng(1)
    real = moments(rng.standard_normal((20_000, 6)))
    distance = FrechetTo(real)
    draws = [1.3 * rng.standard_normal((1000, 6)) + 0.4 for _ in range(100)]
    errors = [np.sqrt(np.square(influence(x, moments(x), real)).sum()) for x in draws[:10]]
    assert 0.85 < np.mean(errors) / np.std([distance(moments(x)) for x in draws], ddof=1) < 1.2


def test_tiles_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((50, 4)), moments(rng.standard_normal((90, 4)))
    whole = influence(x, moments(x), y)
    monkeypatch.setattr("stylegan_eval.metrics.image_tables._TILE", 7)
    np.testing.assert_allclose(influence(x, moments(x), y), whole, rtol=1e-12)


def test_of_folders_each_image_has_a_row_and_a_foreign_one_stands_first(image_folder, tmp_path):
    fakes, reals = image_folder("fakes", 9, seed=1), image_folder("reals", 12)
    Image.new("RGB", (16, 16), "white").save(fakes / "white.png")
    path, table = tmp_path / "new" / "influence.csv", tmp_path / "results.csv"
    args = ["fid", "--images", fakes, "--data", reals, *LITE, "--csv", table, "--json"]
    done = run(*args, "--influence", path)
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["results"]
    assert row["value"] == se.fid(fakes, reals, features="efficientnet-lite0", device="cpu").value
    assert row["details"]["influence"] == table_digest(path)
    found = pd.read_csv(path, keep_default_na=False)
    assert list(found.columns) == list(ImageInfluence._fields)
    for side, folder, count in (("generated", fakes, 10), ("real", reals, 12)):
        part = found[found["side"] == side]
        assert sorted(part["image"]) == sorted(file.name for file in folder.iterdir())
        assert list(part["influence"]) == sorted(part["influence"], reverse=True)
        assert set(part["seed"]) == {""}
        assert len(part) == count
    assert found["image"][0] == "white.png"
    frame = se.influence(fakes, reals, features="efficientnet-lite0", device="cpu")
    assert list(frame["image"]) == list(found["image"])
    np.testing.assert_array_equal(frame["influence"], found["influence"])


def test_all_writes_the_table_of_the_one_distance_among_its_metrics(image_folder, tmp_path):
    sides = ["--images", image_folder("fakes", 9, seed=1), "--data", image_folder("reals", 12)]
    tables = [tmp_path / "fid.csv", tmp_path / "all.csv"]
    assert run("fid", *sides, *LITE, "--influence", tables[0]).exit_code == 0
    names = ["all", *sides, *LITE, "--metrics", "fid,kid", "--subset-size", 9]
    done = run(*names, "--influence", tables[1], "--json")
    assert done.exit_code == 0, done.stderr
    assert tables[0].read_bytes() == tables[1].read_bytes()
    rows = json.loads(done.stdout)["results"]
    assert [row["details"].get("influence") for row in rows] == [table_digest(tables[0]), None]
    for metrics, fault in (("kid", "which is not"), ("fid,sfid", "more than one is")):
        done = run("all", *sides, "--metrics", metrics, "--influence", tmp_path / "new.csv")
        assert done.exit_code == 1
        assert f"--influence is of fid or sfid, {fault} among --metrics" in done.stderr
        assert not (tmp_path / "new.csv").exists()


def test_of_a_checkpoint_images_have_seed_and_number(image_folder, tmp_path, fake_loader):
    ckpt = tmp_path / "linear.ckpt"
    ckpt.write_text("FAKE 16")
    reals, path = image_folder("reals", 12), tmp_path / "influence.csv"
    args = ["fid", "--ckpt", ckpt, "--data", reals, "-n", 12, "--seed", 5, *LITE]
    assert run(*args, "--influence", path).exit_code == 0
    rows = read_table(path, ImageInfluence)
    assert sorted(int(row.image) for row in rows if row.side == "generated") == list(range(12))
    assert {(row.side, row.seed) for row in rows} == {("generated", "5"), ("real", "")}
    assert [row.side for row in rows] == ["generated"] * 12 + ["real"] * 12


def test_a_side_of_statistics_has_no_rows(image_folder, tmp_path):
    fakes, reals = image_folder("fakes", 12, seed=1), image_folder("reals", 12)
    stats = tmp_path / "reals.npz"
    assert run("stats", stats, "--data", reals, *LITE).exit_code == 0
    lite = {"features": "efficientnet-lite0", "device": "cpu"}
    assert set(se.influence(fakes, stats, **lite)["side"]) == {"generated"}
    with open_images(fakes) as files:
        pixels = np.stack([files.read(number) for number in range(len(files))])
    frame = se.influence(se.load_statistics(stats), pixels, **lite)
    assert sorted(frame["image"].astype(int)) == list(range(12))
    with pytest.raises(se.UserError, match="both sides are statistics: give the images of one"):
        se.influence(stats, stats, **lite)


def test_what_cannot_be_written_is_refused_before_the_work(image_folder, tmp_path):
    reals, taken = image_folder("reals", 12), tmp_path / "taken.csv"
    taken.mkdir()
    same = tmp_path / "same.csv"
    for args, code, message in [
        (["--influence", tmp_path / "a.npz"], 2, "must end in .csv"),
        (["--influence", taken], 1, "taken.csv"),
        (["--influence", same, "--csv", same], 1, "name of two outputs"),
    ]:
        refused = run("fid", "--images", reals, "--data", reals, *LITE, *args)
        assert refused.exit_code == code
        assert message in refused.stderr
        assert refused.stdout == ""
    assert not same.exists()


def test_names_that_would_be_formulas_come_back(tmp_path):
    path = tmp_path / "a.csv"
    rows = [
        ImageInfluence("generated", '=1+1,"x".png', "", 2.5),
        ImageInfluence("real", "b", "", -1),
    ]
    assert write_table(path, rows) == table_digest(path)
    assert is_image_table(path)
    assert read_table(path, ImageInfluence) == rows


@pytest.mark.parametrize(
    "text",
    [
        "side,image\n",
        "side,image,seed,influence\nfake,a,,1\n",
        "side,image,seed,influence\nreal,a,,x\n",
    ],
)
def test_other_files_are_told_in_one_line(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"cannot be read as influence .*--influence FILE writes"):
        read_table(path, ImageInfluence)


@pytest.fixture
def measured(image_folder, tmp_path, fake_loader):
    """A table of results, its table of influence, the checkpoint and the real images."""
    ckpt = tmp_path / "linear.ckpt"
    ckpt.write_text("FAKE 16")
    reals, path, table = image_folder("reals", 12), tmp_path / "i.csv", tmp_path / "results.csv"
    args = ["fid", "--ckpt", ckpt, "--data", reals, "-n", 12, "--seed", 5, *LITE]
    assert run(*args, "--influence", path, "--csv", table).exit_code == 0
    return table, path, ckpt, reals


def report(table, *args):
    out = table.with_name("report.html")
    done = run("report", table, *args, "--samples", 3, "--device", "cpu", "-o", out)
    assert done.exit_code == 0, done.stderr
    return out.read_text().partition('<h2 id="influence">')[2].partition("</section>")[0]


def pictures(part):
    uris = [attrs["src"] for tag, attrs in Elements(part).tags if tag == "img"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri[22:])))) for uri in uris]


def test_the_report_shows_the_images_themselves(measured):
    table, path, _, reals = measured
    shown = pictures(report(table, path))
    rows = read_table(path, ImageInfluence)
    rows = rows[:3] + rows[12:15]
    assert len(shown) == len(rows) == 6
    for picture, row in zip(shown, rows, strict=True):
        if row.side == "real":
            expected = np.asarray(Image.open(reals / row.image))
        else:
            number = int(row.image)
            raw = draw(LinearGenerator(), 5, range(number, number + 1), torch.device("cpu"))[2]
            expected = to_uint8(raw)[0].numpy().transpose(1, 2, 0)
        np.testing.assert_array_equal(picture, expected)


def test_the_report_says_which_images_are_not_to_be_had(measured, tmp_path):
    table, path, ckpt, reals = measured
    ckpt.unlink()
    (reals / "00003.png").unlink()
    part = report(table)
    assert "name its checkpoint with --ckpt to see samples" in part
    assert "holds other images now, not those measured" in part
    assert pictures(part) == []
    ckpt.write_text("FAKE 16")
    path.write_text(path.read_text().replace("generated,", "generated,9", 1))
    assert report(table) == ""  # another table than that of the result
    refused = run("report", table, path, "-o", tmp_path / "report.html")
    assert refused.exit_code == 1
    assert "of no result here: name the results written with it" in refused.stderr
