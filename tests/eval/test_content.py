"""A changed file is noticed, a moved one is not."""

import os
import shutil
import zipfile

import pytest
from PIL import Image

from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


def digest(folder):
    with open_images(folder) as files:
        return content_digest(files)


def test_a_copy_of_a_folder_has_the_same_content(tmp_path, image_folder):
    folder = image_folder("a", 5)
    shutil.copytree(folder, tmp_path / "b")
    assert digest(folder) == digest(tmp_path / "b")


def test_a_changed_file_is_noticed_also_with_its_old_size_and_time(image_folder):
    folder = image_folder("a", 5)
    before = digest(folder)
    assert digest(folder) == before
    path = folder / "00003.png"
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert digest(folder) != before


def test_names_and_numbers_count(image_folder):
    folder = image_folder("a", 5)
    before = digest(folder)
    (folder / "00004.png").rename(folder / "z.png")
    renamed = digest(folder)
    (folder / "z.png").unlink()
    assert len({before, renamed, digest(folder)}) == 3


def test_files_are_read_once(tmp_path, image_folder, monkeypatch):
    folder = image_folder("a", 5)
    first = digest(folder)
    (index,) = (tmp_path / "cache" / "digests").iterdir()
    index.write_text(index.read_text().replace('"', '"'))
    read = []
    original = content_digest.__globals__["sha256_of"]
    monkeypatch.setitem(
        content_digest.__globals__, "sha256_of", lambda path: read.append(path) or original(path)
    )
    assert digest(folder) == first
    assert read == []
    for damage in ("[]", "", index.read_text()[:-9], index.read_text().replace("00003", "00009")):
        index.write_text(damage)
        read.clear()
        assert digest(folder) == first
        assert len(read) == 5


def test_without_a_cache_that_can_be_written_the_digest_is_the_same(
    tmp_path, image_folder, monkeypatch
):
    folder = image_folder("a", 5)
    first = digest(folder)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "file" / "cache"))
    assert digest(folder) == first


def test_a_change_right_after_reading_is_noticed(image_folder):
    """Within one tick of the clock of some file systems."""
    folder = image_folder("a", 3)
    path = folder / "00001.png"
    data = bytearray(path.read_bytes())
    seen = set()
    for turn in range(20):
        data[-20] = turn
        with path.open("r+b") as file:
            file.write(data)
        seen.add(digest(folder))
    assert len(seen) == 20


def test_files_that_change_while_they_are_used_are_refused(image_folder):
    folder = image_folder("a", 5)
    with open_images(folder) as files:
        path = folder / files.names[3]
        before = files.read(3)
        path.chmod(0o600)  # another time of change
        with pytest.raises(UserError, match=r"00003\.png: has changed since it was opened"):
            files.read(3)
        with pytest.raises(UserError, match=r"00003\.png: has changed since it was opened"):
            content_digest(files)
    with open_images(folder) as files:
        content_digest(files)
        path.chmod(0o644)
        assert (files.read(3) == before).all()  # the content is known
        status, data = path.stat(), bytearray(path.read_bytes())
        other = Image.fromarray(255 - before.transpose(1, 2, 0))
        other.save(path)
        with path.open("ab") as file:
            file.write(bytes(max(0, len(data) - path.stat().st_size)))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(UserError, match=r"00003\.png: has changed since it was opened"):
            files.read(3)
        assert files.read(2).shape == before.shape


def test_a_zip_that_is_replaced_while_it_is_used_is_refused(tmp_path, image_folder):
    """In place with entries of the same sizes, or under its name."""
    first, second = tmp_path / "1.zip", tmp_path / "2.zip"
    for path in (first, second):
        with zipfile.ZipFile(path, "w") as file:
            for name in "ab":
                image = Image.new("RGB", (96, 96), "red" if path == first else "blue")
                image.save(tmp_path / "x.bmp")
                file.write(tmp_path / "x.bmp", f"{name}.bmp")
    assert first.stat().st_size == second.stat().st_size
    kept = first.read_bytes()
    with open_images(first) as files:
        before = content_digest(files)
        assert files.read(0)[0].all()
        first.write_bytes(second.read_bytes())
        with pytest.raises(UserError, match=r"b\.bmp: cannot be read \(Bad CRC"):
            files.read(1)
        files.close()
        with pytest.raises(UserError, match=r"1\.zip: has changed since it was opened"):
            files.read(1)
    assert digest(first) == digest(second) != before
    first.write_bytes(kept)
    assert digest(first) == before
