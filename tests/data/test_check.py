"""The dry run, the report, export, and the round trip."""

import csv
import json
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.data import main
from stylegan.datasets.archive import encode_png
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from tests.data.samples import (
    dataset_json,
    encoded,
    everything_below,
    noise,
    pngs,
    write_folder,
    write_zip,
)
from tests.data.set_writers import celeba_list, rosinality, shard, write_lmdb, write_tar
from tests.data.test_archive import read_by_the_rules_of_stylegan2_ada
from tests.data.test_images import png_16_bit_rgb
from tests.data.tfrecord_writer import write_tfrecords


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- dry run


def test_a_dry_run_without_damaged_images_refuses_and_counts_as_the_run_does(tmp_path):
    files = {"0.png": b"cut", **pngs(3, 16), "grey.png": encoded(noise(16, 16)[:, :, 0])}
    source = write_folder(tmp_path / "src", files)
    args = ["prepare", source, tmp_path / "a.zip", "--resolution", 8, "--skip-damaged"]
    planned, made = run(*args, "--dry-run"), run(*args)
    assert planned.exit_code == made.exit_code == 0, planned.stderr
    for line in ("left out as damaged: 1, 0.png first", "channels: RGB, of 1 grey, 3 in colour"):
        assert line in planned.stdout
        assert line in made.stdout
    (source / "small.png").write_bytes(encoded(noise(4, 4)))
    planned, made = run(*args, "--dry-run"), run(*args[:2], tmp_path / "b.zip", *args[3:])
    assert planned.exit_code == made.exit_code == 1
    assert "small.png" in planned.stderr
    assert "small.png" in made.stderr


def test_a_dry_run_names_every_file_with_trouble_and_writes_only_the_report(tmp_path):
    files = pngs(3, 16)
    files |= {
        "cut.png": encoded(noise(64, 64))[:3000],
        "small.png": encoded(noise(4, 9)),
        "text.png": b"text",
    }
    source = write_folder(tmp_path / "src", files)
    done = run("prepare", source, "--dry-run", "--report", tmp_path / "r.csv", "--resolution", 8)
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {source}: 3 of 6 images cannot be used, cut.png first: damaged")
    assert line.endswith(f"see {tmp_path / 'r.csv'}")
    found = {row["file"]: row for row in rows(tmp_path / "r.csv")}
    assert list(found) == sorted(files)
    assert {name: int(row["bytes"]) for name, row in found.items()} == {
        name: len(data) for name, data in files.items()
    }
    assert (found["small.png"]["width"], found["small.png"]["height"]) == ("9", "4")
    assert found["small.png"]["trouble"] == "too small for 8"
    assert found["text.png"]["trouble"].startswith("not an image, or damaged from")
    assert [found[f"00{n}.png"]["trouble"] for n in range(3)] == [""] * 3
    assert [path for path in everything_below(tmp_path) if "/" not in path] == ["r.csv", "src"]


