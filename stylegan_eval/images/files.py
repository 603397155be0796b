"""Images of a folder, a zip or a list of files, read in one fixed order."""

import hashlib
import os
import shlex
import zipfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar, cast

import numpy as np

from stylegan_eval import plugins
from stylegan_eval.engine.command import note
from stylegan_eval.engine.files import Stamp
from stylegan_eval.engine.safe_files import open_zip
from stylegan_eval.engine.untrusted import one_line, parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import CONTAINERS, TORCHVISION, container_at
from stylegan_eval.images.decoding import Header, decode, read_header
from stylegan_eval.images.image_kinds import left_out_line
from stylegan_eval.images.labels import (
    DATASET_JSON,
    Labels,
    attempted,
    check_size,
    parse_dataset_json,
    unused_labels,
)
from stylegan_eval.images.listing import Entry, Names, Numbers, Sorted, Stamps
from stylegan_eval.images.source import ImageSet, Source, read_as
from stylegan_eval.images.storage import STDIN, Folder, Listing, Zip, holds_images

MAX_FILE_BYTES = 2**30
_DECODING_THREADS = 8


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """The images of one folder or zip, sorted by name. Made by `open_images`.

    A context manager; may be pickled, and is then opened again where it arrives. Reading from
    several threads is safe.
    """

    kind: str  # what it is, in words
    path: Path  # the folder, zip or list
    names: Names  # relative posix paths, sorted
    labels: np.ndarray | None  # from ``dataset.json``: int64 [N] classes, or float32 [N, A]
    attributes: tuple[str, ...]  # names of the A columns of `labels`, or none
    digest: str
    """SHA-256 over name, size and CRC-32 (zip) or modification time (folder) of every file.
    ``dataset.json`` is one of them. `content_digest` looks at the content of folders too."""
    stamps: Mapping[str, Stamp]
    """Stamp of each file of a folder, from when it was listed; none in a zip."""
    _source: Folder | Zip
    _numbers: Numbers  # of each `listing.Entry`
    labels_fault: UserError | None = None  # why there are labels that cannot be used
    classes: tuple[str, ...] = ()  # names of the classes
    channels: int = 3  # by ``dataset.json``: 1 (grey), 3 or 4 (RGBA); `read` gives RGB

    def __len__(self) -> int:
        return len(self.names)

    @property
    def folder(self) -> Path | None:
        """Where the names begin; None for a zip."""
        return self._source.folder if isinstance(self._source, Folder) else None

    @property
    def left_out(self) -> str:
        """Files that are no images, by their endings; "" where there are none."""
        return left_out_line(self._source.left_out, companions=True)

    def remember(self, digests: Mapping[str, str]) -> None:
        """Take files of a folder for unchanged while they have these SHA-256."""
        self._source.digests = digests

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the zip; a later read opens it again."""
        self._source.close()

    def read(self, index: int) -> np.ndarray:
        """Image number `index` as uint8 [3, H, W] RGB; `decoding.decode` has the rules."""
        return self.read_as(index, 3)

    def read_as(self, index: int, channels: int) -> np.ndarray:
        """Image number `index` as uint8 [channels, H, W]: 1 (grey), 3 or 4 (RGBA)."""
        return decode(self.encoded(index), f"{self.path}: {one_line(self.names[index])}", channels)

    def encoded(self, index: int) -> bytes:
        """The file of image number `index` as it is stored."""
        return _read(self._source, self._entry(index))

    def size(self, index: int) -> int:
        """Bytes of the file of image number `index`."""
        return self._numbers[index][0]

    def header(self, index: int) -> Header:
        """Size and mode of image number `index`, without decoding it."""
        entry = self._entry(index)
        where = f"{self.path}: {one_line(entry.name)}"
        with parsing(where, "cannot be read"), self._source.open(entry) as stream:
            return read_header(stream, where)

    def _entry(self, index: int) -> Entry:
        return Entry(self.names[index], self._numbers[index])


def open_images(path: Path, *, labelled: bool = True) -> Source:
    """Open images; `labelled`: refuse those with labels that cannot be used.

    See `_opened` for what they are.
    """
    source = _opened(path)
    return with_usable_labels(source) if labelled else source


def with_usable_labels(source: Source) -> Source:
    """The same images, refused and closed where labels cannot be used."""
    fault: UserError | None = getattr(source, "labels_fault", None)  # plugins have none
    if fault is not None:
        source.close()
        raise fault
    return source


def _opened(path: Path) -> Source:
    """Open a folder (with its sub-folders), a zip, or another kind of set; see `CONTAINERS`.

    Files are taken by their ending in any case, those of an unknown ending by their first bytes;
    what is hidden (a part of the path begins with a dot, or is ``__MACOSX``) is left out without
    a word, the rest with a note. A ``dataset.json`` at the top gives labels.
    """
    if str(path).startswith(TORCHVISION):
        raise UserError(
            f"{path}: torchvision data can only be read by stylegan-data: make a zip of images"
            f" with: {prepare_command(path)}"
        )
    if path == STDIN:
        return open_list(path)
    kind = container_at(path) if path.exists() else None
    if kind is not None and path.is_dir() and holds_images(path):
        if CONTAINERS[kind].is_alone:
            note(f"{path}: image files beside {kind} are left out: name their folder by itself")
        else:
            kind = None
    if kind is None:
        return open_files(path)
    source: Source = plugins.resolve(CONTAINERS[kind].place)(path)
    return source


def code_of_reader(files: ImageSet) -> str:
    """Digest of the code of the package that reads these images; "" where it is this one."""
    kind = container_at(files.path) if files.path.exists() else None
    if kind is None or kind in CONTAINERS.own:
        return ""
    return plugins.code_of(CONTAINERS[kind].place)


def open_files(path: Path) -> ImageFiles:
    """The part of `_opened` for folders and zips."""
    if not path.exists():
        raise UserError(f"{path} does not exist; expected images: a folder, a zip, an array, ...")
    with parsing(path, "cannot be opened"):
        if path.is_dir():
            return _listed(Folder(path))
        if not path.is_file():  # reading a pipe would never end
            raise UserError(f"{path}: is no ordinary file; expected a folder of images or a zip")
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path} is neither a folder nor a zip (or the zip is truncated)")
        return _listed(Zip(path))


def open_list(path: Path) -> ImageFiles:
    """Open the images of a list (.txt): a path on each line, relative to it; ``-``: of stdin."""
    if path != STDIN and not path.is_file():
        raise UserError(f"{path} does not exist; expected a list of images, a path on each line")
    with parsing(path, "cannot be read"):
        return _listed(Listing(path))


def _is_of_torch(path: Path) -> bool:
    """Whether `torch.save` wrote a zip; `pickles.torch_files` knows too, and imports torch."""
    with open_zip(path) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())


def _listed(source: Folder | Zip) -> ImageFiles:
    path = source.path
    entries = Sorted(source.entries())
    digest, found = _look_through(entries, path)
    left_out = left_out_line(source.left_out)
    if not entries.names:
        others = f"; left out: {left_out}" if left_out else ""
        if isinstance(source, Zip) and _is_of_torch(path):
            others = (
                "; it is a file of torch.save: save statistics by np.savez('stats.npz', mu=mu,"
                " sigma=sigma), images as uint8 [N, 3, H, W] by np.save('images.npy', images)"
            )
        raise UserError(f"{path}: no images; expected PNG, JPEG, WebP, TIFF or the like{others}")
    source.check(entries.numbers)
    if left_out:
        note(f"{path}: left out: {left_out}")
    labels, fault = Labels(), None
    if found is not None:
        labels, fault = attempted(partial(_labels, source, found, entries.names), labels)
    elif source.lost_labels:
        lost = one_line(source.lost_labels)
        note(f"{path}: {lost}: no labels are read from it; expected {DATASET_JSON}")
    kind = type(source).__name__.lower()
    if labels.values is not None:
        kind = f"stylegan2-ada's {kind}"
    stamps: Mapping[str, Stamp] = {}
    if isinstance(source, Folder):
        apart = {} if found is None else {found.name: cast(Stamp, found.numbers)}
        stamps = Stamps(entries.names, entries.numbers, apart)
    return ImageFiles(
        *(
            kind,
            path,
            entries.names,
            labels.values,
            labels.attributes,
            digest,
            stamps,
            source,
        ),
        entries.numbers,
        labels_fault=fault,
        classes=labels.classes,
        channels=labels.channels,
    )


def _labels(source: Folder | Zip, found: Entry, names: Names) -> Labels:
    where = f"{source.path}: {DATASET_JSON}"
    check_size(found.numbers[0], len(names), where)
    labels = parse_dataset_json(_read(source, found), names, where)
    if labels.unused:
        note(f"{where}: {unused_labels(labels.unused)}")
    return labels


def _look_through(entries: Sorted, path: Path) -> tuple[str, Entry | None]:
    """Digest of name, size and stamp of each file; drops the file of labels, and returns it."""
    digest, found = hashlib.sha256(), None
    last, run, most = "", 1, (1, "")
    for entry in entries:
        name, (size, stamp, *_) = entry
        digest.update(f"{name}\0{size}\0{stamp}\n".encode("utf-8", "surrogateescape"))
        run = run + 1 if name == last else 1
        most = max(most, (run, name), key=lambda each: each[0])
        last = name
        if name == DATASET_JSON:
            found = entry
            entries.drop()
        elif size > MAX_FILE_BYTES:
            large = f"{size / 2**30:.1f} GiB"
            raise UserError(f"{path}: {one_line(name)}: {large}; files of at most 1 GiB are read")
    if most[0] > 1:
        raise UserError(
            f"{path}: {one_line(most[1])} is there {most[0]} times; names must be unique"
        )
    return digest.hexdigest(), found


def _read(source: Folder | Zip, entry: Entry) -> bytes:
    with parsing(f"{source.path}: {one_line(entry.name)}", "cannot be read"):
        return source.read(entry)


def read_batches(
    files: ImageSet, indices: Iterable[int], batch: int, channels: int = 3
) -> Iterator[np.ndarray]:
    """Decode images of one size in the order of `indices`, several at a time in threads.

    `batch`: images in each array; the last may have fewer. Yields uint8 [N, channels, H, W].
    """
    wanted = list(indices)
    first: tuple[int, ...] | None = None
    for places, images in read_groups(files, wanted, batch, channels):
        first = first or images.shape[1:]
        if images.shape[1:] != first:
            raise UserError(_differs(files, wanted[places[0]], images.shape[1:], first))
        yield images


def read_groups(
    files: ImageSet, indices: Iterable[int], batch: int, channels: int = 3
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Decode images of any sizes: each batch of `read_batches` in groups of one size.

    Yields their places in `indices`, and uint8 [n, channels, H, W].
    """
    read = files.read if channels == 3 else partial(read_as, files, channels=channels)
    return prefetched(_groups(read, indices, batch))


