"""WebDataset: tar files whose members belong together by their name up to the first dot."""

import functools
import gzip
import io
import json
import os
import tarfile
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from stylegan_eval.engine.command import note
from stylegan_eval.engine.files import Stamp, stamp_of
from stylegan_eval.engine.safe_files import MAX_EXPANSION, check_name
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import TAR_SUFFIXES
from stylegan_eval.images.files import MAX_FILE_BYTES
from stylegan_eval.images.image_kinds import START_BYTES, is_hidden, left_out_as, left_out_line
from stylegan_eval.images.labels import is_class, unused_labels
from stylegan_eval.images.listing import Entry, Names, Sorted
from stylegan_eval.images.source import (
    MAX_IMAGES,
    EncodedImages,
    check_count,
    files_ending_in,
    stamps_of,
)
from stylegan_eval.images.storage import CHANGED

_LABELS = (".cls", ".json")
_GZIP_MAGIC = b"\x1f\x8b"
_AT_ONCE = 2**20  # bytes
_BLOCK = tarfile.BLOCKSIZE
_MAX_HEADER = 2**20  # bytes of a long name or of extended headers
_MAX_LABEL = 2**20
_NONE = -1


class _Samples:
    """Images of tar files in their order, 24 bytes each beside their names and classes."""

    def __init__(self) -> None:
        self.names = Names()
        self.places = array("q")  # which of the files, where in it and how many bytes, in turn
        self.classes = array("q")  # `_NONE` where there is none
        self.fault: UserError | None = None  # of the labels, the first one

    def add(self, name: str, *place: int) -> int:
        """Keep one more; its number."""
        self.names.append(name)
        self.places.extend(place)
        self.classes.append(_NONE)
        return len(self.names) - 1

    def join(self, path: Path, parts: Sorted) -> Iterator[str]:
        """Give the images of one file their classes, by `_parts`; yields keys without an image."""
        for key, members in groupby(parts, key=attrgetter("name")):
            image = label = _NONE
            for _, (part,) in members:
                parts.drop()  # its name is not kept
                number, value = max(part, _NONE), max(~part, _NONE)
                if _NONE not in (image, number):
                    first, second = (self.names[n].partition("/")[2] for n in (image, number))
                    raise UserError(f"{path}: {second}: a second image of one sample ({first})")
                if value != _NONE and label not in (_NONE, value):
                    self.fault = self.fault or UserError(
                        f"{path}: {key.removeprefix('/')}: two labels of one sample, {label} and"
                        f" {value}: leave one"
                    )
                image, label = max(image, number), max(label, value)
            if image == _NONE:
                yield key.removeprefix("/")
            else:
                self.classes[image] = label


@dataclass(frozen=True, eq=False)
class _Members:
    """Members of tar files, opened for each: there may be more shards than open files allowed."""

    files: list[Path]
    stamps: Mapping[str, Stamp]  # of the files, when they were listed
    places: "array[int]"  # of `_Samples`
    unpacked: Mapping[int, IO[bytes]]  # temporary copies of those that are packed

    def fetch(self, index: int, where: str) -> bytes:
        file, start, size = self.places[3 * index : 3 * index + 3]
        if file in self.unpacked:
            data = os.pread(self.unpacked[file].fileno(), size, start)
        else:
            with self.files[file].open("rb") as stream:
                stream.seek(start)
                data = stream.read(size)
                if stamp_of(os.fstat(stream.fileno())) != self.stamps[self.files[file].name]:
                    raise UserError(f"{where}: {CHANGED}")
        if len(data) < size:
            raise UserError(f"{where}: the tar has become shorter")
        return data

    def size(self, index: int) -> int:
        return self.places[3 * index + 2]

    def close(self) -> None:
        """Remove the temporary copies."""
        for file in self.unpacked.values():
            file.close()


