"""A preparation that was killed goes on, and ends as one that was not."""

import io
import json
import shutil
import signal
import sys
import zipfile
from dataclasses import replace

import pytest

from stylegan.datasets import Choices, archive, making
from stylegan.datasets.archive import dataset_json, encode_png, image_name, write_encoded
from stylegan.datasets.partial import write_resumable
from stylegan.datasets.prepare import prepare
from stylegan_eval.engine.command import Terminated
from stylegan_eval.errors import UserError
from tests import starting
from tests.data.samples import encoded, everything_below, noise, pngs, write_folder

COUNT = 6
PNGS = [encode_png(noise(8, 8, n)) for n in range(COUNT)]
LABELS = list(range(COUNT))

# Kills itself while image 4 is handed over, as an unplugged machine would.
KILLED = """
import os, signal, sys
from pathlib import Path
from stylegan.datasets.partial import write_resumable
class Work:
    def begin(self, journal, whole):
        return whole
    def images(self):
        for index, line in enumerate(sys.stdin):
            if index == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            yield bytes.fromhex(line)
write_resumable(Path(sys.argv[1]), Work(), {"a": 1})
"""


class Pngs:
    """`PNGS` as a `Work`, handed over by `images`, which gets the number of the first."""

    def __init__(self, images=lambda start: iter(PNGS[start:])):
        self.source, self.start = images, None

    def begin(self, journal, whole):
        self.start = whole
        return whole

    def images(self):
        return self.source(self.start)

    def dataset_json(self):
        return dataset_json(LABELS, ())


def written(out, work=None, made_of=None):
    return write_resumable(out, work or Pngs(), made_of or {"a": 1})


def kill_a_writer(out):
    text = "\n".join(png.hex() for png in PNGS)
    done = starting.run([sys.executable, "-c", KILLED, str(out)], input=text, text=True)
    assert done.returncode == -signal.SIGKILL


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
    work = Pngs()
    resumed = written(out, work)
    assert work.start == resumed
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
    assert written(tmp_path / "x.zip") == (5 if cut < 250 else 4)
    assert (tmp_path / "x.zip").read_bytes() == data


def test_a_damaged_image_of_the_beginning_is_made_again(tmp_path):
    data = bytearray(whole(tmp_path / "whole.zip").read_bytes())
    whole_data = bytes(data)
    data[data.index(b"img00000002.png") + 40] ^= 1
    (tmp_path / ".x.zip.partial").write_bytes(data)
    (tmp_path / ".x.zip.partial.json").write_text('{"a": 1}')
    assert written(tmp_path / "x.zip") == 2
    assert (tmp_path / "x.zip").read_bytes() == whole_data


def test_a_damaged_png_of_the_beginning_is_made_again(tmp_path):
    shutil.copytree(whole(tmp_path / "whole"), tmp_path / ".x.partial")
    png = tmp_path / ".x.partial" / "00000" / "img00000003.png"
    png.write_bytes(png.read_bytes()[:-20])
    (tmp_path / ".x.partial.json").write_text('{"a": 1}')
    assert written(tmp_path / "x") == 3
    assert same(tmp_path / "x", tmp_path / "whole")


@pytest.mark.parametrize("name", ["x.zip", "x"])
def test_a_beginning_of_something_else_is_not_used(tmp_path, name):
    kill_a_writer(tmp_path / name)
    assert written(tmp_path / name, made_of={"a": 2}) == 0
    assert same(tmp_path / name, whole(tmp_path / f"whole-{name}"))


@pytest.mark.parametrize("name", ["x.zip", "x"])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, Terminated])
def test_an_interruption_leaves_the_beginning(tmp_path, name, stop):
    def images(start):
        yield from PNGS[start:3]
        raise stop

    with pytest.raises(stop):
        written(tmp_path / name, Pngs(images))
    assert not (tmp_path / name).exists()
    assert written(tmp_path / name) == 3
    assert same(tmp_path / name, whole(tmp_path / f"whole-{name}"))


@pytest.mark.parametrize("name", ["x.zip", "x"])
@pytest.mark.parametrize("error", [UserError("bad image"), ZeroDivisionError()])
def test_an_error_leaves_nothing(tmp_path, name, error):
    def images(start):
        yield from PNGS[start:3]
        raise error

    with pytest.raises(type(error)):
        written(tmp_path / name, Pngs(images))
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("name", ["x.zip", "x"])
def test_two_processes_do_not_write_one_archive(tmp_path, name):
    def images(start):
        with pytest.raises(UserError, match="another process is making it"):
            written(tmp_path / name)
        yield from PNGS[start:]

    written(tmp_path / name, Pngs(images))
    assert same(tmp_path / name, whole(tmp_path / f"whole-{name}"))


def stopped_preparation(source, out, **choices):
    """Prepare in a process that ends without a word while it encodes the fourth image."""
    script = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "from stylegan.datasets import archive, making, prepare\n"
        "from stylegan.datasets import Choices\n"
        "done = []\n"
        "def encode(image):\n"
        "    done.append(image)\n"
        "    return archive.encode_png(image) if len(done) < 4 else os._exit(7)\n"
        "making.encode_png = encode\n"
        "choices = Choices(**json.loads(sys.argv[3]))\n"
        "prepare.prepare(sys.argv[1], Path(sys.argv[2]), choices, workers=1, progress=False)\n"
    )
    command = [sys.executable, "-c", script, str(source), str(out), json.dumps(choices)]
    assert starting.run(command).returncode == 7


