"""TFRecords of the official data sets, with their labels.

A record is a tf.train.Example, parsed from its bytes alone: a message of the protocol-buffers wire
format. Example.features (field 1) holds entries of a map (field 1), each a name (1) and a Feature
(2), which is a list of byte strings (field 1), floats (2, not read here) or integers (3).
"""

import os
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from stylegan_eval.engine.safe_files import read_npy
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import (
    LENGTH,
    MAX_RECORD,
    MAX_SIDE,
    TFRECORD_SUFFIX,
    masked_crc,
)
from stylegan_eval.images.decoding import Header
from stylegan_eval.images.labels import attempted, checked_labels
from stylegan_eval.images.listing import Names
from stylegan_eval.images.source import (
    MAX_LABEL_BYTES,
    ContainerImages,
    check_count,
    files_ending_in,
    needed,
    stamps_of,
)

_CRC = struct.Struct("<L")
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True, eq=False, kw_only=True)
class TFRecords(ContainerImages):
    """The records of the largest resolution. Made by `open_tfrecords`."""

    _file: int  # descriptor: positions are given with each read, so threads do not meet
    _records: np.ndarray  # int64 [N, 2]: where each record's data begin, how many bytes they are
    _shapes: dict[int, tuple[int, int, int]]  # of the first record of each length

    def size(self, index: int) -> int:
        """Bytes of record number `index`."""
        return int(self._records[index, 1])

    def header(self, index: int) -> Header:
        """Size and mode, taken from the first record of this length; `read` compares."""
        length = self.size(index)
        if length not in self._shapes:
            image = self._image(index)
            self._shapes[length] = (image.shape[0], image.shape[1], image.shape[2])
        channels, height, width = self._shapes[length]
        return Header(width, height, _MODES[channels])

    def read(self, index: int) -> np.ndarray:
        """Image number `index`, its checksum compared; grey becomes three equal channels."""
        image = self._image(index)
        shape = self._shapes.get(self.size(index), image.shape)
        if image.shape != shape:
            raise UserError(f"{self._where(index)}: is {image.shape}, others are {shape}")
        return np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _image(self, index: int) -> np.ndarray:
        start, length = (int(number) for number in self._records[index])
        where = self._where(index)
        stored = os.pread(self._file, length + _CRC.size, start)
        if len(stored) < length + _CRC.size:
            raise UserError(f"{where}: the file has become shorter")
        data = stored[:length]
        _check_crc(data, _CRC.unpack(stored[length:])[0], where)
        return _pixels(data, where)


def open_tfrecords(path: Path) -> TFRecords:
    """Open the largest of the ``.tfrecords`` files of a folder, or one such file.

    Labels are the one ``.labels`` or ``.npy`` file beside it (both are NumPy's format): numbers
    [N, L], or classes if each row holds a single 1.
    """
    needed("google_crc32c", "google-crc32c", "TFRecords")
    file = _largest(path) if path.is_dir() else path
    descriptor = os.open(file, os.O_RDONLY)
    try:
        records = _index(descriptor, file)
        check_count(len(records), file)
        beside = partial(_labels, file, len(records))
        labels, fault = attempted(beside, None) if path.is_dir() else (None, None)
        found = TFRecords(
            kind="TFRecords",
            path=file,
            names=Names(f"record {index}" for index in range(len(records))),
            labels=labels,
            labels_fault=fault,
            stamps=stamps_of([file]),
            _file=descriptor,
            _records=records,
            _shapes={},
        )
        found.header(0)
    except BaseException:
        os.close(descriptor)
        raise
    return found


def _largest(folder: Path) -> Path:
    """The file whose first image has most pixels: it is that of the most bytes per record."""
    sizes = {}
    for file in files_ending_in(folder, TFRECORD_SUFFIX):
        with file.open("rb") as stream:
            start = stream.read(LENGTH.size)
        if len(start) < LENGTH.size:
            raise UserError(f"{file}: truncated; expected TFRecords")
        sizes[file] = LENGTH.unpack(start)[0]
    largest = max(sizes, key=sizes.__getitem__)
    shards = [file for file, size in sizes.items() if size == sizes[largest]]
    if len(shards) > 1:
        raise UserError(
            f"{folder}: {shards[0].name} and {shards[1].name} are both of the largest resolution;"
            " expected one file for each: name one of them"
        )
    return largest


