"""Writes images and labels in the layout of stylegan2-ada: a zip, or a folder of the same shape.

`Target` is a beginning of either, which grows.
"""

import io
import itertools
import json
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from stylegan_eval.engine.files import atomic_folder, atomic_write
from stylegan_eval.images.labels import DATASET_JSON

# A class, a list of numbers, or nothing; the same kind for all images of an archive.
Label = int | Sequence[float] | None

_AT_ONCE = 10_000  # labels
_IMAGES_PER_FOLDER = 1000
_BROKEN_PNG = (OSError, SyntaxError, ValueError, EOFError)
# Dates are the first that a zip can hold: same images, same bytes. Systems are Unix everywhere.
_TIME, _DATE = 0, 1 << 5 | 1
_UNIX, _ACCESS = 3, 0o644 << 16
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_CENTRAL_SIGNATURE = b"PK\x01\x02"
_EXTRA = struct.Struct("<2HQ")  # where an entry is that 32 bits do not reach
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_VERSION, _VERSION_64 = 20, 45
_FAR = 2**31 - 1  # as `zipfile`, which keeps clear of readers with signed numbers
_MANY = 2**16 - 1  # entries that the end of a small zip can count
_MOST_SHORT, _MOST_LONG = 2**16 - 1, 2**32 - 1


def image_name(index: int) -> str:
    """Name of image `index` in an archive.

    >>> image_name(12345)
    '00012/img00012345.png'
    """
    return f"{index // _IMAGES_PER_FOLDER:05d}/img{index:08d}.png"


class ImageFolder:
    """A folder of images in sub-folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def read(self) -> int:
        """Find the images at the beginning that are whole; how many."""
        while _is_whole(self._folder / image_name(self._count)):
            self._count += 1
        return self._count

    def cut(self, count: int) -> None:
        """Go on after the first so many images; the others will be replaced."""
        self._count = count

    def add(self, data: bytes) -> None:
        """Write the next image."""
        file = self._folder / image_name(self._count)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        self._count += 1

    def finish(self, dataset_json: bytes) -> None:
        """Write the labels."""
        (self._folder / DATASET_JSON).write_bytes(dataset_json)


def _is_whole(path: Path) -> bool:
    """Whether it is a PNG whose checksums are right, the last one included."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()
    except _BROKEN_PNG:
        return False
    return True


