"""Sets of images in other forms than a folder: the numbers are those of the folder."""

import gzip
import json

import numpy as np
import pytest
from click.testing import CliRunner

import stylegan_eval as se
from stylegan.data import main as data_commands
from stylegan.datasets.pyramid import open_pyramid
from stylegan_eval.cli import main
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images
from tests.data.samples import encoded
from tests.data.set_writers import tar_member, write_lmdb, write_parquet, write_tar
from tests.data.tfrecord_writer import write_tfrecords

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


def pixels_of(folder):
    with open_images(folder) as files:
        return [np.array(files.read(number)) for number in range(len(files))]


def png(image):
    return encoded(np.ascontiguousarray(image.transpose(1, 2, 0)))


def as_tar(folder, images):
    members = [tar_member(f"{k:03d}.png", png(image)) for k, image in enumerate(images)]
    return write_tar(folder / "x.tar", members)


def as_packed_tar(folder, images):
    packed = folder / "x.tgz"
    packed.write_bytes(gzip.compress(as_tar(folder, images).read_bytes()))
    return packed


def as_lmdb(folder, images):
    return write_lmdb(folder / "db", {b"%03d" % k: png(image) for k, image in enumerate(images)})


def as_parquet(folder, images):
    """Two files, as the hub divides a set."""
    (folder / "hub").mkdir()
    for part in range(2):
        file = folder / f"hub/train-{part:05d}-of-00002.parquet"
        write_parquet(file, list(map(png, images[6 * part : 6 * part + 6])), rows=4)
    return folder / "hub"


MAKERS = {
    "tar": as_tar,
    "tgz": as_packed_tar,
    "LMDB": as_lmdb,
    "TFRecords": lambda folder, images: write_tfrecords(folder / "records", images),
    "parquet": as_parquet,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_metrics_and_training_read_it_as_they_read_the_folder(image_folder, tmp_path, make):
    fakes, reals = image_folder("fakes", 12, seed=1), image_folder("reals", 12)
    expected = se.kid(fakes, reals, **LITE).value
    generated, real = make(tmp_path, pixels_of(fakes)), reals
    assert se.kid(generated, real, **LITE).value == expected
    assert se.kid(real, generated, **LITE).value == se.kid(reals, fakes, **LITE).value
    words = ["kid", "--images", generated, "--data", real, "--json", "-n", 5, "--subset-size", 5]
    words += ["--features", "efficientnet-lite0", "--device", "cpu"]
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)["results"]
    assert row["value"] == se.kid(fakes, reals, num=5, subset_size=5, **LITE).value
    pyramid = open_pyramid(generated, progress=False)
    assert np.array_equal(pyramid.read(0, np.arange(12)), np.stack(pixels_of(fakes)))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_its_digest_is_of_the_content(image_folder, tmp_path, make):
    images = pixels_of(image_folder("fakes", 12))
    places = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        places.append(make(tmp_path / name, images if name != "c" else images[::-1]))
    digests = []
    for place in places:
        with open_images(place) as files:
            digests.append(content_digest(files))
    if make is not as_packed_tar:  # a gzip holds the time of its making
        assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_the_hubs_classes_are_those_of_its_schema(image_folder, tmp_path):
    images = list(map(png, pixels_of(image_folder("fakes", 4))))
    features = {
        "picture": {"_type": "Image"},
        "thumbnail": {"_type": "Image"},
        "kind": {"_type": "ClassLabel", "names": ["cat", "dog"]},
    }
    columns = {"thumbnail": images[::-1], "picture": images, "kind": [1, 0, 1, 1], "label": [9] * 4}
    file = write_parquet(tmp_path / "x.parquet", images, features=features, **columns)
    with open_images(file) as files:
        assert files.labels.tolist() == [1, 0, 1, 1]
        assert files.classes == ("cat", "dog")
    done = CliRunner().invoke(data_commands, ["inspect", str(file)])
    assert "images are taken from the column thumbnail, not picture" in done.stderr
    file = write_parquet(tmp_path / "x.parquet", images, labels=[0, 2, 1, 0])
    with open_images(file) as files:
        assert files.labels.tolist() == [0, 2, 1, 0]
    file = write_parquet(tmp_path / "x.parquet", images, labels=[-1] * 4)
    with open_images(file) as files:
        assert files.labels is None


def test_the_second_array_of_a_batch_has_the_classes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "x.npz", pixels, np.array([0, 1, 2, 0, 1, 2]))
    assert open_pyramid(tmp_path / "x.npz", progress=False).labels.tolist() == [0, 1, 2, 0, 1, 2]
    np.savez(tmp_path / "x.npz", pixels, np.array([0, 1]))
    with pytest.raises(UserError, match=r"6 images in arr_0 and labels \[2\] in arr_1: give as"):
        open_pyramid(tmp_path / "x.npz", progress=False)