class _Headers(io.BufferedReader):
    """A file of which no more than a header is read at once, whatever its size field says."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes; expected at most {_MAX_HEADER}")
        return super().read(size)


def open_tars(path: Path) -> EncodedImages:
    """Open a tar file, packed by gzip or not, or all of a folder in the order of their names.

    A sample is ``KEY.png`` (or another image) and perhaps ``KEY.cls``, a whole number, or
    ``KEY.json`` with one as "label"; other members are passed over, such as ``KEY.mask.png``. A
    dot within a name, as in ``psi0.70.png``, is no end of a key. All samples have labels or none
    has.
    """
    files = files_ending_in(path, *TAR_SUFFIXES) if path.is_dir() else [path]
    samples = _Samples()
    left_out: Counter[str] = Counter()
    unpacked: dict[int, IO[bytes]] = {}
    store = _Members(files, stamps_of(files), samples.places, unpacked)
    try:
        for number, file in enumerate(files):
            with file.open("rb") as stream:
                if stream.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC:
                    unpacked[number] = _unpacked(file)
                descriptor = unpacked.get(number, stream).fileno()
                parts = Sorted(_parts((file, number), descriptor, samples, left_out))
            if unused := list(samples.join(file, parts)):
                note(f"{file}: {unused_labels(unused)}")
        if not samples.names and (others := left_out_line(left_out)):
            raise UserError(f"{path}: no images; left out: {others}")
        check_count(len(samples.names), path)
        return _labelled(path, samples, left_out, store)
    except BaseException:
        store.close()
        raise


def _labelled(
    path: Path, samples: _Samples, left_out: Counter[str], store: _Members
) -> EncodedImages:
    if others := left_out_line(left_out):
        note(f"{path}: left out: {others}")
    classes = np.array(samples.classes)
    has_one = classes != _NONE
    if has_one.any() and not has_one.all():
        name = samples.names[int(has_one.argmin())]
        lacking = UserError(f"{path}: {name} has no label, others have one")
        samples.fault = samples.fault or lacking
    return EncodedImages(
        kind="WebDataset",
        path=path,
        names=samples.names,
        stamps=store.stamps,
        store=store,
        labels=classes if has_one.any() else None,
        labels_fault=samples.fault,
    )


def _unpacked(path: Path) -> IO[bytes]:
    """A temporary copy without the packing; images hardly shrink, so neither may they expand."""
    most = MAX_EXPANSION * path.stat().st_size
    with ExitStack() as stack:  # closes the copy where reading fails
        copy = stack.enter_context(tempfile.TemporaryFile())
        with parsing(path, "damaged or truncated gzip"), gzip.open(path) as packed:
            while part := packed.read(_AT_ONCE):
                copy.write(part)
                if copy.tell() > most:
                    raise UserError(f"{path}: expands more than {MAX_EXPANSION} times: unpack it")
        copy.flush()
        stack.pop_all()
        return copy


def _parts(
    file: tuple[Path, int], descriptor: int, samples: _Samples, left_out: Counter[str]
) -> Iterator[Entry]:
    """Key of each image, which is added, with its number; and of each class c, with ~c."""
    path, labels, first, count = file[0], 0, len(samples.names), 0
    fields: dict[str, list[tuple[str, int, int]]] = {}  # images KEY.FIELD.png by their key
    for name, start, size in _members(path, descriptor):
        if is_hidden(name):
            continue
        key, ending = _key(name)
        where = f"{path}: {name}"
        if ending in _LABELS:
            try:
                label = _label(descriptor, start, size, where)
            except UserError as error:
                samples.fault = samples.fault or error
                continue
            if label is not None:
                check_count(labels := labels + 1, path)
                yield Entry(key, (~label,))
            continue
        other = left_out_as(name, functools.partial(os.pread, descriptor, START_BYTES, start))
        if other is not None:
            left_out[other] += 1
            continue
        check_count(first + (count := count + 1), path)
        size = _bounded(size, MAX_FILE_BYTES, where)
        if "." in ending[1:]:
            fields.setdefault(key, []).append((name, start, size))
        else:
            yield Entry(key, (samples.add(f"{path.name}/{name}", file[1], start, size),))
    names = (samples.names[number].partition("/")[2] for number in range(first, len(samples.names)))
    beside = fields.keys() & {_key(name)[0] for name in names}
    masks = {_key(name)[1] for key in beside for name, *_ in fields[key]}  # or the like
    for key, members in fields.items():
        endings = [_key(name)[1] for name, *_ in members]
        if key in beside or masks.issuperset(endings) or (len(members) > 1 and beside):
            left_out.update(endings)
            continue
        if len(members) > 1:
            one, two = (name for name, *_ in members[:2])
            raise UserError(
                f"{path}: {one} and {two} are of one sample: call its image"
                f" {key.removeprefix('/')}{PurePosixPath(one).suffix}, or name their folder"
            )
        name, start, size = members[0]
        yield Entry(key, (samples.add(f"{path.name}/{name}", file[1], start, size),))


def _key(name: str) -> tuple[str, str]:
    """Key of a sample and the ending, which begins with the names of fields: ``.mask.png``."""
    folder, _, base = name.removeprefix("./").rpartition("/")
    stem, dot, ending = base.rpartition(".") if "." in base else (base, "", "")
    parts = stem.split(".")
    while len(parts) > 1 and parts[-1].isidentifier():
        ending = f"{parts.pop()}.{ending}"
    return f"{folder}/{'.'.join(parts)}", f"{dot}{ending.lower()}"


def _members(path: Path, descriptor: int) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of each ordinary file."""
    total = os.fstat(descriptor).st_size
    os.lseek(descriptor, 0, os.SEEK_SET)
    with (
        parsing(path, "damaged, truncated or packed tar"),
        _Headers(io.FileIO(descriptor, closefd=False)) as stream,
        tarfile.open(fileobj=stream, mode="r:", errorlevel=2) as tar,
    ):
        count = 0
        while (member := tar.next()) is not None:
            vars(tar)["members"].clear()  # it would keep them all
            count += 1
            if count > 4 * MAX_IMAGES:
                raise UserError(f"{path}: too many members")
            _check_member(member, total, f"{path}: {member.name}")
            if member.isreg():
                yield member.name, member.offset_data, member.size
        stream.seek(tar.offset)
        end = stream.read(_BLOCK)
    if end != bytes(_BLOCK):
        raise UserError(f"{path}: damaged or truncated tar: no end where one was expected")


def _check_member(member: tarfile.TarInfo, total: int, where: str) -> None:
    check_name(member.name, where)
    if member.issym() or member.islnk():
        raise UserError(f"{where}: is a link; expected ordinary files")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise UserError(f"{where}: is no ordinary file")
    if member.size < 0 or member.offset_data + member.size > total:
        raise UserError(f"{where}: {member.size} bytes declared, which the file does not have")


def _bounded(size: int, most: int, where: str) -> int:
    if size > most:
        raise UserError(f"{where}: has {size} bytes; at most {most} are read")
    return size


def _label(descriptor: int, start: int, size: int, where: str) -> int | None:
    """The class that a .cls or .json member holds; None if it holds none."""
    text = os.pread(descriptor, _bounded(size, _MAX_LABEL, where), start)
    with parsing(where, "expected a whole number or JSON"):
        value = json.loads(text)
    if isinstance(value, dict):
        if "label" not in value:
            return None
        value = value["label"]
    if not is_class(value):
        raise UserError(f"{where}: a class must be a whole number from 0 on")
    return int(value)
