import os
import sys
import tarfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stylegan.data import main
from stylegan.datasets import Choices
from stylegan.datasets.prepare import prepare
from stylegan.datasets.resize import area_mean, cropped, fits
from stylegan.datasets.sources import open_source
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from tests.data.samples import dataset_json, encoded, everything_below, noise, pngs, write_folder
from tests.data.set_writers import (
    celeba_list,
    rosinality,
    shard,
    tar_member,
    write_lmdb,
    write_tar,
)
from tests.data.tfrecord_writer import write_tfrecords


def chw(image):
    return image.transpose(2, 0, 1)


def pixels(source):
    return [source.read(index) for index in range(len(source))]


# --- LMDB


def test_rosinality_s_largest_size_is_read(tmp_path):
    images = [noise(16, 16, n) for n in range(12)]
    source = open_source(write_lmdb(tmp_path / "db", rosinality(images)))
    assert (source.kind, len(source), source.names[10]) == ("rosinality's LMDB", 12, "16-00010")
    assert source.header(3) == (16, 16, "RGB")
    np.testing.assert_array_equal(pixels(source), [chw(image) for image in images])
    source.close()
    assert everything_below(tmp_path / "db") == ["data.mdb"]


def test_lsun_s_images_come_in_the_order_of_the_keys_with_any_names(tmp_path):
    keys = [b"b", b"a", b"\xff\x00"]
    values = {key: encoded(noise(8, 9, n)) for n, key in enumerate(keys)}
    source = open_source(write_lmdb(tmp_path / "db", values) / "data.mdb")
    assert (source.kind, source.names) == ("LSUN's LMDB", ("a", "b", "ff00"))
    np.testing.assert_array_equal(source.read(1), chw(noise(8, 9, 0)))
    source.close()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({b"length": b"13"}, r"16-00012 is missing, of 13"),
        ({b"length": b"many"}, r"length is 'many'"),
        ({b"length": b"0"}, r"length is '0'"),
        ({b"length": b"99999999999999999999999999"}, r"length is '99999999999999999999'"),
    ],
)
def test_a_database_that_does_not_add_up_is_refused(tmp_path, change, complaint):
    values = rosinality([noise(16, 16, n) for n in range(12)]) | change
    with pytest.raises(UserError, match=complaint):
        open_source(write_lmdb(tmp_path / "db", values))


# --- tars


@pytest.mark.parametrize("label", [".cls", ".json"])
@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_shards_are_one_set_in_the_order_of_their_names(tmp_path, label, tar_format):
    for number in (1, 0):
        members = shard(4 * number, 4, label=label)
        write_tar(tmp_path / f"shard-{number}.tar", members, tar_format)
    source = open_source(tmp_path)
    assert (source.kind, source.names[5]) == ("WebDataset", "shard-1.tar/000005.png")
    assert source.labels.tolist() == [n % 3 for n in range(8)]
    np.testing.assert_array_equal(pixels(source), [chw(noise(8, 8, n)) for n in range(8)])
    source.close()


def test_samples_without_labels_and_long_names_are_read(tmp_path):
    long = "d/" * 60 + "x" * 120
    names = [f"{long}/a.png", "a.png", "b.PNG"]
    members = [tar_member(name, encoded(noise(8, 8))) for name in names]
    source = open_source(
        write_tar(tmp_path / "x.tar", [*members, tar_member("d", b"", tarfile.DIRTYPE)])
    )
    assert source.labels is None
    assert len(source) == 3
    source.close()


@pytest.mark.parametrize("name", ["x.tar", "x.tfrecords", "x.zip", "x"])
def test_what_does_not_exist_is_said_to_be_so(tmp_path, name):
    with pytest.raises(UserError, match=f"{name} does not exist"):
        open_source(tmp_path / name)


def test_a_tar_among_images_is_no_data_set(tmp_path):
    write_tar(tmp_path / "backup.tar", shard(0, 2))
    assert open_source(write_folder(tmp_path, pngs(3))).kind == "folder"


# --- folders


def test_celeba_has_its_attributes_and_the_official_crop(tmp_path):
    names = [f"{n + 1:06d}.jpg" for n in range(5)]
    images = [noise(218, 178, n) for n in range(5)]
    # The aligned images are handed around as PNG too; the list names the JPEGs.
    files = {f"img_align_celeba/{n + 1:06d}.png": encoded(im) for n, im in enumerate(images)}
    files["Anno/list_attr_celeba.txt"] = celeba_list(names).encode()
    source = write_folder(tmp_path / "celeba", files)
    made = prepare(source, tmp_path / "out.zip", progress=False)
    assert (made.kind, made.crop, made.resolution, made.filter) == ("CelebA", "celeba", 128, None)
    with open_images(tmp_path / "out.zip") as found:
        assert found.attributes == tuple(f"Attribute_{k}" for k in range(40))
        numbers = (found.labels * 2 ** np.arange(40)).sum(axis=1)
        np.testing.assert_array_equal(numbers, range(5))
        # 64 pixels to each side of (89, 121).
        np.testing.assert_array_equal(found.read(2), chw(images[2][57:185, 25:153]))


