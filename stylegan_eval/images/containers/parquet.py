"""Parquet files of the Hugging Face hub: a column of encoded images, and perhaps one of classes.

A column can only be read a group of rows at a time, and metrics read images in random order. So the
images are copied once, in one pass, into a temporary file, which is read from then on.
"""

import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from stylegan_eval.engine.command import note
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers import PARQUET_SUFFIX
from stylegan_eval.images.files import MAX_FILE_BYTES
from stylegan_eval.images.labels import attempted, checked_labels, fitting_names
from stylegan_eval.images.listing import Names
from stylegan_eval.images.source import (
    EncodedImages,
    check_count,
    files_ending_in,
    needed,
    stamps_of,
)

_ROWS = 64  # at a time
_USUAL = ("image", "img")
_LABEL = "label"
_EXPECTED = "expected a column of images: their files' bytes, or a struct with a field bytes"


@dataclass(frozen=True, eq=False)
class _Spool:
    """Images one after another in a temporary file that ends with the process."""

    file: IO[bytes]
    ends: Sequence[int]

    def fetch(self, index: int, where: str) -> bytes:
        size = self.size(index)
        data = os.pread(self.file.fileno(), size, self.ends[index] - size)
        if len(data) != size:
            raise UserError(f"{where}: its temporary copy has become shorter")
        return data

    def size(self, index: int) -> int:
        return self.ends[index] - (self.ends[index - 1] if index else 0)

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class _Columns:
    """Columns that are read of each row."""

    image: str
    label: str | None
    classes: tuple[str, ...]


def open_parquet(path: Path) -> EncodedImages:
    """Open a parquet file, or all of a folder in the order of their names.

    Classes are the first ClassLabel of the hub's schema, or whole numbers in a column ``label``.
    """
    parquet = needed("pyarrow.parquet", "pyarrow", "parquet")
    files = files_ending_in(path, PARQUET_SUFFIX) if path.is_dir() else [path]
    stamps = stamps_of(files)
    names, ends = Names(), array("q")
    labels: list[int | None] = []
    with ExitStack() as stack:  # closes the copy where reading fails
        spool = stack.enter_context(tempfile.TemporaryFile())
        columns = None
        with progress_bar(desc=f"read {path.name}", unit="img") as bar:
            for file in files:
                with parsing(file, "not a parquet file of images"), file.open("rb") as stream:
                    rows = parquet.ParquetFile(stream)
                    columns = columns or _columns(rows.schema_arrow, file)
                    _check_space(rows.metadata, file)
                    for row, (data, label) in enumerate(_rows(rows, columns, file)):
                        check_count(len(names) + 1, path)
                        spool.write(data)
                        ends.append((ends[-1] if ends else 0) + len(data))
                        names.append(f"{file.name}/{row:06d}")
                        labels.append(label)
                        bar.update()
        spool.flush()
        check_count(len(names), path)
        assert columns is not None
        classes, fault = attempted(partial(_classes, labels, f"{path}: {columns.label}"), None)
        images = EncodedImages(
            kind="parquet",
            path=path,
            names=names,
            stamps=stamps,
            labels=classes,
            labels_fault=fault,
            classes=fitting_names(columns.classes, classes),
            store=_Spool(spool, ends),
        )
        stack.pop_all()  # the images close it
        return images


def _columns(schema: Any, file: Path) -> _Columns:
    features = _features(schema)
    images = [field.name for field in schema if _is_of_images(field.type)]
    declared = [name for name in images if features.get(name, {}).get("_type") == "Image"]
    images = sorted(declared or images, key=lambda name: name not in _USUAL)
    if not images:
        held = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise UserError(f"{file}: holds {held:.200}; {_EXPECTED}")
    labels = [
        name
        for name, feature in features.items()
        if feature.get("_type") == "ClassLabel" and name in schema.names
    ]
    if not labels and _LABEL in schema.names and "int" in str(schema.field(_LABEL).type):
        labels = [_LABEL]
    for kind, found in (("images", images), ("classes", labels)):
        if len(found) > 1:
            note(f"{file}: {kind} are taken from the column {found[0]}, not {', '.join(found[1:])}")
    label = labels[0] if labels else None
    listed = features.get(label or "", {}).get("names")
    classes = tuple(map(str, listed)) if isinstance(listed, list) else ()
    return _Columns(images[0], label, classes)


def _is_of_images(kind: Any) -> bool:
    if str(kind).startswith("struct<"):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return any(field.name == "bytes" and "binary" in str(field.type) for field in fields)
    return str(kind) in ("binary", "large_binary")


def _features(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """The hub's description of the columns; empty if a file is not the hub's."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (LookupError, ValueError, TypeError, AttributeError):
        return {}


def _rows(rows: Any, columns: _Columns, file: Path) -> Iterator[tuple[bytes, int | None]]:
    """The image and the class of each row."""
    wanted = [columns.image, *([columns.label] if columns.label else [])]
    if missing := [name for name in wanted if name not in rows.schema_arrow.names]:
        raise UserError(f"{file}: has no column {missing[0]}, other files have one")
    number = 0
    for batch in rows.iter_batches(batch_size=_ROWS, columns=wanted):
        images = batch.column(columns.image)
        labels = batch.column(columns.label) if columns.label else [None] * len(images)
        for image, label in zip(images, labels, strict=True):
            value = image.as_py()
            data = value.get("bytes") if isinstance(value, dict) else value
            where = f"{file}: row {number}"
            if not data and isinstance(value, dict) and value.get("path"):
                raise UserError(
                    f"{where}: has no bytes of an image; images beside the file are not read"
                )
            data = data or b""  # told as an empty file, which can be left out
            if len(data) > MAX_FILE_BYTES:
                raise UserError(f"{where}: images of at most 1 GiB are read")
            yield data, None if label is None else label.as_py()
            number += 1


def _check_space(metadata: Any, file: Path) -> None:
    size = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    folder = tempfile.gettempdir()
    if size > (free := shutil.disk_usage(folder).free):
        raise UserError(
            f"{file}: its copy takes {size / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are"
            " free: set TMPDIR to a folder of another disk"
        )


def _classes(labels: Sequence[int | None], where: str) -> np.ndarray | None:
    """Classes from 0 on; None where no image has one (the hub's tests have -1)."""
    if all(label is None or label == -1 for label in labels):
        return None
    if None in labels:
        raise UserError(f"{where}: image {labels.index(None)} has no class, others have one")
    return checked_labels(np.array(labels), len(labels), where)
