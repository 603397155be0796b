"""Data sets in other forms that a stranger may hand over: each must be refused in one line."""

import bz2
import gzip
import os
import pickle
import struct
import tarfile

import numpy as np
import pyarrow
import pyarrow.parquet

from tests.data import tfrecord_writer as records
from tests.data.hostile import GOOD, Gadget, pipe
from tests.data.samples import BOMB, encoded, noise, write_folder
from tests.data.set_writers import (
    celeba_list,
    rosinality,
    tar_member,
    write_lmdb,
    write_parquet,
    write_tar,
)

PIXELS = noise(8, 8).transpose(2, 0, 1)


# --- parquet


def parquet(change):
    def make(folder):
        file = write_parquet(folder / "x.parquet", [GOOD, GOOD])
        change(file)
        return file

    return make


def write_columns(file, columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), file)


# --- TFRecords


def tfrecords(data, change=None):
    def make(folder):
        file = folder / "x-r03.tfrecords"
        file.write_bytes(data if change is None else change(bytearray(data)))
        return file

    return make


def flipped(place):
    def change(data):
        data[place] ^= 1
        return data

    return change


def header(length):
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<L", records.masked(packed))


def sparse_record(folder):
    file = folder / "x.tfrecords"
    with file.open("wb") as stream:
        stream.write(header(2**31))
        stream.truncate(2**31 + 100)
    return file


def example(shape):
    return tfrecords(records.record(records.example(shape, PIXELS.tobytes())))


def record_labels(write, **more):
    """Two good records, and labels that `write` writes."""

    def make(folder):
        source = records.write_tfrecords(folder / "src", [PIXELS, PIXELS])
        with (source / "x-rxx.labels").open("wb") as stream:
            write(stream)
        for name, data in more.items():
            (source / f"{name}.npy").write_bytes(data)
        return source

    return make


def array(values):
    return lambda stream: np.save(stream, values, allow_pickle=True)


def lying_array(stream):
    stream.write(b"\x93NUMPY\x01\x00")
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 2), }"
    text += b" " * (117 - len(text)) + b"\n"
    stream.write(struct.pack("<H", len(text)) + text)


def labels_from_a_pipe(folder):
    source = records.write_tfrecords(folder / "src", [PIXELS])
    os.mkfifo(source / "x.labels")
    return source


# --- LMDB


def database(**change):
    def make(folder):
        values = rosinality([noise(16, 16, n) for n in range(12)])
        for key, value in change.items():
            values[key.encode()] = value
        return write_lmdb(folder / "db", values)

    return make


def missing_key(folder):
    values = rosinality([noise(16, 16, n) for n in range(12)])
    del values[b"16-00007"]
    return write_lmdb(folder / "db", values)


def lsun(value):
    return lambda folder: write_lmdb(folder / "db", {b"a": GOOD, b"b": value})


def changed_database(change):
    def make(folder):
        source = write_lmdb(folder / "db", {b"%d" % n: encoded(noise(64, 64, n)) for n in range(9)})
        data = change(bytearray((source / "data.mdb").read_bytes()))
        (source / "data.mdb").write_bytes(data)
        return source

    return make


def wild_pages(data):
    """Sizes and pointers of all pages after the first two become wild."""
    for page in range(2 * 4096, len(data), 4096):
        data[page + 12 : page + 40] = b"\xff\xfe\x7f\x81" * 7
    return data


# --- tars


def tar(*members, change=None, name="x.tar"):
    def make(folder):
        path = write_tar(folder / name, [tar_member("a.png", GOOD), *members])
        if change is not None:
            path.write_bytes(change(bytearray(path.read_bytes())))
        return path

    return make


def special(kind, target=""):
    return tar(tar_member("b.png", kind=kind, link=target))


def declared(size, kind=tarfile.REGTYPE):
    """A last member that declares another size than it has."""

    def make(folder):
        info = tarfile.TarInfo("b.png")
        info.size, info.type = size, kind
        path = folder / "x.tar"
        with path.open("wb") as file:
            file.write(info.tobuf(tarfile.GNU_FORMAT))
            file.truncate(2**32)
        return path

    return make


def second_header_damaged(data):
    data[1024 + 148 : 1024 + 156] = b"0000000\0"
    return data


