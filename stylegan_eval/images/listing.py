"""Names and numbers of millions of images, in a few dozen bytes each."""

import heapq
from array import array
from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast, overload

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.files import Stamp

_CODING = "utf-8", "surrogatepass"  # any name, and its bytes have the order of its characters
_BLOCK = 2**12  # names that are sorted in memory


class Names(Sequence[str]):
    """Names, kept as one run of bytes. More can be appended."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._data = bytearray()
        self._ends = array("q")  # of each name
        for name in names:
            self.append(name)

    def append(self, name: str) -> None:
        """Keep one more name."""
        self._data += name.encode(*_CODING)
        self._ends.append(len(self._data))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[each] for each in range(*index.indices(len(self))))
        at = range(len(self))[index]  # IndexError, and from the end
        start = self._ends[at - 1] if at else 0
        return self._data[start : self._ends[at]].decode(*_CODING)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(map(str.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Names({len(self)}, {self[:3]}...)"

    def place(self, name: str) -> int:
        """Number of a name, of names in the order of their characters; KeyError without one."""
        at = bisect_left(self, name)
        if at == len(self) or self[at] != name:
            raise KeyError(name)
        return at


class Numbers:
    """Whole numbers below 2^63, some for each of N files, in columns as narrow as can be."""

    def __init__(self, columns: Iterable[NDArray[np.int64]]) -> None:
        self.columns = [_narrowed(column) for column in columns]

    def __getitem__(self, index: int) -> tuple[int, ...]:
        return tuple(int(column[index]) for column in self.columns)


def _narrowed(column: NDArray[np.int64]) -> NDArray[Any]:
    ends = [column.min(), column.max()] if len(column) else [0]
    return column.astype(np.result_type(*map(np.min_scalar_type, ends)))


class Stamps(Mapping[str, Stamp]):
    """Stamps of files by name, packed into arrays."""

    def __init__(self, names: Names, numbers: Numbers, others: Mapping[str, Stamp]) -> None:
        self._names, self._numbers, self._others = names, numbers, others

    def __len__(self) -> int:
        return len(self._names) + len(self._others)

    def __iter__(self) -> Iterator[str]:
        yield from self._others
        yield from self._names

    def __getitem__(self, name: str) -> Stamp:
        if name in self._others:
            return self._others[name]
        return cast(Stamp, self._numbers[self._names.place(name)])

    def items(self) -> "_Items":
        """Names and numbers; iterating over them looks none of the names up."""
        return _Items(self)

    def pairs(self) -> Iterator[tuple[str, Stamp]]:
        """Names and numbers, one after the other."""
        yield from self._others.items()
        for at, name in enumerate(self._names):
            yield name, cast(Stamp, self._numbers[at])


class _Items(ItemsView[str, Stamp]):
    _mapping: Stamps

    def __iter__(self) -> Iterator[tuple[str, Stamp]]:
        return self._mapping.pairs()


class Entry(NamedTuple):
    """A file: its name, and whole numbers of 64 bits that say what it is and where."""

    name: str
    numbers: tuple[int, ...]


class Sorted:
    """Entries in the order of their names.

    Iterates over them once; `names` and `numbers` are there from then on, without those entries
    that the reader gave to `drop`.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._blocks: list[tuple[Names, NDArray[np.int64]]] = []  # with numbers of their arrival
        self._columns: list[array[int]] = []
        self.count = 0
        block: list[str] = []
        for name, numbers in entries:
            self._columns = self._columns or [array("q") for _ in numbers]
            for column, number in zip(self._columns, numbers, strict=True):
                column.append(number)
            block.append(name)
            if len(block) == _BLOCK:
                self._keep(block)
                block = []
        self._keep(block)

    def _keep(self, block: Sequence[str]) -> None:
        order = sorted(range(len(block)), key=block.__getitem__)
        names = Names(block[at] for at in order)
        self._blocks.append((names, self.count + np.array(order, np.int64)))
        self.count += len(block)

    def __iter__(self) -> Iterator[Entry]:
        names, taken, self._dropped = Names(), array("q"), False
        for name, at in heapq.merge(*(zip(*block, strict=True) for block in self._blocks)):
            yield Entry(name, tuple(column[at] for column in self._columns))
            if self._dropped:
                self._dropped = False
                continue
            names.append(name)
            taken.append(at)
        self._blocks.clear()
        self.names = names
        self.numbers = Numbers(self._in_order(taken))

    def _in_order(self, taken: "array[int]") -> Iterator[NDArray[np.int64]]:
        """The columns in the order of the names; each goes when the next one comes."""
        order = np.frombuffer(taken, np.int64)
        while self._columns:
            yield np.frombuffer(self._columns.pop(0), np.int64)[order]

    def drop(self) -> None:
        """Leave out the entry that came last."""
        self._dropped = True
