"""Files are whole or absent."""

import hashlib

import pytest

from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write, sha256_of


def test_the_name_changes_only_when_the_block_succeeds(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text(f"second {1 / 0}")
    assert path.read_text() == "first"
    assert [each.name for each in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("name", ["file/x.txt", "file/deep/x.txt"])
def test_a_folder_that_cannot_be_made(tmp_path, name):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match="cannot write"), atomic_write(tmp_path / name):
        pass


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="cannot write"), atomic_write(tmp_path / "taken") as file:
        file.write_text("x")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_a_missing_input_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out"):
        (tmp_path / "elsewhere" / "input").read_text()


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()
