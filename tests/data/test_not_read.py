"""No output of `stylegan-data` lies among the images that are read."""

from pathlib import Path

import pytest

from stylegan.datasets.prepare import check_not_read
from stylegan_eval.errors import UserError
from tests.data.samples import everything_below, pngs, write_folder, write_zip
from tests.data.test_cli import assert_one_error_line, run


def test_no_output_becomes_an_image_of_its_source(tmp_path, monkeypatch):
    """What is written into a folder that is read with its sub-folders is read the next time."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", pngs(3, 32))
    (tmp_path / "link").symlink_to("photos")
    source = write_zip(tmp_path / "x.zip", pngs(3, 32))
    before = everything_below(tmp_path)
    inside = "and all images there are read: name a place outside of it"
    for out in ("photos", "photos/small", "link/deep/small", "x/../photos/small"):
        assert_one_error_line(run("prepare", "photos", out), inside)
        assert_one_error_line(run("prepare", "link", out), inside)
        assert_one_error_line(run("export", "photos", out), inside)
    for sheet in ("photos/sheet.png", "link/000.png"):
        assert_one_error_line(run("prepare", "photos", "out.zip", "--sheet", sheet), inside)
    assert everything_below(tmp_path) == before
    # What is hidden is not read; of FFHQ one folder is, of a container no file beside it.
    write_folder(tmp_path / "ffhq" / "images1024x1024", pngs(3, 32))
    (tmp_path / "lmdb").mkdir()
    (tmp_path / "lmdb" / "data.mdb").write_bytes(b"")
    for out in ("photos/.cache/run", "ffhq/small", "lmdb/run"):
        check_not_read(Path(out), out.partition("/")[0])
    with pytest.raises(UserError, match="ffhq/images1024x1024/small lies in"):
        check_not_read(Path("ffhq/images1024x1024/small"), "ffhq")
    # Beside it, and a zip, which is no image.
    for out, sheet in (("photos/../photos-16", "sheet.png"), ("photos/x.zip", "photos.png")):
        made = run("prepare", "photos", out, "--resolution", 16, "--sheet", sheet)
        assert made.exit_code == 0, made.output
    assert "images:   3" in run("inspect", "photos").stdout
    assert run("prepare", source, "photos/others").exit_code == 0