def test_celeba_s_list_may_be_a_table_with_commas(tmp_path):
    text = "image_id,Bald,Male\n000001.jpg,-1,1\n000002.jpg,1,-1\n"
    files = {f"img/00000{n}.jpg": encoded(noise(16, 16), "JPEG") for n in (1, 2)}
    files["list_attr_celeba.csv"] = text.encode()
    source = open_source(write_folder(tmp_path, files))
    assert source.labels.tolist() == [[0, 1], [1, 0]]
    assert source.attributes == ("Bald", "Male")
    source.close()


def test_celeba_hq_keeps_its_whole_images(tmp_path):
    files = {f"CelebA-HQ-img/{n}.jpg": encoded(noise(16, 16, n), "JPEG") for n in range(3)}
    # A segmentation is an image, but none of the set.
    files["CelebAMask-HQ-mask-anno/0/00000_hair.png"] = encoded(noise(16, 16))
    listed = celeba_list([f"{n}.jpg" for n in range(3)])
    files["CelebAMask-HQ-attribute-anno.txt"] = listed.encode()
    made = prepare(write_folder(tmp_path / "hq", files), tmp_path / "out.zip", progress=False)
    assert (made.kind, made.crop, made.resolution, made.count) == ("CelebA-HQ", "centre", 16, 3)
    assert made.numbers == 40


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: text.replace("000002.jpg", "000009.jpg"), "has no line for 000002.jpg"),
        (lambda text: text.replace("3\n", "4\n", 1), "says it has 4 images, has 3"),
        (lambda text: text.replace(" -1", " nan", 1), "expected a name and 40 times"),
        (lambda text: text[:-10], "expected a name and 40 times"),
        (lambda text: "", "names 0 attributes"),
    ],
)
def test_a_list_of_attributes_that_does_not_fit_is_refused(tmp_path, change, complaint):
    names = [f"{n + 1:06d}.jpg" for n in range(3)]
    files = {f"img/{name}": encoded(noise(8, 8), "JPEG") for name in names}
    files["list_attr_celeba.txt"] = change(celeba_list(names)).encode()
    with pytest.raises(UserError, match=complaint):
        open_source(write_folder(tmp_path, files))


def test_of_ffhq_the_large_images_are_taken_not_the_thumbnails(tmp_path):
    files = {f"thumbnails128x128/{n:05d}.png": encoded(noise(8, 8, n)) for n in range(2)}
    files |= {f"images1024x1024/0{n}000/0{n}000.png": encoded(noise(32, 32, n)) for n in range(2)}
    source = open_source(write_folder(tmp_path / "ffhq", files))
    assert (source.kind, source.labels) == ("FFHQ", None)
    np.testing.assert_array_equal(pixels(source), [chw(noise(32, 32, n)) for n in range(2)])
    thumbnails = {name: data for name, data in files.items() if name.startswith("thumb")}
    small = open_source(write_folder(tmp_path / "small", thumbnails))
    assert small.header(0) == (8, 8, "RGB")


def test_an_ada_folder_keeps_its_labels_unless_folders_are_asked_for(tmp_path):
    files = {f"{'ab'[n % 2]}/{n}.png": encoded(noise(8, 8, n)) for n in range(4)}
    labels = dataset_json([[name, 7] for name in files])
    source = write_folder(tmp_path, files | {"dataset.json": labels})
    assert open_source(source).labels.tolist() == [7] * 4
    classes = open_source(source, folder_classes=True)
    assert (classes.labels.tolist(), classes.classes) == ([0, 0, 1, 1], ("a", "b"))


def test_classes_of_folders_are_refused_where_there_are_none(tmp_path):
    source = write_tfrecords(tmp_path, [chw(noise(8, 8))])
    with pytest.raises(UserError, match="is TFRecords, which has no sub-folders"):
        open_source(source, folder_classes=True)


# --- packages that are not installed


@pytest.mark.parametrize("package", ["lmdb", "google_crc32c"])
def test_a_package_that_is_missing_is_named_with_what_installs_it(tmp_path, monkeypatch, package):
    sources = {
        "lmdb": write_lmdb(tmp_path / "db", {b"a": encoded(noise(8, 8))}),
        "google_crc32c": write_tfrecords(tmp_path / "records", [chw(noise(8, 8))]),
    }
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r'pip install "\.\[datasets\]"'):
        open_source(sources[package])


# --- crops