class ImageZip:
    """A zip, uncompressed, as `zipfile` would write it; sixteen bytes an image are in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._starts, self._sizes, self._sums = array("Q"), array("I"), array("I")
        self._end = 0

    def __len__(self) -> int:
        return len(self._starts)

    def read(self) -> int:
        """Find the images at the beginning of what is there that are whole; how many."""
        while (entry := self._whole()) is not None:
            self._append(*entry)
        return len(self)

    def cut(self, count: int) -> None:
        """Keep the first so many images, and nothing after them."""
        if count < len(self):
            self._end = self._starts[count]
        for column in (self._starts, self._sizes, self._sums):
            del column[count:]
        self._stream.truncate(self._end)
        self._stream.seek(self._end)

    def add(self, data: bytes) -> None:
        """Write the next image."""
        self._write(image_name(len(self)), data)

    def finish(self, dataset_json: bytes) -> None:
        """Write the labels and the directory."""
        count = len(self)
        self._write(DATASET_JSON, dataset_json)
        start = self._end
        for at in range(count + 1):
            name = DATASET_JSON if at == count else image_name(at)
            self._put(self._record(at, name.encode()))
        self._put(self._end_of(start))

    def _whole(self) -> tuple[int, int, int] | None:
        """Where the next image ends, its size and CRC-32; None if it is damaged or none."""
        self._stream.seek(self._end)
        header = self._stream.read(_LOCAL.size)
        if len(header) < _LOCAL.size:
            return None
        signature, *_, crc, size, _, name_size, extra_size = _LOCAL.unpack(header)
        name = self._stream.read(name_size)
        data = self._stream.read(size)
        ours = signature == _LOCAL_SIGNATURE and extra_size == 0
        if not ours or name != image_name(len(self)).encode() or zlib.crc32(data) != crc:
            return None
        return self._stream.tell(), size, crc

    def _append(self, end: int, size: int, crc: int) -> None:
        self._starts.append(self._end)
        self._sizes.append(size)
        self._sums.append(crc)
        self._end = end

    def _write(self, name: str, data: bytes) -> None:
        crc, size, coded = zlib.crc32(data), len(data), name.encode()
        fields = (_VERSION, 0, 0, _TIME, _DATE, crc, size, size, len(coded), 0)
        start = self._end
        self._put(_LOCAL.pack(_LOCAL_SIGNATURE, *fields) + coded)
        self._put(data)
        end, self._end = self._end, start
        self._append(end, size, crc)

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._end += len(data)

    def _record(self, at: int, name: bytes) -> bytes:
        """An entry of the directory."""
        start, size, crc = self._starts[at], self._sizes[at], self._sums[at]
        extra = _EXTRA.pack(1, 8, start) if start > _FAR else b""
        version = _VERSION_64 if extra else _VERSION
        record = _CENTRAL.pack(
            *(_CENTRAL_SIGNATURE, version, _UNIX, version, 0, 0, 0, _TIME, _DATE),
            *(crc, size, size, len(name), len(extra), 0, 0, 0, _ACCESS),
            _MOST_LONG if extra else start,
        )
        return record + name + extra

    def _end_of(self, start: int) -> bytes:
        """The end of a directory that starts there."""
        count, size, large = len(self), self._end - start, b""
        if count > _MANY or start > _FAR or size > _FAR:
            fields = (44, _VERSION_64, _VERSION_64, 0, 0, count, count, size, start)
            large = _END64.pack(b"PK\x06\x06", *fields) + _LOCATOR.pack(
                b"PK\x06\x07", 0, self._end, 1
            )
        short, long = min(count, _MOST_SHORT), min(size, _MOST_LONG)
        last = 0, 0, short, short, long, min(start, _MOST_LONG), 0
        return large + _END.pack(b"PK\x05\x06", *last)


Target = ImageFolder | ImageZip  # A beginning of an archive, which grows


def encode_png(image: np.ndarray) -> bytes:
    """PNG of one image, uint8 [C, H, W], C being 1, 3 or 4; or [H, W, 3]."""
    first = image.ndim == 3 and len(image) in (1, 3, 4) and image.shape[2] != 3
    if image.dtype != np.uint8 or not (first or image.shape[2:] == (3,)):
        raise ValueError(f"expected uint8 [3, H, W] or [H, W, 3], got {image.dtype} {image.shape}")
    if first:
        image = image[0] if len(image) == 1 else image.transpose(1, 2, 0)  # [H, W] or [H, W, C]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, format="PNG")
    return buffer.getvalue()


def write_archive(
    out: Path,
    images: Iterable[tuple[np.ndarray, Label]],
    *,
    attributes: Sequence[str] = (),
    classes: Sequence[str] = (),
) -> None:
    """Write RGB images, uint8 [3, H, W] or [H, W, 3], as an archive; see `write_encoded`."""
    encoded = ((encode_png(image), label) for image, label in images)
    write_encoded(out, encoded, attributes=attributes, classes=classes)


def write_encoded(
    out: Path,
    images: Iterable[tuple[bytes, Label]],
    *,
    attributes: Sequence[str] = (),
    channels: int = 3,
    classes: Sequence[str] = (),
) -> None:
    """Write PNG files as ``00000/img00000000.png``, ... and their labels as ``dataset.json``.

    The zip is uncompressed and its bytes depend on nothing but the arguments. `out` appears
    whole or not at all; an existing zip is replaced, an existing folder is not.
    It is a zip if it ends in ``.zip``, else a folder. `attributes` name the numbers in each label,
    or `classes` the classes; labels of several kinds are a ValueError. `channels` are those of all
    images.
    """
    if out.suffix.lower() == ".zip":
        with atomic_write(out) as temporary:
            write_zip(temporary, images, attributes, channels, classes)
    else:
        with atomic_folder(out) as temporary:
            _fill(ImageFolder(temporary), images, attributes, channels, classes)


def write_zip(
    path: Path,
    images: Iterable[tuple[bytes, Label]],
    attributes: Sequence[str] = (),
    channels: int = 3,
    classes: Sequence[str] = (),
) -> None:
    """Write the zip of `write_encoded` as the file `path` itself, whatever its name."""
    with path.open("wb") as stream:
        _fill(ImageZip(stream), images, attributes, channels, classes)


def _fill(
    target: Target,
    images: Iterable[tuple[bytes, Label]],
    attributes: Sequence[str],
    channels: int,
    classes: Sequence[str],
) -> None:
    labels: list[Label] = []
    for png, label in images:
        target.add(png)
        labels.append(label)
    target.finish(dataset_json(labels, attributes, channels, classes))


def dataset_json(
    labels: Iterable[Label],
    attributes: Sequence[str],
    channels: int = 3,
    classes: Sequence[str] = (),
) -> bytes:
    """``dataset.json`` for images in the order of their labels, which are of one kind."""
    kinds, parts, count = set[type](), list[str](), 0
    rest = iter(labels)
    while block := list(itertools.islice(rest, _AT_ONCE)):
        plain = [None if label is None else np.asarray(label).tolist() for label in block]
        kinds |= {type(label) for label in plain}
        if kinds != {type(None)}:
            pairs = [(image_name(count + at), label) for at, label in enumerate(plain)]
            parts.append(json.dumps(pairs)[1:-1])
        count += len(block)
    if not kinds <= {int} and not kinds <= {list} and not kinds <= {type(None)}:
        raise ValueError("labels must all be int, all lists of numbers, or all None")
    given = "null" if kinds == {type(None)} else f"[{', '.join(parts)}]"
    content: dict[str, object] = {"attributes": list(attributes)}
    if channels != 3:  # others' tools look at the PNG files
        content["channels"] = channels
    if classes and kinds == {int}:
        content["class_names"] = list(classes)
    return f'{{"labels": {given}, {json.dumps(content)[1:]}'.encode()
