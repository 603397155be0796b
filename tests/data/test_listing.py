"""Names and numbers of many files in little memory, and directories of zips read in parts."""

import io
import tracemalloc
import zipfile

import pytest

from benchmarks.speed.prepare_memory import KINDS
from stylegan.datasets.prepare import prepare
from stylegan_eval.engine import safe_files
from stylegan_eval.errors import UserError
from stylegan_eval.images import listing
from stylegan_eval.images.files import open_images
from stylegan_eval.images.listing import Entry, Names, Sorted, Stamps
from tests.data.samples import encoded, noise, pngs, write_folder, write_zip

# A name of bytes that are no UTF-8 sorts by what Python makes of them.
NAMES = ["b", "a/ä", "a/z", "\udcff", "a", "\U0001f600", "ab", "", "\uffff"]


@pytest.mark.parametrize("block", [1, 2, 4, 100])
def test_entries_come_in_the_order_of_their_names(monkeypatch, block):
    monkeypatch.setattr(listing, "_BLOCK", block)
    entries = Sorted(Entry(name, (n, -n)) for n, name in enumerate(NAMES))
    assert [entry.name for entry in entries] == sorted(NAMES)
    assert entries.names == sorted(NAMES)
    assert entries.names[:2] == ("", "a")
    numbers = [entries.numbers[k] for k in range(len(NAMES))]
    assert [NAMES[n] for n, _ in numbers] == sorted(NAMES)
    assert all(second == -first for first, second in numbers)
    assert [entries.names.place(name) for name in sorted(NAMES)] == list(range(len(NAMES)))
    with pytest.raises(KeyError):
        entries.names.place("c")


def test_what_is_dropped_is_not_among_the_names():
    entries = Sorted(Entry(name, (n,)) for n, name in enumerate("cab"))
    for entry in entries:
        if entry.name == "b":
            entries.drop()
    assert entries.names == ("a", "c")
    assert (entries.numbers[0], entries.numbers[1]) == ((1,), (0,))
    assert (list(Sorted(iter(()))), Sorted(iter(())).count) == ([], 0)


def test_numbers_are_kept_whole_in_narrow_columns():
    rows = [(0, 2**63 - 1, -(2**63), 255), (2**32 - 1, 0, 5, 0)]
    entries = Sorted(Entry(str(n), row) for n, row in enumerate(rows))
    assert len(list(entries)) == 2
    assert [entries.numbers[k] for k in range(2)] == rows
    assert [column.itemsize for column in entries.numbers.columns] == [4, 8, 8, 1]


def test_names_are_a_sequence():
    names = Names(["one", "two"])
    assert (list(names), names[-1], names != ("one",), len(names)) == (
        ["one", "two"],
        "two",
        True,
        2,
    )
    with pytest.raises(IndexError):
        names[2]


def test_the_numbers_of_all_files_come_without_looking_their_names_up(monkeypatch):
    entries = Sorted(Entry(name, (n, 2, 3, 4)) for n, name in enumerate(NAMES))
    assert len(list(entries)) == len(NAMES)
    stamps = Stamps(entries.names, entries.numbers, {"x": (0, 0, 0, 0)})
    expected = {name: stamps[name] for name in stamps}
    assert expected["\udcff"] == (3, 2, 3, 4)
    monkeypatch.setattr(Names, "place", None)
    assert dict(stamps.items()) == expected


@pytest.mark.parametrize("at_once", [2**18, 300])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n"])
def test_a_directory_in_parts_is_what_zipfile_reads(tmp_path, monkeypatch, at_once, before):
    monkeypatch.setattr(safe_files, "_AT_ONCE", at_once)
    path = tmp_path / "x.zip"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.comment = b"of no use"
        for number in range(40):
            info = zipfile.ZipInfo(f"ä{number:03d}" * (number % 3 + 1))
            info.comment = b"c" * number
            file.writestr(info, bytes(number), zipfile.ZIP_DEFLATED)
    path.write_bytes(before + buffer.getvalue())
    with zipfile.ZipFile(path) as file:
        expected = [(i.filename, i.CRC, i.header_offset, i.compress_size) for i in file.infolist()]
    found = [
        (i.filename, i.CRC, i.header_offset, i.compress_size) for i in safe_files.entries_of(path)
    ]
    assert found == expected


def test_a_damaged_directory_is_told(tmp_path):
    path = write_zip(tmp_path / "x.zip", pngs(3))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02")] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged one"):
        open_images(path)


def test_entries_that_lie_in_one_another_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.png": encoded(noise(8, 8)), "b.png": b"b" * 99})
    with zipfile.ZipFile(path) as file:
        first, second = (info.header_offset for info in file.infolist())
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02") + 42
    assert int.from_bytes(data[place : place + 4], "little") == second
    data[place : place + 4] = (first + 40).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UserError, match="entries overlap"):
        open_images(path)


def peak_of(work):
    """Most bytes in use; of two times, as Python may enlarge its table of texts in one."""
    peaks = []
    for _ in range(2):
        tracemalloc.start()
        work()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return min(peaks)


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_few_bytes_of_an_image_stay_in_memory(tmp_path, write):
    """`python -m benchmarks.speed.prepare_memory` measures the whole process."""
    peaks = []
    image = encoded(noise(4, 4))
    for count in (100, 600):
        source = write(tmp_path / f"{count}", {f"{n:07d}.png": image for n in range(count)})
        options = {"workers": 1, "progress": False}
        outs = iter([tmp_path / f"{count}-1.zip", tmp_path / f"{count}-2.zip"])
        peaks.append(peak_of(lambda s=source, o=outs, k=options: prepare(s, next(o), **k)))
    assert peaks[1] - peaks[0] < 500 * 400


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"zip", "folder", "tar.gz"}))
def test_a_set_of_any_kind_is_opened_in_few_bytes_an_image(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(listing, "_BLOCK", 50)
    name, write = KINDS[kind]
    image = encoded(noise(4, 4), "JPEG")
    peaks = []
    for count in (100, 600):
        (tmp_path / f"{count}").mkdir()
        images = ((f"{n:07d}.jpg", image) for n in range(count))
        source = write(tmp_path / f"{count}" / name, images)
        peaks.append(peak_of(lambda path=source: open_images(path).close()))
    assert peaks[1] - peaks[0] < 500 * 400
