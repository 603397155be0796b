"""A whole report in its folder: files, samples of the same latents, curves."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmarks.report.pictures import COLUMNS, IMAGES, as_png, draw_samples, sheets
from benchmarks.report.write import plain, write_report
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.snapshot import load_generator
from stylegan_eval.engine.sampling import latents, noise_maps, to_uint8
from stylegan_eval.errors import UserError
from stylegan_eval.results.plotting import running_mean
from tests.bench.report_fakes import cells, outcome, training, untrained

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainings")
    return {name: untrained(name, folder / name) for name in ("B", "F")}


def outcomes(trained):
    values = {"B": 9.0, "F": 2.0}
    made = [outcome(name, value=values[name], training=run) for name, run in trained.items()]
    return [*made, outcome("C", state="failed", reason="collapsed | at kimg 3")]


def test_samples_are_those_of_the_latents_not_truncated(trained):
    G = load_generator(read_checkpoint(newest_checkpoint(trained["F"].folder)), CPU)
    z = latents(0, range(IMAGES), G.z_dim)
    noise = noise_maps(0, range(IMAGES), G.noise_shapes, CPU)
    with torch.inference_mode():
        expected = to_uint8(G.synthesis(G.mapping(z), noise)).numpy()
    np.testing.assert_array_equal(draw_samples(trained["F"], CPU), expected)


def test_two_trainings_of_one_network_get_the_same_latents(trained, tmp_path):
    """Equal weights and unequal names: equal pictures."""
    again = untrained("F", tmp_path / "again", seed=0)
    made = [outcome("F", value=1.0, training=trained["F"])]
    [one] = sheets("table1", made, CPU)
    [other] = sheets("table1", [outcome("X", value=1.0, training=again)], CPU)
    assert one.png == other.png
    [third] = sheets(
        "table1", [outcome("F", value=1.0, training=untrained("F", tmp_path / "o", 1))], CPU
    )
    assert third.png != one.png


def test_a_sheet_is_drawn_once_per_network_from_the_first_seed_that_is_measured(trained, tmp_path):
    made = [
        outcome("F-z", 0, state="failed", training=training("F", tmp_path / "failed")),
        outcome("F-z", 1, 2.0, training=trained["F"]),
        outcome("F-w", 1, 3.0, training=trained["F"]),
        outcome("F-z", 2, 1.0, training=training("F", tmp_path / "later", seed=2)),
    ]
    [sheet] = sheets("table1", made, CPU)
    assert sheet.caption == "F, seed 0, after 1 kimg"
    assert sheet.png == as_png(draw_samples(trained["F"], CPU))


def test_a_network_that_cannot_be_drawn_says_why(trained, tmp_path):
    gone = training("C", tmp_path / "gone")
    [sheet] = sheets("table1", [outcome("C", value=1.0, training=gone)], CPU)
    assert sheet.png is None
    assert "is not there" in sheet.alt
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no checkpoint"):
        draw_samples(training("C", tmp_path / "empty"), CPU)


@pytest.mark.parametrize(("side", "shown"), [(16, 32), (32, 64), (64, 128), (128, 128), (256, 128)])
def test_small_images_are_shown_twice_as_large_and_large_ones_at_most_128(side, shown, tmp_path):
    flat = np.full((IMAGES, 3, side, side), 77, np.uint8)
    (tmp_path / "sheet.png").write_bytes(as_png(flat))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (COLUMNS * shown, IMAGES // COLUMNS * shown)


def test_the_worst_sheet_is_a_small_file():
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 128, 128), dtype=np.uint8)
    assert len(as_png(noise)) < 300_000


def test_running_mean_of_what_is_known():
    assert running_mean([1.0, 2.0, 6.0, 7.0], 3) == [1.5, 3.0, 5.0, 6.5]
    assert running_mean([1.0, float("nan"), 3.0], 3) == [1.0, 2.0, 3.0]
    assert running_mean([4.0, 5.0], 1) == [4.0, 5.0]


def test_a_report_is_whole(trained, tmp_path):
    written = write_report(outcomes(trained), tmp_path / "report")
    assert sorted(written) == sorted((tmp_path / "report").iterdir())  # and nothing temporary
    assert [path.name for path in written][:4] == [
        *("results.csv", "tables.csv", "report.md", "index.html"),
    ]
    pictures = written[4:]
    assert len(pictures) == 4  # samples of two networks, distance, losses
    text = (tmp_path / "report" / "report.md").read_text()
    for picture in pictures:
        assert f"]({picture.name})" in text
        assert picture.stat().st_size < 300_000
        with Image.open(picture) as image:
            image.load()
    assert "collapsed \\| at kimg 3" in text
    assert list(pd.read_csv(written[1])["n"]) == [1, 1, 0]


def test_a_report_over_an_earlier_one_replaces_it(trained, tmp_path):
    earlier = write_report(outcomes(trained), tmp_path)
    (tmp_path / "my-losses.png").write_bytes(b"")
    write_report(cells(A=[4.0]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("index.html", "my-losses.png", "report.md", "results.csv", "tables.csv"),
    ]
    assert all(path.suffix != ".png" or not path.exists() for path in earlier)


def test_the_same_outcomes_give_the_same_files(trained, tmp_path):
    def digests(folder):
        files = write_report(outcomes(trained), folder)
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_a_log_cut_short_by_a_kill_still_gives_a_report(tmp_path):
    run = untrained("F", tmp_path / "F")
    with (run.folder / "log.jsonl").open("a") as file:
        file.write(json.dumps({"nimg": 2000})[:-3])
    written = write_report([outcome("F", value=2.0, training=run)], tmp_path / "report")
    assert any(path.name.endswith("-losses.png") for path in written)


def test_a_log_without_losses_gets_no_empty_plot(tmp_path):
    run = untrained("F", tmp_path / "F")
    (run.folder / "log.jsonl").write_text(json.dumps({"nimg": 2000, "seconds": 9.0}) + "\n")
    written = write_report([outcome("F", value=2.0, training=run)], tmp_path / "report")
    assert not any(path.name.endswith("-losses.png") for path in written)


def test_markdown_shows_text_as_it_is():
    assert plain("fd_x | <b>*a*</b>\nb") == "fd\\_x \\| &lt;b&gt;\\*a\\*&lt;/b&gt; b"
