"""CelebA and CelebA-HQ: a folder of images beside a list of 40 attributes of each."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from stylegan_eval.engine.command import note
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import ImageFiles, open_files
from stylegan_eval.images.labels import unused_labels
from stylegan_eval.images.source import MAX_LABEL_BYTES
from stylegan_eval.images.storage import has_images

_LISTS = (
    "list_attr_celeba.txt",
    "Anno/list_attr_celeba.txt",
    "list_attr_celeba.csv",
    "CelebAMask-HQ-attribute-anno.txt",
)
_MAX_ATTRIBUTES = 1000
_MAX_LINE = 2**16  # characters
_SEPARATORS = re.compile(r"[,\s]+")
_VALUES = {"1": 1, "-1": 0, "0": 0}


def attribute_list(path: Path) -> Path | None:
    """The list of attributes in a folder of CelebA or CelebA-HQ, if there is one."""
    return next((path / name for name in _LISTS if (path / name).is_file()), None)


def open_celeba(path: Path) -> ImageFiles:
    """Open CelebA or CelebA-HQ, attributes as labels: 1 where the list has 1, 0 where it has -1."""
    listed = attribute_list(path)
    if listed is None:
        raise UserError(f"{path}: has none of {', '.join(_LISTS)}")
    files = open_files(_image_folder(path))
    # The official list names the JPEGs; the aligned images are handed around as PNG as well.
    stems = [PurePosixPath(name).stem for name in files.names]
    attributes, rows, unused = _read_list(listed, set(stems))
    missing = next(
        (n for n, stem in zip(files.names, stems, strict=True) if stem not in rows), None
    )
    if missing is not None:
        raise UserError(f"{listed}: has no line for {missing}, which is in {files.path}")
    if unused:
        note(f"{listed}: {unused_labels(unused)}")
    labels = np.stack([rows[stem] for stem in stems]).astype(np.float32)  # [N, A]
    kind = "CelebA-HQ" if listed.name.startswith("CelebAMask-HQ") else "CelebA"
    return dataclasses.replace(files, kind=kind, labels=labels, attributes=attributes)


def _image_folder(path: Path) -> Path:
    """The one folder below `path` that has images, or `path` itself."""
    below = [
        path,
        *_folders(path),
        *(deep for folder in _folders(path) for deep in _folders(folder)),
    ]
    folders = [folder for folder in below if has_images(folder)]
    if len(folders) != 1:
        names = ", ".join(str(folder) for folder in folders[:3]) or "none"
        raise UserError(f"{path}: expected one folder of images beside the list, found {names}")
    return folders[0]


def _folders(path: Path) -> list[Path]:
    # Segmentation masks are images too, but not of the set.
    named = (p for p in path.iterdir() if p.is_dir() and "mask-anno" not in p.name)
    return sorted(p for p in named if not p.name.startswith("."))


def _read_list(
    path: Path, wanted: set[str]
) -> tuple[tuple[str, ...], dict[str, np.ndarray], list[str]]:
    """Names of the attributes, uint8 [A] by the stem of each wanted image, and unwanted images."""
    if path.stat().st_size > MAX_LABEL_BYTES:
        raise UserError(f"{path}: more than {MAX_LABEL_BYTES >> 20} MiB of labels")
    rows: dict[str, np.ndarray] = {}
    lines = _lines(path)
    first = next(lines, [])
    declared = int(first[0]) if len(first) == 1 and first[0].isdecimal() else None
    header = first if declared is None else next(lines, [])
    attributes = tuple(name for name in header if name != "image_id")
    if not 1 <= len(attributes) <= _MAX_ATTRIBUTES:
        raise UserError(f"{path}: names {len(attributes)} attributes; expected 40")
    count, unused = 0, list[str]()
    for words in lines:
        count += 1
        values = [_VALUES.get(word, -1) for word in words[1:]]
        if len(values) != len(attributes) or -1 in values:
            raise UserError(
                f"{path}: image {count} of the list: expected a name and"
                f" {len(attributes)} times 1 or -1"
            )
        stem = PurePosixPath(words[0]).stem
        if stem not in wanted:
            unused.append(words[0])
            continue
        row = np.array(values, dtype=np.uint8)
        if not np.array_equal(rows.setdefault(stem, row), row):
            raise UserError(f"{path}: two lines of {words[0]} that differ: leave one")
    if declared is not None and declared != count:
        raise UserError(f"{path}: says it has {declared} images, has {count}")
    return attributes, rows, unused


def _lines(path: Path) -> Iterator[list[str]]:
    """The words of each line that has some; a line of endless length comes in pieces."""
    with path.open(encoding="utf-8", errors="replace") as file:
        while line := file.readline(_MAX_LINE):
            if words := [word for word in _SEPARATORS.split(line) if word]:
                yield words