# --- CelebA


def celeba(text):
    names = [f"{n + 1:06d}.jpg" for n in range(3)]
    files = {f"img/{name}": encoded(noise(8, 8), "JPEG") for name in names}
    listed = text(celeba_list(names)).encode()
    return lambda folder: write_folder(folder / "src", files | {"list_attr_celeba.txt": listed})


CORPUS = {
    "records: empty": (tfrecords(b""), "no images"),
    "records: wrong checksum of a length": (
        tfrecords(records.image_record(PIXELS), flipped(9)),
        "its length: checksum differs",
    ),
    "records: wrong checksum of data": (
        tfrecords(records.image_record(PIXELS), flipped(40)),
        "record 0: checksum differs",
    ),
    "records: a length of 2^62": (tfrecords(header(2**62) + bytes(99)), "of up to 4096x4096"),
    "records: a sparse record of 2 GB": (sparse_record, "of up to 4096x4096"),
    "records: a length beyond the file": (tfrecords(header(10**6) + bytes(99)), "99 are left"),
    "records: truncated": (
        tfrecords(records.image_record(PIXELS) * 2, lambda data: data[:-3]),
        "record 1: truncated",
    ),
    "records: truncated in a length": (
        tfrecords(records.image_record(PIXELS) + bytes(5)),
        "record 1: truncated",
    ),
    "records: a shape of 2^31": (example([3, 2**31, 2**31]), '"shape" is [3'),
    "records: a shape below 0": (example([3, -8, -8]), '"shape" is [3'),
    "records: a shape of two": (example([8, 8]), '"shape" is [8, 8]'),
    "records: two colours": (example([2, 8, 8]), '"shape" is [2'),
    "records: a shape that does not fit": (example([3, 8, 16]), "has [192] bytes"),
    "records: no features": (tfrecords(records.record(b"")), "found none"),
    "records: other features": (
        tfrecords(records.record(records.field(1, records.entry("x", records.strings(b"a"))))),
        "found x",
    ),
    "records: fields without end": (
        tfrecords(records.record(bytes([7 << 3 | 2, 0]) * 10**5)),
        "more than 4096 fields",
    ),
    "records: no Example": (tfrecords(records.record(b"\xff" * 50)), "not a tf.train.Example"),
    "records: labels for other images": (record_labels(array(np.ones((3, 2)))), "expected [2, L]"),
    "records: labels that are no numbers": (
        record_labels(array(np.full((2, 2), np.nan))),
        "not a finite number",
    ),
    "records: labels beyond float32": (
        record_labels(array(np.full((2, 2), 1e300))),
        "not a finite number",
    ),
    "records: labels with a pickle": (
        record_labels(array(np.array([Gadget()] * 2))),
        "not an array in NumPy's format",
    ),
    "records: labels that are a pickle": (
        record_labels(lambda stream: stream.write(pickle.dumps(Gadget()))),
        "not an array in NumPy's format",
    ),
    "records: labels of terabytes": (record_labels(lying_array), "declares an array"),
    "records: labels of text": (record_labels(array(np.array(["a", "b"]))), "array of numbers"),
    "records: two files of labels": (
        record_labels(array(np.ones((2, 1))), other=b""),
        "are both labels",
    ),
    "database: a key is missing": (missing_key, "16-00007 is missing"),
    "database: too long": (database(length=b"999999999"), "length is '999999999'"),
    "database: no length": (database(length=b"\xff\xff"), "length is"),
    "database: truncated": (changed_database(lambda data: data[: len(data) // 2]), "LMDB"),
    "database: a stump": (changed_database(lambda data: data[:5000]), "LMDB"),
    "database: wild pages": (changed_database(wild_pages), "LMDB"),
    "database: zeros": (changed_database(lambda data: data[:100] + bytes(20000)), "LMDB"),
    "database: text for an image": (lsun(b"text"), "b: not an image"),
    "database: a bomb for an image": (lsun(BOMB), "b: too many pixels"),
    "database: a pipe": (pipe("data.mdb"), "no ordinary file"),
    "tar: a pipe for a file": (pipe("x.tar"), "no ordinary file"),
    "records: a pipe": (pipe("x.tfrecords"), "no ordinary file"),
    "records: a pipe for labels": (labels_from_a_pipe, "no ordinary file"),
    "tar: a link": (special(tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
    "tar: a hard link": (special(tarfile.LNKTYPE, "/etc/passwd"), "is a link"),
    "tar: a device": (special(tarfile.CHRTYPE), "no ordinary file"),
    "tar: a pipe": (special(tarfile.FIFOTYPE), "no ordinary file"),
    "tar: an absolute name": (tar(tar_member("/srv/evil.png", GOOD)), "leads out"),
    "tar: a name that climbs": (tar(tar_member("a/../../evil.png", GOOD)), "leads out"),
    "tar: a member beyond the file": (declared(2**40), "bytes declared"),
    "tar: a sparse member of 3 GB": (declared(3 * 2**30), "at most 1073741824 are read"),
    "tar: extended headers of 2 GB": (declared(2**31, tarfile.XHDTYPE), "a header of 2147483648"),
    "tar: a long name of 2 GB": (declared(2**31, tarfile.GNUTYPE_LONGNAME), "a header of"),
    "tar: truncated": (tar(change=lambda data: data[:700]), "bytes declared"),
    "tar: no end": (tar(change=lambda data: data[:1024]), "damaged"),
    "tar: a damaged header": (
        tar(tar_member("b.png", GOOD), change=second_header_damaged),
        "no end where one was expected",
    ),
    "tar: packed by another": (tar(change=bz2.compress), "damaged, truncated or packed"),
    "tar: packed and truncated": (
        tar(change=lambda data: gzip.compress(data)[:-9]),
        "damaged or truncated gzip",
    ),
    "tar: packed and expanding": (
        tar(change=lambda data: gzip.compress(data + bytes(2**22))),
        "expands more than 200 times: unpack it",
    ),
    "parquet: truncated": (
        parquet(lambda file: file.write_bytes(file.read_bytes()[:-9])),
        "not a parquet file of images",
    ),
    "parquet: nothing but its name": (
        parquet(lambda file: file.write_bytes(b"PAR1")),
        "not a parquet file of images",
    ),
    "parquet: no images": (
        parquet(lambda file: write_columns(file, {"text": ["a"]})),
        "holds text (string); expected a column of images",
    ),
    "parquet: names without bytes": (
        parquet(lambda file: write_columns(file, {"image": [{"bytes": b"", "path": "a.png"}]})),
        "row 0: has no bytes of an image",
    ),
    "parquet: no image": (
        parquet(lambda file: write_columns(file, {"image": [b"x" * 40]})),
        "x.parquet/000000: ",
    ),
    "parquet: a class below 0": (
        parquet(lambda file: write_columns(file, {"image": [GOOD] * 2, "label": [0, -7]})),
        "label: classes must be whole numbers from 0 on",
    ),
    "parquet: a class that is missing": (
        parquet(lambda file: write_columns(file, {"image": [GOOD] * 2, "label": [0, None]})),
        "image 1 has no class, others have one",
    ),
    "tar: one sample twice": (tar(tar_member("a.jpg", GOOD)), "second image of one sample"),
    "tar: a sample without a label": (
        tar(tar_member("a.cls", b"1"), tar_member("b.png", GOOD)),
        "x.tar/b.png has no label",
    ),
    "tar: a class below 0": (tar(tar_member("a.cls", b"-1")), "whole number from 0"),
    "tar: a class that is no number": (tar(tar_member("a.cls", b"NaN")), "whole number from 0"),
    "tar: a class that is code": (
        tar(tar_member("a.json", b"__import__('os')")),
        "expected a whole",
    ),
    "tar: nested without end": (tar(tar_member("a.json", b"[" * 10**5)), "expected a whole"),
    "celeba: a list that lacks an image": (
        celeba(lambda text: text.replace("000002", "000009")),
        "has no line for",
    ),
    "celeba: a list that lies": (celeba(lambda text: "4" + text[1:]), "says it has 4 images"),
    "celeba: values that are no numbers": (
        celeba(lambda text: text.replace(" -1", " nan", 1)),
        "times 1 or -1",
    ),
    "celeba: a line without end": (celeba(lambda _: "a " * 10**6), "names "),
}