def wide_as_the_official_tool(image, width, height):
    """uint8 [H, W, 3] ; None where that tool leaves it out."""
    rows = int(np.round(width * image.shape[0] / image.shape[1]))
    if image.shape[1] < width or rows < height:
        return None
    strip = image[(image.shape[0] - rows) // 2 : (image.shape[0] + rows) // 2]
    small = Image.fromarray(strip).resize((width, height), Image.Resampling.LANCZOS)
    canvas = np.zeros((width, width, 3), np.uint8)
    canvas[(width - height) // 2 : (width + height) // 2] = np.asarray(small)
    return canvas


@pytest.mark.parametrize(
    ("height", "width"), [(24, 32), (48, 64), (50, 64), (37, 41), (32, 32), (23, 32), (24, 31)]
)
def test_wide_images_are_those_of_the_official_tool(height, width):
    image = noise(height, width) // 4 + 100  # no overshoot is cut off between two passes
    expected = wide_as_the_official_tool(image, 32, 24)
    assert fits("lsun-wide", width, height, 32) == (expected is not None)
    if expected is not None:
        found = cropped(chw(image), "lsun-wide", 32, "lanczos").astype(int)
        # The official tool rounds after each of two passes.
        assert np.abs(found - chw(expected)).max() <= 1
        assert (found[:, :4] == 0).all()
        assert (found[:, -4:] == 0).all()


def test_wide_cars_leave_out_what_is_too_small(tmp_path):
    values = {
        b"a": encoded(noise(48, 64)),
        b"b": encoded(noise(10, 64)),
        b"c": encoded(noise(30, 32)),
    }
    source = write_lmdb(tmp_path / "car_lmdb", values)
    choices = Choices(resolution=32, crop="lsun-wide")
    made = prepare(source, tmp_path / "out.zip", choices, progress=False)
    assert (made.count, made.skipped, made.filter) == (2, 1, "box")
    assert made.lines(tmp_path)[2] == "  left out as too small: 1"


def test_small_images_are_left_out_when_asked(tmp_path):
    files = pngs(3, 16) | {"009.png": encoded(noise(2, 9)), "010.png": encoded(noise(8, 9))}
    labels = dataset_json([[name, n] for n, name in enumerate(files)])
    source = write_folder(tmp_path / "src", files | {"dataset.json": labels})
    choices = Choices(resolution=16, skip_small=True)
    assert prepare(source, tmp_path / "a.zip", choices, progress=False).skipped == 2
    with open_images(tmp_path / "a.zip") as found:
        assert found.labels.tolist() == [0, 1, 2]
    made = prepare(source, tmp_path / "b.zip", Choices(skip_small=True), progress=False)
    assert (made.resolution, made.count) == (8, 4)
    with open_images(tmp_path / "b.zip") as found:
        np.testing.assert_array_equal(
            found.read(0), np.rint(area_mean(chw(noise(16, 16, 0)), 8, 8))
        )


# --- what decides whether a preparation that was killed goes on


@pytest.mark.parametrize("kind", ["folder", "tar", "LMDB"])
def test_a_change_that_keeps_size_and_time_is_another_digest(tmp_path, kind):
    if kind == "folder":
        place = write_folder(tmp_path / "x", pngs(2))
        file = place / "001.png"
    elif kind == "tar":
        file = place = write_tar(
            tmp_path / "x.tar", [tar_member(name, data) for name, data in pngs(2).items()]
        )
    else:
        place = write_lmdb(tmp_path / "db", rosinality([noise(16, 16, n) for n in range(2)]))
        file = place / "data.mdb"

    def digest():
        source = open_source(place)
        source.close()
        return source.digest, sorted(source.stamps.items())

    before = digest()
    assert digest() == before
    status = file.stat()
    with file.open("r+b") as stream:
        stream.write(stream.read(1))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest() != before


def test_a_tar_that_changes_while_it_is_read_is_refused(tmp_path):
    path = write_tar(tmp_path / "x.tar", [tar_member(name, data) for name, data in pngs(2).items()])
    source = open_source(path)
    source.read(0)
    write_tar(path, [tar_member(name, pngs(3)["002.png"]) for name in pngs(2)])
    with pytest.raises(UserError, match="has changed since it was opened"):
        source.read(1)


# --- names


def test_folders_of_one_name_in_two_forms_of_unicode_are_refused(tmp_path):
    files = {f"{name}/0.png": encoded(noise(8, 8)) for name in ("caf\xe9", "cafe\u0301")}
    with pytest.raises(UserError, match=r"'cafe\\u0301' and 'caf\\xe9' have one name in two forms"):
        open_source(write_folder(tmp_path, files), folder_classes=True)
    labels = dataset_json([["0.png", 0]], class_names=["caf\xe9", "cafe\u0301"])
    source = write_folder(tmp_path / "b", {"0.png": encoded(noise(8, 8)), "dataset.json": labels})
    with pytest.raises(UserError, match=r"are one name in two forms of Unicode: rename one"):
        open_source(source)


def test_names_with_ends_of_lines_stay_in_their_lines(tmp_path):
    files = {"a\nb/1\t.png": encoded(noise(4, 4)), "c/2.png": encoded(noise(8, 8))}
    source = write_folder(tmp_path / "x", files)
    choices = Choices(resolution=8)
    with pytest.raises(UserError, match=r"a\\nb/1\\t.png is only 4 pixels"):
        prepare(source, tmp_path / "out.zip", choices, progress=False)
    made = prepare(source, tmp_path / "out.zip", labels="folders", progress=False)
    assert "  class 0: a\\nb" in made.lines(tmp_path / "out.zip")
    done = CliRunner().invoke(main, ["inspect", str(tmp_path / "out.zip")])
    assert "  class 0 a\\nb " in done.stdout
