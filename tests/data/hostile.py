"""Images and zips that a stranger may hand over: each must be refused in one line.

Each maker writes below a folder of its own and returns what to give to the command.
"""

import io
import os
import struct
import zipfile
import zlib

from tests.data.samples import (
    BOMB,
    dataset_json,
    encoded,
    noise,
    png_chunks,
    pngs,
    write_folder,
    write_zip,
)

GOOD = encoded(noise(8, 8))
PIXELS = noise(8, 8).transpose(2, 0, 1)


class Gadget:
    def __reduce__(self):
        return (os.system, ("touch executed",))


# --- zips


def zip_with(name, data=GOOD, change=None, method=zipfile.ZIP_STORED):
    """One good image and an entry of any name, whose directory record `change` may alter."""

    def make(folder):
        path = folder / "x.zip"
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr("000.png", GOOD)
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            file.writestr(info, data() if callable(data) else data)
            if change is not None:
                change(file.infolist()[1])
        return path

    return make


def labels(pairs, **more):
    return zip_with("dataset.json", dataset_json(pairs, **more))


def text_labels(text):
    return zip_with("dataset.json", text)


def changed_zip(change):
    def make(folder):
        path = write_zip(folder / "x.zip", pngs(3))
        path.write_bytes(change(bytearray(path.read_bytes())))
        return path

    return make


def wrong_crc(data):
    data[data.index(b"IDAT") + 10] ^= 255
    return data


def no_header(data):
    """The first entry is not where the directory says."""
    data[3] ^= 1
    return data


def huge_directory(large):
    """A sparse file whose end record claims a directory of 2 GB."""

    def make(folder):
        path = folder / "x.zip"
        size = 2**31
        end = b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 9, 9, 2**32 - 1 if large else size, 0, 0)
        if large:
            end64 = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 9, 9, size, 0)
            end = end64 + b"PK\x06\x07" + struct.pack("<LQL", 0, size, 1) + end
        with path.open("wb") as file:
            file.write(b"PK\x03\x04")
            file.truncate(size)
            file.seek(0, io.SEEK_END)
            file.write(end)
        return path

    return make


def twice(folder):
    data = write_zip(folder / "x.zip", {"a.png": GOOD, "b.png": GOOD}).read_bytes()
    (folder / "x.zip").write_bytes(data.replace(b"b.png", b"a.png"))
    return folder / "x.zip"


def link(entry):
    entry.external_attr = 0o120777 << 16


def sizes(unpacked, packed):
    def change(entry):
        entry.file_size, entry.compress_size = unpacked, packed

    return change


# --- images


def image(data, name="x.png"):
    return lambda folder: write_folder(folder / "src", {name: data})


def text_bomb():
    packed = zlib.compress(bytes(2**28), 9)
    head = (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return png_chunks(head, (b"zTXt", b"a\0\0" + packed), (b"IDAT", zlib.compress(bytes(200))))


def pixel_bomb():
    """12000x12000, which Pillow would accept, of which only a part is there."""
    head = (b"IHDR", struct.pack(">IIBBBBB", 12000, 12000, 8, 2, 0, 0, 0))
    return png_chunks(head, (b"IDAT", zlib.compress(bytes(2**20))))


def huge_gif():
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6) + b";"


def huge_tiff():
    tags = [
        (256, 4, 1, 2**31),
        (257, 4, 1, 2**31),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 2**30, 8),
    ]
    body = b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    return struct.pack("<2sHLH", b"II", 42, 8, len(tags)) + body + bytes(4)


def sparse_image(folder):
    source = write_folder(folder / "src", {"x.png": GOOD})
    with (source / "x.png").open("r+b") as file:
        file.truncate(2**31)
    return source


def pipe(name):
    def make(folder):
        (folder / "src").mkdir()
        os.mkfifo(folder / "src" / name)
        return folder / "src"

    return make


PAIRS = [["000.png", 1]]

