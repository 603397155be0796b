"""Changed bytes of archives: a result, or one `UserError`; never another exception."""

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.datasets import Choices
from stylegan.datasets.prepare import prepare
from stylegan.datasets.sources import open_source
from stylegan_eval.errors import UserError
from tests.data.samples import dataset_json, encoded, noise, pngs, write_zip
from tests.data.set_writers import rosinality, shard, write_lmdb, write_tar
from tests.data.tfrecord_writer import image_record


def zipped(folder, method):
    files = pngs(2, 4) | {"dataset.json": dataset_json([["000.png", 1], ["001.png", 0]])}
    return write_zip(folder / "x.zip", files, method).read_bytes()


MAKERS = {
    "zip": lambda folder: zipped(folder, zipfile.ZIP_STORED),
    "deflated zip": lambda folder: zipped(folder, zipfile.ZIP_DEFLATED),
    "tar": lambda folder: write_tar(folder / "x.tar", shard(0, 2, size=4)).read_bytes(),
    "records": lambda folder: b"".join(
        image_record(noise(4, 4, n).transpose(2, 0, 1)) for n in (1, 2)
    ),
    "database": lambda folder: (
        write_lmdb(folder / "db", rosinality([noise(8, 8)], (4, 8))) / "data.mdb"
    ).read_bytes(),
    "large database": lambda folder: (
        write_lmdb(folder / "db", {b"%d" % n: encoded(noise(50, 50, n)) for n in range(3)})
        / "data.mdb"
    ).read_bytes(),
}


@st.composite
def changes(draw):
    """What to do to bytes of any length: places are shares of it, in 65536ths."""
    edits = draw(
        st.lists(
            st.tuples(st.integers(0, 2**16 - 1), st.sampled_from("sfiz"), st.integers(0, 255)),
            min_size=1,
            max_size=6,
        )
    )
    return edits, draw(st.none() | st.integers(0, 2**16 - 1))


def changed(data, change):
    edits, end = change
    out = bytearray(data)
    for share, kind, value in edits:
        place = share * len(out) // 2**16
        if kind == "s":
            out[place] = value
        elif kind == "f":
            out[place] ^= 1 << value % 8
        elif kind == "i":
            out[place:place] = bytes([value]) * (value % 9)
        else:
            out[place : place + 8] = b"\xff" * 8 if value % 2 else bytes(8)
    return bytes(out if end is None else out[: end * len(out) // 2**16])


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return Originals({name: make(tmp_path_factory.mktemp("made")) for name, make in MAKERS.items()})


class Originals:
    """Their bytes by name, which a report of a failure had better not show."""

    def __init__(self, files):
        self.files = files


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=150)
@given(change=changes())
def test_changed_bytes_are_a_set_of_images_or_one_error(originals, tmp_path_factory, name, change):
    source = tmp_path_factory.getbasetemp() / "changed"
    source.write_bytes(changed(originals.files[name], change))
    try:
        opened = open_source(source)
    except UserError as error:
        line = str(error)
        assert str(source) in line
        return
    try:
        for index in range(len(opened)):
            try:
                opened.header(index)
                image = opened.read(index)
            except UserError as error:
                assert str(source) in str(error)  # noqa: PT017
            else:
                assert image.dtype == np.uint8
                assert image.shape[0] == 3
    finally:
        opened.close()


@settings(max_examples=60)
@given(change=changes())
def test_preparing_a_changed_zip_gives_an_archive_or_nothing(originals, tmp_path_factory, change):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "x.zip").write_bytes(changed(originals.files["zip"], change))
    try:
        prepare(folder / "x.zip", folder / "out.zip", Choices(resolution=4), progress=False)
    except UserError:
        assert [path.name for path in folder.iterdir()] == ["x.zip"]
    else:
        assert sorted(path.name for path in folder.iterdir()) == ["out.zip", "x.zip"]
        assert len(open_source(folder / "out.zip")) >= 1
