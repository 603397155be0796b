"""Images that a preparation leaves out: damaged, twice, changed meanwhile."""

import csv
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from stylegan.data import main
from stylegan.datasets import Choices, check, making
from stylegan.datasets.prepare import prepare
from stylegan.datasets.survey import Headers, make_plan, summary
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header
from stylegan_eval.images.files import open_images
from stylegan_eval.images.labels import label_size
from stylegan_eval.images.source import read_as
from tests.data.samples import (
    encoded,
    everything_below,
    noise,
    pngs,
    write_folder,
)


def damaged_and_twice(path):
    """Eight files: two are damaged, two have the pixels of another, one of them as a BMP."""
    files = pngs(4) | {"cut.png": encoded(noise(64, 64))[:3000], "text.png": b"text"}
    copy = encoded(noise(8, 8, 1), "BMP")
    return write_folder(path, files | {"001-again.bmp": copy, "zz.png": files["002.png"]})


def test_damaged_images_are_left_out_when_asked_and_listed(tmp_path):
    source = damaged_and_twice(tmp_path / "src")
    report = tmp_path / "report.csv"
    options = ["--skip-damaged", "--report", str(report)]
    done = CliRunner().invoke(main, ["prepare", str(source), str(tmp_path / "out.zip"), *options])
    assert done.exit_code == 0, done.output
    assert "  left out as damaged: 2, cut.png first (" in done.stdout
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert [row["file"] for row in rows if row["trouble"]] == ["cut.png", "text.png"]
    kept = [row["file"] for row in rows if not row["trouble"]]
    with open_images(tmp_path / "out.zip") as made, open_images(source) as files:
        assert len(made) == 6
        for index, name in enumerate(kept):
            np.testing.assert_array_equal(made.read(index), files.read(files.names.index(name)))


def test_images_with_the_same_pixels_are_told_and_dropped_when_asked(tmp_path):
    source = damaged_and_twice(tmp_path / "src")
    for option, count, line in (
        ("--no", 6, "2, 001.png of 001-again.bmp first: --drop-duplicates leaves them out\n"),
        ("--drop-duplicates", 4, "2, 001.png of 001-again.bmp first: left out\n"),
    ):
        out = tmp_path / f"{count}.zip"
        options = ["--skip-damaged", *([option] if option != "--no" else [])]
        done = CliRunner().invoke(main, ["prepare", str(source), str(out), *options])
        assert done.exit_code == 0, done.output
        assert f"  exact duplicates: {line}" in done.stdout
        with open_images(out) as made:
            pixels = {made.read(index).tobytes() for index in range(len(made))}
        assert (len(made), len(pixels)) == (count, 4)


def test_damaged_images_are_told_where_only_duplicates_are_dropped(tmp_path):
    source = damaged_and_twice(tmp_path / "src")
    options = ["--drop-duplicates"]
    done = CliRunner().invoke(main, ["prepare", str(source), str(tmp_path / "o.zip"), *options])
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert "cut.png" in done.stderr
    assert "or --skip-damaged" in done.stderr
    assert everything_below(tmp_path) == sorted(
        ["src", *(f"src/{p.name}" for p in source.iterdir())]
    )
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"text")
    options = ["--skip-damaged"]
    done = CliRunner().invoke(
        main, ["prepare", str(tmp_path / "bad"), str(tmp_path / "o.zip"), *options]
    )
    assert (done.exit_code, "no image can be read" in done.stderr) == (1, True)


def test_each_image_is_decoded_once_whatever_is_left_out(tmp_path, monkeypatch):
    source, decoded = damaged_and_twice(tmp_path / "src"), Counter()

    def counted(files, index, channels):
        decoded[files.names[index]] += 1
        return read_as(files, index, channels)

    monkeypatch.setattr(making, "read_as", counted)
    monkeypatch.setattr(check, "read_as", counted)
    choices = Choices(skip_damaged=True, drop_duplicates=True)
    prepare(source, tmp_path / "out.zip", choices, progress=False)
    headers_fail = {"text.png"}
    assert decoded == {p.name: 1 for p in source.iterdir() if p.name not in headers_fail}


