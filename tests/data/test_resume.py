"""A preparation that was killed goes on, and ends as one that was not."""

import shutil
import signal
import subprocess
import sys
import zipfile

import pytest

from stylegan.datasets import Choices
from stylegan.datasets.archive import encode_png, write_encoded
from stylegan.datasets.partial import write_resumable
from stylegan.datasets.prepare import prepare
from stylegan_eval.engine.signals import Terminated
from stylegan_eval.errors import UserError
from tests.data.samples import everything_below, noise, pngs, write_folder

COUNT = 6
PNGS = [encode_png(noise(8, 8, n)) for n in range(COUNT)]
LABELS = list(range(COUNT))

# Kills itself while image 4 is handed over, as an unplugged machine would.
KILLED = """
import os, signal, sys
from pathlib import Path
from stylegan.datasets.partial import write_resumable
pngs = [bytes.fromhex(line) for line in sys.stdin]
def images(start):
    for index in range(start, len(pngs)):
        if index == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        yield pngs[index]
write_resumable(Path(sys.argv[1]), images, list(range(len(pngs))), attributes=(), made_of={"a": 1})
"""


def kill_a_writer(out):
    text = "\n".join(png.hex() for png in PNGS)
    done = subprocess.run([sys.executable, "-c", KILLED, str(out)], input=text, text=True)
    assert done.returncode == -signal.SIGKILL


def content(asked, made_of=None):
    def images(start):
        asked.append(start)
        yield from PNGS[start:]

    return given(images, made_of)


def given(images, made_of=None):
    return {"images": images, "labels": LABELS, "attributes": (), "made_of": made_of or {"a": 1}}


def whole(path):
    write_encoded(path, zip(PNGS, LABELS, strict=True))
    return path


def same(first, second):
    if first.is_file():
        return first.read_bytes() == second.read_bytes()
    names = everything_below(first)
    assert names == everything_below(second)
    files = [name for name in names if (first / name).is_file()]
    return all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


@pytest.mark.parametrize("name", ["x.zip", "x"])
def test_what_was_written_before_a_kill_is_not_made_again(tmp_path, name):
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / name
    kill_a_writer(out)
    assert f".{name}.partial" in everything_below(tmp_path / "out")
    assert not out.exists()
    asked = []
    resumed = write_resumable(out, **content(asked))
    assert asked == [resumed]
    # A zip's last entries may not have left the process.
    assert resumed == 4 if name == "x" else resumed <= 4
    assert [path.name for path in out.parent.iterdir()] == [name]
    assert same(out, whole(tmp_path / f"whole-{name}"))


@pytest.mark.parametrize("cut", [1, 37, 200, 400])
def test_a_zip_goes_on_after_its_last_whole_image(tmp_path, cut):
    partial = tmp_path / ".x.zip.partial"
    data = whole(tmp_path / "whole.zip").read_bytes()
    entries_end = data.index(b"dataset.json") - 30
    partial.write_bytes(data[: entries_end - cut])
    (tmp_path / ".x.zip.partial.json").write_text('{"a": 1}')
    asked = []
    assert write_resumable(tmp_path / "x.zip", **content(asked)) == (5 if cut < 250 else 4)
    assert (tmp_path / "x.zip").read_bytes() == data


def test_a_damaged_image_of_the_beginning_is_made_again(tmp_path):
    data = bytearray(whole(tmp_path / "whole.zip").read_bytes())
    whole_data = bytes(data)
    data[data.index(b"img00000002.png") + 40] ^= 1
    (tmp_path / ".x.zip.partial").write_bytes(data)
    (tmp_path / ".x.zip.partial.json").write_text('{"a": 1}')
    assert write_resumable(tmp_path / "x.zip", **content([])) == 2
    assert (tmp_path / "x.zip").read_bytes() == whole_data


