"""Images and zips that cannot be read: each is named, with what is wrong."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import decode
from stylegan_eval.images.files import open_images
from tests.data.samples import BOMB, encoded, noise, pngs, write_folder, write_zip


def damaged_zip(path, change):
    """A zip of one image whose directory entry went through `change` before it was written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(10**6))
        change(file.infolist()[0])
    return path


def resized(entry, unpacked, packed):
    entry.file_size, entry.compress_size = unpacked, packed


def duplicated(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.png", encoded(noise(4, 4)))
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.png", encoded(noise(4, 4)))
    return path


def cut(path):
    write_zip(path, pngs(3))
    path.write_bytes(path.read_bytes()[:-40])
    return path


def text(path):
    path.write_text("PK? no")
    return path


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path, "does not exist"),
        (text, "neither a folder nor a zip"),
        (cut, "neither a folder nor a zip"),
        (lambda path: write_zip(path, {}), "no images"),
        (lambda path: write_zip(path, {"a.txt": b""}), "no images"),
        (lambda path: write_folder(path, {"a.txt": b""}), "no images"),
        (lambda path: write_folder(path, {"dataset.json": b"{}"}), "no images"),
        (duplicated, "a.png is there 2 times"),
        (lambda path: damaged_zip(path, lambda e: resized(e, 2**40, 2**40)), "1024.0 GiB"),
        (lambda path: damaged_zip(path, lambda e: resized(e, 10**8, 1000)), "100000 times"),
        (lambda path: damaged_zip(path, lambda e: setattr(e, "flag_bits", 1)), "a.png: encrypted"),
        (lambda path: write_zip(path, pngs(1), zipfile.ZIP_LZMA), "unusual method"),
    ],
)
def test_what_cannot_be_opened_is_named(tmp_path, make, complaint):
    source = make(tmp_path / "source")
    with pytest.raises(UserError, match=complaint) as error:
        open_images(source)
    assert str(source) in str(error.value)


GOOD = encoded(noise(64, 64))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "not an image"),
        (b"plain text", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (GOOD[: len(GOOD) // 2], "damaged or truncated"),
        (GOOD[:20], "not an image"),
        (encoded(noise(64, 64), "JPEG")[:900], "damaged or truncated"),
        (BOMB, "too many pixels"),
        (encoded(np.zeros((4, 4), dtype=np.float32), "TIFF"), "float pixels"),
        (encoded(np.full((4, 4), 10**6, dtype=np.int32), "TIFF"), "32-bit pixels"),
        (encoded(np.full((4, 4), 200, dtype=np.int32), "TIFF"), "signed or 32-bit pixels"),
    ],
)
def test_what_cannot_be_decoded_is_named_with_its_entry(tmp_path, data, complaint):
    files = {"a/bad.png": data}
    for source in (write_folder(tmp_path / "f", files), write_zip(tmp_path / "f.zip", files)):
        with open_images(source) as found:
            with pytest.raises(UserError, match=complaint) as error:
                found.read(0)
            assert str(error.value).startswith(f"{source}: a/bad.png: ")
            assert "\n" not in str(error.value)


def test_too_many_pixels_are_refused_also_where_pillow_would_not(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UserError, match="x: too many pixels"):
        decode(BOMB, "x")


def test_a_zip_entry_with_a_wrong_checksum_is_named(tmp_path):
    source = write_zip(tmp_path / "x.zip", {"a.png": GOOD})
    data = bytearray(source.read_bytes())
    data[200] ^= 255
    source.write_bytes(data)
    with open_images(source) as files, pytest.raises(UserError, match=r"a\.png: cannot be read"):
        files.read(0)


def test_a_zip_entry_that_hides_its_size_is_not_expanded(tmp_path):
    source = damaged_zip(tmp_path / "x.zip", lambda entry: setattr(entry, "file_size", 100))
    with open_images(source) as files, pytest.raises(UserError, match=r"a\.png: cannot be read"):
        files.read(0)


@pytest.mark.parametrize("target", ["absent/x.png", "x.png"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, target):
    folder = write_folder(tmp_path / "f", pngs(2))
    (folder / "x.png").symlink_to(target)
    with pytest.raises(UserError, match=r"x\.png: cannot be read \(.*\): mend or remove the link$"):
        open_images(folder)
    (folder / "x.png").unlink()
    (folder / "x.txt").symlink_to(target)  # no image, wherever it leads
    assert len(open_images(folder)) == 2


def test_a_file_that_vanished_is_named(tmp_path):
    files = open_images(write_folder(tmp_path, pngs(1)))
    (tmp_path / "000.png").unlink()
    with pytest.raises(UserError, match=r"000\.png: cannot be read"):
        files.read(0)
    with pytest.raises(UserError, match=r"000\.png: cannot be read"):
        files.header(0)


def test_headers_are_read_without_decoding(tmp_path):
    cut_short = io.BytesIO(GOOD[:200]).getvalue()
    files = open_images(write_folder(tmp_path, {"a.png": cut_short}))
    assert files.header(0) == (64, 64, "RGB")