@pytest.mark.parametrize(
    ("name", "resample"), [("x.zip", "box"), ("x", "box"), ("x.zip", "lanczos")]
)
def test_a_stopped_preparation_ends_as_one_that_was_not(tmp_path, name, resample):
    source = write_folder(tmp_path / "src", pngs(40, 64))
    prepare(source, tmp_path / f"whole-{name}", Choices(resolution=8), progress=False)
    stopped_preparation(source, tmp_path / name, resolution=8, resample=resample)
    made = prepare(source, tmp_path / name, Choices(resolution=8), progress=False)
    if resample == "lanczos":  # what was made by another filter is not used
        assert made.resumed == 0
    assert same(tmp_path / name, tmp_path / f"whole-{name}")


@pytest.mark.parametrize("name", ["x.zip", "x"])
def test_what_was_left_out_before_a_kill_is_told_after_it(tmp_path, name):
    files = pngs(12, 16)
    files["0010.png"] = files["001.png"]
    files["0011.png"] = encoded(noise(64, 64))[:3000]
    source = write_folder(tmp_path / "src", files | {"010.png": files["002.png"]})
    skips = {"skip_damaged": True, "drop_duplicates": True}
    whole = prepare(source, tmp_path / f"whole-{name}", Choices(**skips), progress=False)
    stopped_preparation(source, tmp_path / name, **skips)
    made = prepare(source, tmp_path / name, Choices(**skips), progress=False)
    assert made.resumed <= 3
    assert replace(made, resumed=0) == whole
    assert len(made.notes) == 2
    assert same(tmp_path / name, tmp_path / f"whole-{name}")


@pytest.mark.parametrize("name", ["x.zip", "x"])
@pytest.mark.parametrize("drop", [True, False])
def test_a_preparation_that_is_stopped_in_its_second_pass_goes_on_there(
    tmp_path, monkeypatch, name, drop
):
    """The smallest image is damaged: the first pass makes all others by its size."""
    files = pngs(8, 32) | {"small.png": encoded(noise(16, 16))[:400]}
    files["twice.png"] = files["002.png"]
    source = write_folder(tmp_path / "src", files)
    skips = Choices(skip_damaged=True, drop_duplicates=drop)
    passes = 9 + (8 if drop else 9)
    encodings = []

    def prepared(folder, stop):
        def encode(image):
            encodings.append(image)
            if len(encodings) == stop:
                raise KeyboardInterrupt
            return encode_png(image)

        encodings.clear()
        monkeypatch.setattr(making, "encode_png", encode)
        return prepare(
            *(source, folder / name, skips),
            report=tmp_path / f"{folder.name}.csv", workers=1, progress=False,
        )  # fmt: skip

    for folder in ("whole", "stopped"):
        (tmp_path / folder).mkdir()
    whole = prepared(tmp_path / "whole", 0)
    assert (whole.resolution, len(encodings), len(whole.notes)) == (32, passes, 2)
    for stop in (9 + 3, 4):
        with pytest.raises(KeyboardInterrupt):
            prepared(tmp_path / "stopped", stop)
    monkeypatch.setattr(making, "decode_all", None)  # everything is known
    made = prepared(tmp_path / "stopped", 0)
    assert (made.resumed, len(encodings)) == (5, passes - 9 - 5)
    assert replace(made, resumed=0) == whole
    assert same(tmp_path / "stopped" / name, tmp_path / "whole" / name)
    assert same(tmp_path / "stopped.csv", tmp_path / "whole.csv")
    assert len(list((tmp_path / "stopped").iterdir())) == 1


def test_a_journal_that_ends_early_or_is_damaged_is_used_as_far_as_it_goes(tmp_path):
    source = write_folder(tmp_path / "src", pngs(12, 16))
    whole = prepare(source, tmp_path / "whole", progress=False)
    (tmp_path / "stopped").mkdir()
    stopped_preparation(source, tmp_path / "stopped" / "x")
    for keep in (0, 1, 30, 63):
        folder = shutil.copytree(tmp_path / "stopped", tmp_path / f"kept-{keep}")
        journal = folder / ".x.partial.rows"
        rows = journal.read_bytes()[:keep]
        journal.write_bytes(rows + bytes(42))
        made = prepare(source, folder / "x", progress=False)
        assert made.resumed == len(rows) // 21
        assert replace(made, resumed=0) == whole
        assert same(folder / "x", tmp_path / "whole")


def test_the_archive_of_a_resumed_zip_is_read_by_zipfile(tmp_path):
    kill_a_writer(tmp_path / "x.zip")
    written(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        assert file.testzip() is None
        assert [file.read(f"00000/img{n:08d}.png") for n in range(COUNT)] == PNGS


def test_a_zip_has_the_bytes_that_zipfile_writes(tmp_path):
    data = whole(tmp_path / "whole.zip").read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in [
            *((image_name(n), png) for n, png in enumerate(PNGS)),
            ("dataset.json", dataset_json(LABELS, ())),
        ]:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            file.writestr(info, content)
    assert data == buffer.getvalue()


def test_a_zip_of_many_images_is_as_zipfile_writes_it(monkeypatch):
    for limit in ("_FAR", "_MANY"):  # of `archive`, and of `zipfile`
        monkeypatch.setattr(archive, limit, 300)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 300)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 300)
    ours, theirs = io.BytesIO(), io.BytesIO()
    zipped = archive.ImageZip(ours)
    with zipfile.ZipFile(theirs, "w") as file:
        for number in range(301):
            zipped.add(b"png")
            info = zipfile.ZipInfo(image_name(number), (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            file.writestr(info, b"png")
        info = zipfile.ZipInfo("dataset.json", (1980, 1, 1, 0, 0, 0))
        info.create_system, info.external_attr = 3, 0o644 << 16
        file.writestr(info, b"{}")
    zipped.finish(b"{}")
    assert ours.getvalue() == theirs.getvalue()
    with zipfile.ZipFile(ours) as file:
        assert len(file.infolist()) == 302