def test_a_damaged_png_of_the_beginning_is_made_again(tmp_path):
    shutil.copytree(whole(tmp_path / "whole"), tmp_path / ".x.partial")
    png = tmp_path / ".x.partial" / "00000" / "img00000003.png"
    png.write_bytes(png.read_bytes()[:-20])
    (tmp_path / ".x.partial.json").write_text('{"a": 1}')
    assert write_resumable(tmp_path / "x", **content([])) == 3
    assert same(tmp_path / "x", tmp_path / "whole")


@pytest.mark.parametrize("name", ["x.zip", "x"])
def test_a_beginning_of_something_else_is_not_used(tmp_path, name):
    kill_a_writer(tmp_path / name)
    asked = []
    assert write_resumable(tmp_path / name, **content(asked, {"a": 2})) == 0
    assert same(tmp_path / name, whole(tmp_path / f"whole-{name}"))


@pytest.mark.parametrize("name", ["x.zip", "x"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_an_interruption_leaves_the_beginning(tmp_path, name, stop):
    def images(start):
        yield from PNGS[start:3]
        raise stop

    with pytest.raises(stop):
        write_resumable(tmp_path / name, **given(images))
    assert not (tmp_path / name).exists()
    assert write_resumable(tmp_path / name, **content([])) == 3
    assert same(tmp_path / name, whole(tmp_path / f"whole-{name}"))


@pytest.mark.parametrize("name", ["x.zip", "x"])
@pytest.mark.parametrize("error", [UserError("bad image"), ZeroDivisionError()])
def test_an_error_leaves_nothing(tmp_path, name, error):
    def images(start):
        yield from PNGS[start:3]
        raise error

    with pytest.raises(type(error)):
        write_resumable(tmp_path / name, **given(images))
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("name", ["x.zip", "x"])
def test_two_processes_do_not_write_one_archive(tmp_path, name):
    def images(start):
        with pytest.raises(UserError, match="in use by another process"):
            write_resumable(tmp_path / name, **content([]))
        yield from PNGS[start:]

    write_resumable(tmp_path / name, **given(images))
    assert same(tmp_path / name, whole(tmp_path / f"whole-{name}"))


def stopped_preparation(source, out, resample):
    """Prepare in a process that ends without a word while it encodes the fourth image."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from stylegan.datasets import archive, prepare\n"
        "from stylegan.datasets import Choices\n"
        "done = []\n"
        "def encode(image):\n"
        "    done.append(image)\n"
        "    return archive.encode_png(image) if len(done) < 4 else os._exit(7)\n"
        "prepare.encode_png = encode\n"
        "choices = Choices(resolution=8, resample=sys.argv[3])\n"
        "prepare.prepare(sys.argv[1], Path(sys.argv[2]), choices, workers=1, progress=False)\n"
    )
    command = [sys.executable, "-c", script, str(source), str(out), resample]
    assert subprocess.run(command).returncode == 7


@pytest.mark.parametrize("name", ["x.zip", "x"])
@pytest.mark.parametrize("resample", ["box", "lanczos"])
def test_a_stopped_preparation_ends_as_one_that_was_not(tmp_path, name, resample):
    source = write_folder(tmp_path / "src", pngs(40, 64))
    prepare(source, tmp_path / f"whole-{name}", Choices(resolution=8), progress=False)
    stopped_preparation(source, tmp_path / name, resample)
    made = prepare(source, tmp_path / name, Choices(resolution=8), progress=False)
    if resample == "lanczos":  # what was made by another filter is not used
        assert made.resumed == 0
    assert same(tmp_path / name, tmp_path / f"whole-{name}")


def test_the_archive_of_a_resumed_zip_is_read_by_zipfile(tmp_path):
    kill_a_writer(tmp_path / "x.zip")
    write_resumable(tmp_path / "x.zip", **content([]))
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        assert file.testzip() is None
        assert [file.read(f"00000/img{n:08d}.png") for n in range(COUNT)] == PNGS