def _groups(
    read: Callable[[int], np.ndarray], indices: Iterable[int], batch: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    threads = min(_DECODING_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        images = enumerate(map_ordered(pool, read, indices, ahead=max(2 * batch, threads)))
        while block := dict(islice(images, batch)):
            groups: dict[tuple[int, ...], list[int]] = {}
            for place, image in block.items():
                groups.setdefault(image.shape, []).append(place)
            for places in groups.values():
                yield places, np.stack([block[place] for place in places])  # [n, C, H, W]


def _differs(files: ImageSet, index: int, found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    return (
        f"{files.path}: image {one_line(files.names[index])} is {found[2]}x{found[1]}, others are"
        f" {expected[2]}x{expected[1]}; make them equal with: {prepare_command(files.path)}"
    )


def prepare_command(path: Path | str) -> str:
    """The command that makes a set of images of one size of `path`, as a shell takes it."""
    dash = "./" if str(path).startswith("-") else ""  # or it would be an option
    return f"stylegan-data prepare {shlex.quote(f'{dash}{path}')} OUT.zip"


Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ordered(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of `items`, computed by `pool`.

    Unlike `Executor.map`, at most `ahead` results exist at a time, so a slow reader does not
    fill the memory; what has not started is cancelled when the reader stops or an item fails.

    `ahead`: items submitted and not yet yielded, at least 1.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            if len(pending) >= ahead:
                yield pending.popleft().result()
            pending.append(pool.submit(function, item))
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def prefetched(items: Iterator[Item]) -> Iterator[Item]:
    """Yield `items`, of which a thread makes the next while the reader works on one."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming: Future[Item | object] = thread.submit(next, items, end)
        try:
            while (item := coming.result()) is not end:
                coming = thread.submit(next, items, end)
                yield cast(Item, item)
        finally:
            coming.cancel() or wait([coming])
            if isinstance(items, Generator):
                items.close()
