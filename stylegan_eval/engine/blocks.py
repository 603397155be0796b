"""Work in blocks: long runs can be resumed and divided, and their standard error estimated.

A measurement over N images (or pairs) is cut into blocks by a rule that knows N alone. Each block
becomes a few arrays in a file of its own, written whole or not at all. So a killed run goes on
where it stopped, processes divide the blocks among themselves, and the result, a function of the
blocks in their order, has the same bits every time. The jackknife leaves out blocks in turn.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.files import PACKAGE, atomic_write, check_writable
from stylegan_eval.engine.processes import Processes
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.engine.safe_files import read_npz
from stylegan_eval.errors import UserError

Arrays = Mapping[str, NDArray[Any]]
Key = Mapping[str, str | int | float]
Tick = Callable[[int], object]

# Into how many blocks, and from how many images on. The counts are divisible by the usual numbers
# of GPUs; a block's scatter costs as much as a dozen images, so few images make few blocks.
BLOCK_COUNTS = ((40, 10_240), (20, 640), (10, 320))
WORK_FORMAT = "stylegan-eval-work/1"
_OF = "block"  # array that says which block a file is


def split(num: int) -> list[range]:
    """Cut 0 .. num - 1 into 40, 20 or 10 nearly equal blocks by `BLOCK_COUNTS`, else into one."""
    count = next((blocks for blocks, least in BLOCK_COUNTS if num >= least), 1)
    bounds = [num * block // count for block in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(bounds)]


def split_all(nums: Iterable[int]) -> list[range]:
    """Blocks of several consumers at once: cut wherever one of them is cut by `split`."""
    cuts = sorted({0} | {block.stop for num in nums for block in split(num)})
    return [range(start, stop) for start, stop in pairwise(cuts)]


def key_digest(key: Key) -> str:
    """SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays as an uncompressed `.npz`, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(
    path: Path, names: Collection[str] | None = None, *, mapped: bool = False
) -> dict[str, NDArray[Any]] | None:
    """As `read_npz`; None when there is no such file or it is damaged."""
    try:
        return read_npz(path, names, mapped=mapped)
    except (UserError, OSError):
        return None


def _save_block(path: Path, arrays: Arrays) -> None:
    save_arrays(path, {**arrays, _OF: np.array(_name(path))})


def _load_block(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of a block, None where they are damaged or those of another one."""
    arrays = load_arrays(path)
    if arrays is None:
        return None
    # Earlier versions did not write whose they are.
    return arrays if str(arrays.pop(_OF, _name(path))) == _name(path) else None


def _name(block: Path) -> str:
    """Digest of the work's key, and the block's range."""
    return f"{block.parent.name}/{block.stem}"


class Blocks(Sequence[dict[str, NDArray[Any]]]):
    """The arrays of blocks, in order; each is read from its file when it is asked for.

    All at once would fill the memory: the scatter of 2048 features takes 17 MB in each.
    """

    def __init__(self, count: int, read: Callable[[int], dict[str, NDArray[Any]]]) -> None:
        self._numbers = range(count)
        self._read = read

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, number: int) -> dict[str, NDArray[Any]]: ...
    @overload
    def __getitem__(self, number: slice) -> list[dict[str, NDArray[Any]]]: ...
    def __getitem__(
        self, number: int | slice
    ) -> dict[str, NDArray[Any]] | list[dict[str, NDArray[Any]]]:
        """Read one block, or several."""
        if isinstance(number, slice):
            return [self._read(each) for each in self._numbers[number]]
        return self._read(self._numbers[number])


@dataclass(frozen=True, kw_only=True)
class Run:
    """Device and processes of a measurement, and its unfinished work."""

    device: torch.device  # Of generator and networks
    processes: Processes = field(default_factory=Processes)
    """This process among those that share the work."""
    folder: Path = field(default_factory=lambda: cache_dir() / "work")
    """Unfinished work is kept below it."""
    _stores: list[Path] = field(default_factory=list)

    def map_blocks(
        self,
        key: Key,
        blocks: Sequence[range],
        compute: Callable[[range, Tick], Arrays],
        label: str,
        unit: str = "img",
    ) -> Blocks:
        """Compute every block that is not there yet, and return all of them in order.

        Must be called by all processes alike; each computes its share and waits for the others.
        Returns the arrays of each block, to be read before `finish`; none in all processes but the
        first. `key` holds everything the blocks depend on: equal keys, equal blocks. `compute` is
        ``(block, tick) -> arrays``, and calls ``tick(n)`` after every n images.
        """
        store = self._open(key)
        paths = [store / f"{block.start:09d}-{block.stop:09d}.npz" for block in blocks]
        mine = self.processes.share(list(zip(blocks, paths, strict=True)))
        done = sum(len(block) for block, path in mine if path.exists())
        total = sum(len(block) for block, _ in mine)
        shown = self.processes.is_first
        with progress_bar(desc=label, total=total, initial=done, unit=unit, shown=shown) as bar:
            for block, path in mine:
                if not path.exists():
                    what = f"{label}: {unit} {block.start} to {block.stop - 1}"
                    with self.processes.doing(what):
                        _save_block(path, compute(block, bar.update))
        self.processes.gather(paths)

        def read(number: int) -> dict[str, NDArray[Any]]:
            block, path = blocks[number], paths[number]
            arrays = _load_block(path)
            if arrays is None and self.processes.world == 1:
                # Damaged, or removed by a run of the same work that has finished meanwhile.
                _save_block(path, compute(block, lambda _: None))
                arrays = _load_block(path)
            if arrays is None:
                path.unlink(missing_ok=True)
                raise UserError(f"{path}: a block is missing or damaged: start the command again")
            return arrays

        return Blocks(len(blocks) if self.processes.is_first else 0, read)

    def supersede(self, key: Key) -> None:
        """Remove the blocks under this key when the run is finished: they are not needed."""
        self._stores.append(self._store(key))

    @property
    def receipt(self) -> Path | None:
        """File that says, until `finish`, which rows were appended to a table (`append_csv`)."""
        return self._stores[0] / "appended.csv" if self._stores else None

    def finish(self) -> None:
        """Remove the work of this run, on every machine: the result is out."""
        self.processes.wait()
        for store in self._stores:
            shutil.rmtree(store, ignore_errors=True)

    def _store(self, key: Key) -> Path:
        # Another version may draw or look at images otherwise.
        made_by = {"format": WORK_FORMAT, "version": version(PACKAGE)}
        return self.folder / key_digest({**key, **made_by})[:32]

    def _open(self, key: Key) -> Path:
        if self.processes.of_first(key_digest(key)) != key_digest(key):
            raise UserError(
                f"process {self.processes.rank} has other images or networks than the first: they"
                " must see the same files, and a --generator must not draw its weights"
            )
        self.supersede(key)
        store = self._store(key)
        check_writable(store / "key.json")
        store.mkdir(parents=True, exist_ok=True)
        if self.processes.is_first:
            with atomic_write(store / "key.json") as temporary:
                temporary.write_text(json.dumps(key, indent=2, sort_keys=True), encoding="utf-8")
        return store