def test_one_database_cannot_be_on_both_sides(image_folder, tmp_path):
    place = as_lmdb(tmp_path, pixels_of(image_folder("fakes", 4)))
    with pytest.raises(UserError, match="an LMDB cannot be on both sides: make a zip"):
        se.kid(place, place, **LITE)


def opened_names(path):
    with open_images(path) as files:
        return sorted(name.partition("/")[2] for name in files.names), files.labels


def test_of_a_tar_the_same_members_are_images_as_of_its_folder(tmp_path):
    """What is hidden is none, what has a dot in its name is one."""
    image = encoded(np.zeros((8, 8, 3), np.uint8))
    names = ["./a.png", "b/psi0.50.png", "b/psi0.70.png", "b/Dr. No 4.png", "c.final.png"]
    hidden = [".ipynb_checkpoints/a.png", "__MACOSX/b/._a.png", "b/.thumbs/a.png", "b/.x.png"]
    members = [tar_member(name, image) for name in [*names, *hidden, "a.mask.png"]]
    members += [tar_member(f"b/psi0.{k}.cls", b"1") for k in (50, 70)]
    labelled = [tar_member(f"{key}.cls", b"0") for key in ("a", "b/Dr. No 4", "c")]
    found, labels = opened_names(write_tar(tmp_path / "x.tar", members + labelled))
    assert found == sorted(names)
    assert labels.sum() == 2

    # A sample that lacks its image has no other one in its mask.
    holes = [tar_member(name, image) for name in ("1.png", "1.mask.png", "2.mask.png", "3.png")]
    unknown = [tar_member(f"4.{field}.png", image) for field in ("a", "b")]
    assert opened_names(write_tar(tmp_path / "holes.tar", holes + unknown))[0] == ["1.png", "3.png"]

    fields = [tar_member(f"{k}.{field}.png", image) for k in range(2) for field in ("rgb", "depth")]
    with pytest.raises(UserError, match=r"0.rgb.png and 0.depth.png are of one sample: call its"):
        open_images(write_tar(tmp_path / "fields.tar", fields))
    with pytest.raises(UserError, match=r"no images; left out: 1 .mp4"):
        open_images(write_tar(tmp_path / "film.tar", [tar_member("a.mp4", b"a film")]))


ODD_LABELS = {
    "a word": ("x.tar", lambda images: tar_of(images, {"000.json": b'{"label": "cat"}'})),
    "boxes": ("x.tar", lambda images: tar_of(images, {"000.json": b"[[0, 0, 5, 5]]"})),
    "of some": ("x.tar", lambda images: tar_of(images, {"000.cls": b"1"})),
    "another tool's": ("x.tar", lambda images: tar_of(images, {"d.json": b" " * 2**21 + b"{}"})),
    "dataset.json": (
        "set",
        lambda images: {
            **{f"{k}.png": png(image) for k, image in enumerate(images)},
            "dataset.json": b'{"labels": {"background": 0, "tumor": 1}}',
        },
    ),
}


def tar_of(images, others):
    members = [tar_member(f"{k:03d}.png", png(image)) for k, image in enumerate(images)]
    return members + [tar_member(*other) for other in others.items()]


@pytest.mark.parametrize("name", ODD_LABELS)
def test_labels_that_cannot_be_used_stop_training_alone(image_folder, tmp_path, name):
    reals = image_folder("reals", 6)
    images, (place, make) = pixels_of(reals), ODD_LABELS[name]
    if place.endswith(".tar"):
        path = write_tar(tmp_path / place, make(images))
    else:
        path = tmp_path / place
        path.mkdir()
        for file, data in make(images).items():
            (path / file).write_bytes(data)
    assert se.fid(path, reals, **LITE).value == pytest.approx(0, abs=1e-3)
    with pytest.raises(UserError, match=str(path)) as caught:
        open_images(path)
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(data_commands, ["prepare", str(path), str(tmp_path / "out.zip")])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "out.zip").exists()


def test_classes_that_the_hub_lacks_in_part_stop_training_alone(image_folder, tmp_path):
    reals = image_folder("reals", 6)
    data = list(map(png, pixels_of(reals)))
    path = write_parquet(tmp_path / "x.parquet", data, labels=[0, 1, -1, 0, 1, 0])
    assert se.fid(path, reals, **LITE).value == pytest.approx(0, abs=1e-3)
    with pytest.raises(UserError, match="label: classes must be whole numbers from 0 on"):
        open_images(path)
