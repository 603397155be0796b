import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan.datasets.archive import image_name, write_archive
from stylegan_eval.engine.files import FolderTakenError, atomic_folder
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import open_images
from tests.data.samples import everything_below, noise


def read_by_the_rules_of_stylegan2_ada(path):
    """Images and labels as that project's dataset class reads a zip."""
    with zipfile.ZipFile(path) as file:
        names = sorted(n for n in file.namelist() if n.lower().endswith(".png"))
        images = []
        for name in names:
            with file.open(name) as stream:
                images.append(np.array(Image.open(stream)).transpose(2, 0, 1))
        labels = json.loads(file.read("dataset.json"))["labels"]
    if labels is not None:
        by_name = dict(labels)
        labels = np.array([by_name[name] for name in names])
        labels = labels.astype({1: np.int64, 2: np.float32}[labels.ndim])
    return np.stack(images), labels


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([3, 0, 1], np.array([3, 0, 1], dtype=np.int64)),
        ([np.int64(3), 0, 1], np.array([3, 0, 1], dtype=np.int64)),
        ([[0, 1], [1, 0], (0.25, 1)], np.array([[0, 1], [1, 0], [0.25, 1]], dtype=np.float32)),
        (list(np.eye(3, dtype=np.float32)), np.eye(3, dtype=np.float32)),
        ([None] * 3, None),
    ],
)
def test_a_zip_is_read_back_by_both_projects(tmp_path, labels, expected):
    images = [noise(8, 8, n) for n in range(3)]
    attributes = ["a", "b", "c"][: expected.shape[1]] if np.ndim(expected) == 2 else []
    out = tmp_path / "deep" / "er" / "x.zip"
    write_archive(out, zip(images, labels, strict=True), attributes=attributes)
    pixels = np.stack(images).transpose(0, 3, 1, 2)
    theirs, their_labels = read_by_the_rules_of_stylegan2_ada(out)
    np.testing.assert_array_equal(theirs, pixels)
    with open_images(out) as files:
        np.testing.assert_array_equal([files.read(n) for n in range(3)], pixels)
        assert files.attributes == tuple(attributes)
        for found in (files.labels, their_labels):
            np.testing.assert_equal(found, expected)
            assert getattr(found, "dtype", None) == getattr(expected, "dtype", None)


def test_names_and_packing_are_those_of_the_ada_tool(tmp_path):
    write_archive(tmp_path / "x.zip", ((noise(4, 4), None) for _ in range(2)))
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        names = [info.filename for info in file.infolist()]
        assert names == ["00000/img00000000.png", "00000/img00000001.png", "dataset.json"]
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
    assert image_name(70123) == "00070/img00070123.png"


def test_the_same_images_give_the_same_bytes(tmp_path):
    images = [(noise(8, 8, n), n) for n in range(3)]
    channels_first = [(image.transpose(2, 0, 1), label) for image, label in images]
    write_archive(tmp_path / "a.zip", images)
    write_archive(tmp_path / "b.zip", iter(channels_first))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_folder_holds_the_same_files(tmp_path):
    images = [(noise(8, 8, n), n) for n in range(3)]
    write_archive(tmp_path / "x.zip", images)
    write_archive(tmp_path / "x", images)
    with open_images(tmp_path / "x.zip") as zipped:
        folder = open_images(tmp_path / "x")
        assert folder.names == zipped.names
        assert folder.labels.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(folder.read(2), zipped.read(2))


@pytest.mark.parametrize("name", ["x.zip", "x"])
@pytest.mark.parametrize(
    "images",
    [
        [(noise(8, 8), 1), (noise(8, 8), None)],
        [(noise(8, 8), 1), (noise(8, 8), [1.0])],
        [(noise(8, 8), 1.5)],
        [(noise(8, 8), 1), (noise(8, 8)[..., :2], 1)],
        [(noise(8, 8), 1), (noise(8, 8).astype(float), 1)],
    ],
)
def test_a_failure_leaves_nothing(tmp_path, name, images):
    with pytest.raises(ValueError, match=r"labels must all be|expected uint8"):
        write_archive(tmp_path / name, images)
    assert everything_below(tmp_path) == []


def test_a_failure_leaves_the_former_zip(tmp_path):
    (tmp_path / "x.zip").write_text("former")
    with pytest.raises(ValueError, match="expected uint8"):
        write_archive(tmp_path / "x.zip", [(noise(8, 8)[0], 1)])
    assert (tmp_path / "x.zip").read_text() == "former"
    write_archive(tmp_path / "x.zip", [(noise(8, 8), 1)])
    assert zipfile.is_zipfile(tmp_path / "x.zip")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("name", ["/proc/none/x.zip", "/proc/none", "/proc/none/deeper/x"])
def test_a_place_that_cannot_be_written_is_named(name):
    with pytest.raises(UserError, match=f"cannot write {name}"):
        write_archive(Path(name), [(noise(8, 8), 1)])


def test_a_folder_with_content_is_not_replaced(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        write_archive(tmp_path / "x", [(noise(8, 8), 1)])
    assert everything_below(tmp_path) == ["x", "x/mine.txt"]


def test_of_two_that_build_one_folder_the_first_wins(tmp_path):
    target = tmp_path / "x"

    def build_late():
        with atomic_folder(target) as late:
            (late / "late").touch()
            with atomic_folder(target) as early:
                (early / "early").touch()

    with pytest.raises(FolderTakenError):
        build_late()
    assert everything_below(tmp_path) == ["x", "x/early"]
