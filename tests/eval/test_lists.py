"""Lists of paths instead of a folder."""

import json
import os
import sys

import pytest

import stylegan_eval as se
from stylegan_eval.errors import UserError
from stylegan_eval.images.content import content_digest
from stylegan_eval.images.files import open_images, open_list
from tests import starting

LITE = {"features": "efficientnet-lite0", "device": "cpu"}


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folders(image_folder):
    return image_folder("fakes", 6, seed=1), image_folder("reals", 6)


def test_a_list_of_a_folders_files_is_that_folder(folders, tmp_path):
    fakes, reals = folders
    names = sorted(path.name for path in fakes.iterdir())
    inside = fakes / "all.txt"
    inside.write_text("\r\n".join(reversed(names)) + "\n\n")
    with open_list(inside) as listed, open_images(fakes) as folder:
        assert listed.names == folder.names
        assert content_digest(listed) == content_digest(folder)
    outside = tmp_path / "some.TXT"
    outside.write_text(f"fakes/{names[0]}\nreals/../fakes/{names[1]}\n{fakes / names[2]}\n")
    with open_list(outside) as listed:
        assert len(listed) == 3
    assert se.kid(inside, reals, **LITE).value == se.kid(fakes, reals, **LITE).value


def test_a_list_is_read_from_standard_input(folders, tmp_path):
    fakes, reals = folders
    command = [sys.executable, "-m", "stylegan_eval", "kid", "--images", "-", "--data", str(reals)]
    command += ["--json", "--features", "efficientnet-lite0", "--device", "cpu"]
    text = "".join(f"fakes/{path.name}\n" for path in fakes.iterdir())
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # as this process: more round otherwise
    done = starting.run(
        command, input=text, capture_output=True, text=True, cwd=tmp_path, env=one_thread
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["results"]
    assert row["value"] == se.kid(fakes, reals, **LITE).value


BAD = {
    "a missing file": (b"00.png\nnone.png\n", r"line 2: 'none.png' is no file; .* from /"),
    "a folder": (b".\n", r"line 1: '.' is no file"),
    "binary": (b"\x89PNG\0\0\0", r"line 1: .* is no file"),
    "nothing": (b"\n \n", "no images"),
    "twice": (b"a.png\na.png\n", "a.png is there 2 times"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_list_is_told_in_one_line(name, folders):
    fakes, reals = folders
    content, message = BAD[name]
    first = min(fakes.iterdir())
    for copy in ("00.png", "a.png"):
        (fakes / copy).write_bytes(first.read_bytes())
    (fakes / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=message) as told:
        se.kid(fakes / "list.txt", reals, **LITE)
    assert str(told.value).isprintable()
    assert "list.txt" in str(told.value)


def test_a_list_that_is_not_there_and_one_for_two_are_told(folders):
    with pytest.raises(UserError, match=r"no.txt does not exist; expected images: a folder"):
        se.kid(folders[0] / "no.txt", folders[1], **LITE)
    with pytest.raises(UserError, match="fake and real are both -: write one of the lists"):
        se.kid("-", "-", **LITE)
