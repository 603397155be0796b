"""A changed file is noticed, a moved one is not."""

import os
import shutil

import pytest

from stylegan_eval.content import content_digest
from stylegan_eval.images import open_images


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
    index.write_text("[]")
    assert digest(folder) == first
    assert len(read) == 5
