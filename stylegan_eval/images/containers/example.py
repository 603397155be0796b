"""The part of tf.train.Example that data sets of images use, parsed from its bytes alone.

An Example is a message of the protocol-buffers wire format: Example.features (field 1) holds
entries of a map (field 1), each a name (1) and a Feature (2), which is a list of byte strings
(field 1), floats (2, not read here) or integers (3).
"""

from collections.abc import Iterator
from dataclasses import dataclass

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

    `data`: The message; nothing large is copied from it.

    Raises
    ------
    ExampleError
        The bytes end early, are of another shape, or have more than `MAX_FIELDS` fields.
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