CORPUS = {
    "zip: a name that climbs": (zip_with("../../evil.png"), "leads out of the archive"),
    "zip: an absolute name": (zip_with("/srv/evil.png"), "leads out of the archive"),
    "zip: a name that climbs on Windows": (zip_with("a\\..\\..\\b.png"), "leads out"),
    "zip: a name with a drive": (zip_with("C:/evil.png"), "leads out of the archive"),
    "zip: no name": (
        zip_with("b.png", GOOD, lambda e: setattr(e, "filename", "")),
        "without a name",
    ),
    "zip: a link": (zip_with("b.png", b"/etc/passwd", link), "is a link"),
    "zip: a bomb": (
        zip_with("b.png", lambda: bytes(2**28), None, zipfile.ZIP_DEFLATED),
        "would expand",
    ),
    "zip: a bomb of labels": (
        zip_with("dataset.json", lambda: b" " * 2**28, None, zipfile.ZIP_DEFLATED),
        "would expand",
    ),
    "zip: stored labels without end": (
        zip_with("dataset.json", lambda: b"[" * 2**23),
        "MiB of labels for 1 images",
    ),
    "zip: an entry larger than it says": (
        zip_with("b.png", bytes(10**6), sizes(100, 1000), zipfile.ZIP_DEFLATED),
        "b.png: ",
    ),
    "zip: an entry of a terabyte": (zip_with("b.png", GOOD, sizes(2**40, 2**40)), "1024.0 GiB"),
    "zip: an entry beyond the file": (
        zip_with("b.png", GOOD, sizes(2**29, 2**29)),
        "bytes declared",
    ),
    "zip: truncated": (changed_zip(lambda data: data[:-40]), "neither a folder nor a zip"),
    "zip: half": (changed_zip(lambda data: data[len(data) // 2 :]), "cannot be read"),
    "zip: wrong checksum": (changed_zip(wrong_crc), "cannot be read"),
    "zip: no header of an entry": (changed_zip(no_header), "000.png: cannot be read"),
    "zip: encrypted": (zip_with("b.png", GOOD, lambda e: setattr(e, "flag_bits", 1)), "encrypted"),
    "zip: unusual packing": (zip_with("b.png", GOOD, None, zipfile.ZIP_LZMA), "unusual method"),
    "zip: one name twice": (twice, "is there 2 times"),
    "zip: a directory of 2 GB": (huge_directory(large=False), "a directory of 2048 MiB"),
    "zip: a directory of 2 GB, zip64": (huge_directory(large=True), "a directory of 2048 MiB"),
    "labels: of files outside": (labels([*PAIRS, ["../../etc/passwd", 1]]), "outside the set"),
    "labels: of absolute files": (labels([*PAIRS, ["/etc/passwd", 1]]), "outside the set"),
    "labels: not numbers": (text_labels(b'{"labels": [["000.png", [NaN]]]}'), "whole numbers"),
    "labels: infinite": (text_labels(b'{"labels": [["000.png", [1e999]]]}'), "whole numbers"),
    "labels: a class below 0": (labels([["000.png", -1]]), "whole numbers"),
    "labels: a class of many digits": (
        text_labels(b'{"labels": [["000.png", ' + b"9" * 5000 + b"]]}"),
        "not valid JSON",
    ),
    "labels: missing": (labels([["other.png", 1]]), "have no label"),
    "labels: names that do not match": (
        labels([["000.png", [1.0]]], attributes=["a", "b"]),
        "2 attributes named, 1",
    ),
    "labels: nested without end": (text_labels(b"[" * 10**5), "not valid JSON"),
    "labels: no JSON": (text_labels(b"\xff\xfe{"), "not valid JSON"),
    "image: 30000x30000": (image(BOMB), "too many pixels"),
    "image: a part of 12000x12000": (image(pixel_bomb()), "takes more memory"),
    "image: a GIF of 65535x65535": (image(huge_gif(), "x.gif"), "x.gif: "),
    "image: a TIFF of 2^31": (image(huge_tiff(), "x.tif"), "x.tif: "),
    "image: PostScript": (image(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "not an image"),
    "image: truncated": (image(encoded(noise(64, 64))[:3000]), "damaged or truncated"),
    "image: a sparse file of 2 GB": (sparse_image, "files of at most 1 GiB"),
    "image: a pipe": (pipe("a.png"), "no ordinary file"),
    "file: a device": (lambda folder: "/dev/zero", "/dev/zero: is no ordinary file"),
    "folder: nothing in it": (
        lambda folder: write_folder(folder / "src", {"a.txt": b""}),
        "no images",
    ),
    "file: something else": (
        lambda folder: write_folder(folder, {"x.bin": b"\x80\x04cos\nsystem\n."}) / "x.bin",
        "neither a folder nor a zip",
    ),
}