def test_a_dry_run_says_what_would_be_made(tmp_path):
    source = write_folder(tmp_path / "src", pngs(3, 16) | {"small.png": encoded(noise(8, 9))})
    done = run("prepare", source, tmp_path / "x.zip", "--dry-run", "--filter", "lanczos")
    assert done.exit_code == 0
    assert done.stderr.startswith(f"note: {source}: small.png is 9x8, so all images become 8x8;")
    assert done.stdout.splitlines() == [
        f"{source}: folder, all 4 images can be read",
        "  would make: 4 images of 8x8, crop centre, filter lanczos",
    ]
    assert everything_below(tmp_path) == [
        "src",
        *sorted(f"src/{n}" for n in [*pngs(3), "small.png"]),
    ]
    left_out = run("prepare", source, "--dry-run", "--resolution", 16, "--skip-small")
    assert "would make: 3 images of 16x16, crop centre, filter none" in left_out.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--report", "r.csv", "out.zip"], "--report is written by"),
        ([], "expected OUT"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(tmp_path, options, complaint):
    source = write_folder(tmp_path / "src", pngs(1))
    done = run("prepare", source, *options)
    assert done.exit_code == 2
    assert complaint in done.stderr


def test_prepare_says_kind_crop_filter_and_labels(tmp_path):
    images = [noise(16, 16, n).transpose(2, 0, 1) for n in range(3)]
    labels = np.array([[0.5, 1, 2]] * 3)
    source = write_tfrecords(tmp_path / "src", images, labels=labels)
    done = run("prepare", source, tmp_path / "x.zip", "--resolution", 8)
    assert done.stdout.splitlines() == [
        f"{tmp_path / 'x.zip'}: 3 images of 8x8",
        "  from TFRecords: crop centre, filter box",
        "  3 numbers in each label",
    ]


def test_inspect_tells_the_kind_and_what_must_be_prepared(tmp_path):
    values = rosinality([noise(16, 16, n) for n in range(2)])
    done = run("inspect", write_lmdb(tmp_path / "db", values))
    assert "(rosinality's LMDB)" in done.stdout
    assert "can be trained on as it is" in done.stdout
    names = [f"{n}.jpg" for n in range(2)]
    (tmp_path / "celeba").mkdir()
    files = {f"celeba/img/{name}": encoded(noise(16, 16), "JPEG") for name in names}
    write_folder(tmp_path, files | {"celeba/list_attr_celeba.txt": celeba_list(names).encode()})
    done = run("inspect", tmp_path / "celeba")
    assert "training reads no labels or layout of CelebA" in done.stdout


# --- export


def labelled(path, count=3):
    files = {f"{n}.png": encoded(noise(8, 8, n)) for n in range(count)}
    return write_zip(
        path, files | {"dataset.json": dataset_json([[n, k] for k, n in enumerate(files)])}
    )


def test_zip_to_folder_to_zip_keeps_every_digest(tmp_path):
    run("avatars", tmp_path / "a.zip", "--count", 4, "--resolution", 8, "--workers", 1)
    for source, out in (("a.zip", "b"), ("b", "c.zip"), ("c.zip", "d"), ("d", "e.zip")):
        done = run("export", tmp_path / source, tmp_path / out, "--layout", "stylegan2-ada")
        assert done.stderr == ""
        assert done.stdout == f"{tmp_path / out}: 4 images in the layout of stylegan2-ada\n"
    digests = set()
    for name in ("a.zip", "c.zip", "e.zip"):
        with open_images(tmp_path / name) as files:
            digests.add(files.digest)
    assert len(digests) == 1
    folders = {content_digest(open_images(tmp_path / name)) for name in "bd"}
    assert len(folders) == 1
    assert (tmp_path / "c.zip").read_bytes() == (tmp_path / "a.zip").read_bytes()


@pytest.mark.parametrize("out", ["out.zip", "out"])
def test_an_export_is_read_by_the_rules_of_stylegan2_ada(tmp_path, out):
    done = run("export", labelled(tmp_path / "x.zip"), tmp_path / out)
    assert done.exit_code == 0
    if out == "out":
        write_zip(tmp_path / "out.zip", {
            path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
            for path in (tmp_path / "out").rglob("*") if path.is_file()
        })  # fmt: skip
    images, labels = read_by_the_rules_of_stylegan2_ada(tmp_path / "out.zip")
    np.testing.assert_array_equal(images, [noise(8, 8, n).transpose(2, 0, 1) for n in range(3)])
    assert labels.tolist() == [0, 1, 2]


def test_an_export_copies_plain_png_and_makes_it_of_the_rest(tmp_path):
    plain = encoded(noise(8, 8), optimize=True)
    grey = noise(8, 8)[..., 0]
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by half
    turned = encoded(noise(8, 8, 2), exif=exif)
    deep = png_16_bit_rgb(noise(8, 8, 3).astype(np.uint16) * 257)
    files = {"a.png": plain, "b.png": encoded(grey), "c.png": turned, "d.png": deep}
    run("export", write_folder(tmp_path / "src", files), tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        assert file.read("00000/img00000000.png") == plain
        assert file.read("00000/img00000001.png") == encode_png(np.stack([grey] * 3))
        assert file.read("00000/img00000002.png") == encode_png(noise(8, 8, 2)[::-1, ::-1])
        assert file.read("00000/img00000003.png") == encode_png(noise(8, 8, 3))
        assert json.loads(file.read("dataset.json"))["labels"] is None


def test_shards_are_exported_with_their_classes(tmp_path):
    source = write_tar(tmp_path / "x.tar", shard(0, 5))
    run("export", source, tmp_path / "out.zip")
    with open_images(tmp_path / "out.zip") as files:
        assert files.labels.tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize("out", ["out.zip", "out"])
@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"x.png": encoded(noise(8, 9))}, "images differ in size"),
        ({"x.png": encoded(noise(8, 8))[:-30]}, "x.png: damaged or truncated"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(tmp_path, out, extra, complaint):
    source = write_folder(tmp_path / "src", pngs(2) | extra)
    (tmp_path / "target").mkdir()
    done = run("export", source, tmp_path / "target" / out)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert complaint in line
    assert everything_below(tmp_path / "target") == []