def _index(descriptor: int, file: Path) -> np.ndarray:
    """Where the data of each record are, int64 [N, 2]; nothing but lengths is read."""
    total = os.fstat(descriptor).st_size
    records, place = array("q"), 0
    while place < total:
        where = f"{file}: record {len(records) // 2}"
        start = os.pread(descriptor, LENGTH.size, place)
        if len(start) < LENGTH.size:
            raise UserError(f"{where}: truncated: the file ends within its length")
        length, crc = LENGTH.unpack(start)
        _check_crc(start[:8], crc, f"{where}: its length")
        place += LENGTH.size
        if length > MAX_RECORD:
            raise UserError(
                f"{where}: has {length} bytes; images of up to {MAX_SIDE}x{MAX_SIDE} are read"
            )
        if length + _CRC.size > total - place:
            raise UserError(
                f"{where}: truncated: {length} bytes declared, {total - place} are left"
            )
        records.extend((place, length))
        check_count(len(records) // 2, file)
        place += length + _CRC.size
    return np.array(records).reshape(-1, 2)


def _pixels(data: bytes, where: str) -> np.ndarray:
    """uint8 [C, H, W], C 1 or 3: a view of `data`."""
    try:
        features = parse_example(data)
    except ExampleError as error:
        raise UserError(f"{where}: not a tf.train.Example ({error})") from error
    if not {"shape", "data"} <= features.keys():
        names = ", ".join(sorted(features)[:5]) or "none"
        raise UserError(f'{where}: expected features "shape" and "data", found {names[:80]}')
    shape, strings = features["shape"].integers, features["data"].strings
    if len(shape) != 3 or shape[0] not in _MODES or not all(1 <= n <= MAX_SIDE for n in shape[1:]):
        raise UserError(f'{where}: "shape" is {list(shape[:4])}; expected [1 or 3, height, width]')
    if len(strings) != 1 or len(strings[0]) != shape[0] * shape[1] * shape[2]:
        found = [len(string) for string in strings[:3]]
        raise UserError(f'{where}: "data" has {found} bytes; expected one of {list(shape)} pixels')
    return np.frombuffer(strings[0], np.uint8).reshape(shape)


def _check_crc(data: bytes, expected: int, where: str) -> None:
    if masked_crc(data) != expected:
        raise UserError(f"{where}: checksum differs: damaged, or no TFRecords")


def _labels(file: Path, count: int) -> np.ndarray | None:
    found = files_ending_in(file.parent, ".labels", ".npy")
    if len(found) > 1:
        raise UserError(
            f"{file.parent}: {found[0].name} and {found[1].name} are both labels: leave one"
        )
    if not found:
        return None
    if found[0].stat().st_size > MAX_LABEL_BYTES:
        raise UserError(f"{found[0]}: more than {MAX_LABEL_BYTES >> 20} MiB of labels")
    return checked_labels(read_npy(found[0]), count, str(found[0]))


MAX_FIELDS = 4096
"""Of one Example, inner ones and numbers in a list included; an image has about ten."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_MAX_VARINT = 10  # bytes


class ExampleError(ValueError):
    """The bytes are no Example; the message says where they fail."""


@dataclass(frozen=True)
class Feature:
    """One named list of an Example; the list it is not is empty."""

    strings: tuple[memoryview, ...] = ()
    integers: tuple[int, ...] = ()


def parse_example(data: bytes) -> dict[str, Feature]:
    """Features by name; of two with one name the last counts, as in any reader of the format.

    Nothing large is copied from `data`. ExampleError where they end early, are of another shape, or
    have more than `MAX_FIELDS` fields.
    """
    return _Parser().example(memoryview(data))


class _Parser:
    """Counts what it has parsed: a message of empty fields would take time for nothing."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def example(self, data: memoryview) -> dict[str, Feature]:
        features: dict[str, Feature] = {}
        for map_of_features in self._messages(data, 1):
            for entry in self._messages(map_of_features, 1):
                name, feature = self._entry(entry)
                features[name] = feature
        return features

    def _entry(self, data: memoryview) -> tuple[str, Feature]:
        name, feature = "", Feature()
        for field, value in self._fields(data):
            if field == 1:
                name = bytes(_message(value)).decode("utf-8", "replace")
            elif field == 2:
                feature = self._feature(_message(value))
        return name, feature

    def _feature(self, data: memoryview) -> Feature:
        strings: list[memoryview] = []
        integers: list[int] = []
        for kind, values in self._fields(data):
            if kind == 1:
                strings += self._messages(_message(values), 1)
            elif kind == 3:
                for field, value in self._fields(_message(values)):
                    if field == 1:
                        integers += [value] if isinstance(value, int) else self._packed(value)
        return Feature(tuple(strings), tuple(integers))

    def _packed(self, data: memoryview) -> Iterator[int]:
        place = 0
        while place < len(data):
            self._count()
            value, place = _varint(data, place)
            yield value

    def _messages(self, data: memoryview, wanted: int) -> Iterator[memoryview]:
        for field, value in self._fields(data):
            if field == wanted:
                yield _message(value)

    def _fields(self, data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
        """Number and value of each field; fixed-width values are given as their bytes."""
        place = 0
        while place < len(data):
            self._count()
            tag, place = _varint(data, place)
            kind = tag & 7
            if kind == _VARINT:
                value, place = _varint(data, place)
                yield tag >> 3, value
                continue
            if kind == _BYTES:
                length, place = _varint(data, place)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise ExampleError(f"a field of unknown type {kind}")
            if length > len(data) - place:
                raise ExampleError(f"a field of {length} bytes where {len(data) - place} are left")
            yield tag >> 3, data[place : place + length]
            place += length

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ExampleError(f"more than {MAX_FIELDS} fields")


def _message(value: memoryview | int) -> memoryview:
    if isinstance(value, int):
        raise ExampleError("a number where a message was expected")
    return value


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """The number at `place`, below 2^64, and where the next thing begins."""
    value = 0
    for count, byte in enumerate(data[place : place + _MAX_VARINT]):
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value & (2**64 - 1), place + count + 1
    raise ExampleError("a number without an end")