def test_images_that_change_while_they_are_prepared_are_told(tmp_path, monkeypatch):
    """Without the smallest all are made again; then the next one cannot be read any more."""
    small = {"a.png": encoded(noise(4, 4)), "b.png": encoded(noise(8, 8))}
    source = write_folder(tmp_path / "src", pngs(2, 16) | small)
    seen = ["a.png"]

    def changed(files, index, channels):
        if (name := files.names[index]) in seen:
            raise UserError("no longer there")
        seen.extend([name] if name == "b.png" else [])
        return read_as(files, index, channels)

    monkeypatch.setattr(making, "read_as", changed)
    with pytest.raises(UserError, match="src: has changed since it was opened"):
        prepare(source, tmp_path / "a.zip", Choices(skip_damaged=True), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_a_report_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    source = write_folder(tmp_path / "src", pngs(2))
    for module in (making, check):
        monkeypatch.delattr(module, "read_as")
    choices = Choices(skip_damaged=True)
    with pytest.raises(UserError, match="it is a folder: name a file"):
        prepare(source, tmp_path / "a.zip", choices, report=source, progress=False)
    with pytest.raises(UserError, match="it is a folder: name a file"):
        check.check_set(source, choices, report=source, progress=False)


def test_what_is_left_out_decides_nothing(tmp_path):
    """The smallest image is damaged, the only one in colour too: as if they were not there."""
    grey = {f"{n}.png": encoded(noise(16, 16, n)[:, :, 0]) for n in range(3)}
    small = encoded(noise(4, 9))
    source = write_folder(tmp_path / "src", grey | {"cut.png": small[:80], "z.png": grey["1.png"]})
    choices = Choices(skip_damaged=True, drop_duplicates=True)
    report = tmp_path / "report.csv"
    made = prepare(source, tmp_path / "a.zip", choices, report=report, progress=False)
    assert (made.resolution, made.count, made.channels) == (16, 3, "channels: L, of 3 grey")
    assert [note.split(":")[0] for note in made.notes] == [
        "left out as damaged",
        "exact duplicates",
    ]
    clean = write_folder(tmp_path / "clean", grey)
    prepare(clean, tmp_path / "b.zip", progress=False)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert [row["file"] for row in rows if row["trouble"]] == ["cut.png"]


def test_no_larger_images_are_made_than_can_be_read_again():
    headers = Headers(1)
    headers[0] = Header(30000, 20000, "RGB")
    overview, source = summary(["a.png"], headers, range(1)), SimpleNamespace(kind="folder")
    for choices in (Choices(), Choices(pad="white")):
        assert make_plan(source, overview, choices).resolution == 8192
    with pytest.raises(UserError, match="16384: images of at most 8192x8192 can be read again"):
        make_plan(source, overview, Choices(resolution=16384))


def test_small_images_that_are_damaged_or_twice_count_as_that(tmp_path):
    files = pngs(3) | {"s.png": encoded(noise(4, 4)), "t.png": encoded(noise(4, 4))}
    source = write_folder(tmp_path / "src", files | {"u.png": encoded(noise(4, 9, 3))[:80]})
    choices = Choices(resolution=8, skip_damaged=True, drop_duplicates=True, skip_small=True)
    made = prepare(source, tmp_path / "a.zip", choices, progress=False)
    assert (made.count, made.skipped) == (3, 1)
    assert [note.split(",")[0] for note in made.notes] == [
        "left out as damaged: 1",
        "exact duplicates: 1",
    ]


def test_classes_that_lose_their_images_keep_their_names_and_are_told(tmp_path):
    sizes = {"ape/0.png": 8, "cat/0.png": 4, "dog/0.png": 8, "eel/0.png": 4}
    files = {name: encoded(noise(size, size)) for name, size in sizes.items()}
    out = tmp_path / "out.zip"
    options = ["--labels-from-folders", "--resolution", "8", "--skip-small"]
    source = write_folder(tmp_path / "src", files)
    done = CliRunner().invoke(main, ["prepare", str(source), str(out), *options])
    assert "  class 3: eel\n  without images: cat, eel\n" in done.stdout
    shown = CliRunner().invoke(main, ["inspect", str(out)])
    assert shown.stdout.count("without images: cat, eel\n") == 1
    with open_images(out) as files:
        assert (files.labels.tolist(), len(files.classes)) == ([0, 2], 4)
        assert label_size(files.labels, files.classes) == 4
