"""`dataset.json`: the labels beside a set of images, in the layout of stylegan2-ada."""

import json
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from stylegan_eval.engine.untrusted import as_listed, leaves_folder, name_form, one_line, parsing
from stylegan_eval.errors import UserError

DATASET_JSON = "dataset.json"
_MOST_BYTES = 2**27
_SPARE_BYTES = 2**20
_BYTES_PER_IMAGE = 2**16
_LARGEST_CLASS = 2**31 - 1
_MOST_CLASSES = 2**16  # sparse numbers beyond are no classes that lack images
_LARGEST = float(np.finfo(np.float32).max)


Read = TypeVar("Read")


class Labels(NamedTuple):
    """Labels of N images."""

    values: np.ndarray | None = None  # int64 [N] classes, or float32 [N, A]
    attributes: tuple[str, ...] = ()  # names of the A columns, or none
    classes: tuple[str, ...] = ()  # name of each class, or none
    unused: tuple[str, ...] = ()  # what it names beside the images
    channels: int = 3  # of the images: 1 (grey), 3 or 4 (RGBA)


def attempted(read: Callable[[], Read], otherwise: Read) -> tuple[Read, UserError | None]:
    """What `read` gives, or else why labels cannot be used: metrics need none."""
    try:
        return read(), None
    except UserError as error:
        return otherwise, error


def check_size(size: int, count: int, where: str) -> None:
    """Check the size of a file of labels, in bytes, against the number of images it is for."""
    most = min(_MOST_BYTES, _SPARE_BYTES + count * _BYTES_PER_IMAGE)
    if size > most:
        raise UserError(
            f"{where}: {size / 2**20:.0f} MiB of labels for {count} images;"
            f" at most {most / 2**20:.0f} MiB are read"
        )


def parse_dataset_json(data: bytes, names: Sequence[str], where: str) -> Labels:
    """Labels in the order of `names`.

    Names are compared as paths: ``a\\b.png`` and ``./a/b.png`` are ``a/b.png``; and where a name
    has no label so, in any case and Unicode form that leaves no doubt.

    `data` is a JSON object with ``"labels"``: null or a list of ``[name, label]``, a label being a
    class (whole number from 0) or a list of numbers; and optionally ``"attributes"``: a list with
    one name for each number; or ``"class_names"``: the name of class 0, of class 1, and so on; and
    ``"channels"``: 1, 3 or 4, of the images. `where` names the file in messages.
    """
    with parsing(where, "not valid JSON"):
        content = json.loads(data, object_pairs_hook=_once)
    if not isinstance(content, dict):
        raise UserError(f'{where}: expected a JSON object with "labels"')
    attributes = content.get("attributes") or ()
    if not isinstance(attributes, list | tuple) or not all(isinstance(a, str) for a in attributes):
        raise UserError(f'{where}: "attributes" must be a list of names')
    channels = content.get("channels", 3)
    if type(channels) is not int or channels not in (1, 3, 4):
        raise UserError(f'{where}: "channels" must be 1, 3 or 4, not {channels!r:.40}')
    pairs = content.get("labels")
    by_name = {} if pairs is None else _by_name(pairs, where)
    keys = _keys(by_name, names)
    labels = None if pairs is None else _label_array(by_name, names, keys, where)
    columns = 0 if labels is None or labels.ndim == 1 else labels.shape[1]
    if attributes and columns != len(attributes):
        raise UserError(f"{where}: {len(attributes)} attributes named, {columns} in each label")
    classes = _class_names(content.get("class_names"), labels, where)
    used: Collection[str | None] = by_name if keys is names else set(keys)
    unused = tuple(name for name in by_name if name not in used)
    return Labels(labels, tuple(attributes), classes, unused, channels)


def _class_names(names: Any, labels: np.ndarray | None, where: str) -> tuple[str, ...]:
    if names is None:
        return ()
    try:
        classes = checked_names(names)
    except ValueError as error:
        raise UserError(f'{where}: "class_names": {error}') from error
    if alike := alike_names(classes):
        raise UserError(
            f'{where}: "class_names": {alike[0]!a:.60} and {alike[1]!a:.60} are one name in two'
            " forms of Unicode: rename one"
        )
    if classes and (labels is None or labels.ndim != 1):
        raise UserError(f'{where}: "class_names" are given, and labels are no classes: remove them')
    if classes and labels is not None and labels.max() >= len(classes):
        raise UserError(
            f'{where}: "class_names" has {len(classes)} names, and there is a class'
            f" {labels.max()}: name all classes from 0 on"
        )
    return classes


def checked_names(names: Any) -> tuple[str, ...]:
    """Names of classes from an untrusted file; ValueError where they are none."""
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n for n in names):
        raise ValueError("expected a list of names")
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise ValueError(f"{name!r:.60} is there twice")
    return tuple(names)


def alike_names(names: Sequence[str]) -> tuple[str, str] | None:
    """Two names that differ only in their form of Unicode, or in blanks around them.

    >>> alike_names(["caf\xe9", "tea", "cafe\u0301"])
    ('caf\xe9', 'cafe\u0301')
    """
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(name_form(name), name)) is not name:
            return other, name
    return None


def fitting_names(names: Sequence[str], labels: np.ndarray | None) -> tuple[str, ...]:
    """Names of the classes of these labels as a source has them, or none where they do not fit."""
    fits = labels is not None and labels.ndim == 1 and labels.max() < len(names)
    return tuple(names) if fits and all(names) and len(set(names)) == len(names) else ()


def label_size(labels: np.ndarray | None, classes: Sequence[str] = ()) -> int:
    """Numbers in a label, of int64 [N] classes or float32 [N, A] attributes: classes, A, or 0."""
    if labels is None:
        return 0
    if labels.ndim == 2:
        return int(labels.shape[1])
    return max(int(labels.max()) + 1, len(classes))


def empty_classes(labels: np.ndarray | None, classes: Sequence[str] = ()) -> list[str]:
    """Names of the classes that no image is of, or their numbers.

    >>> empty_classes(np.array([0, 2, 0]), ("ape", "cat", "dog", "eel"))
    ['cat', 'eel']
    """
    if labels is None or labels.ndim == 2 or label_size(labels, classes) > _MOST_CLASSES:
        return []
    present = set(labels.tolist())
    numbers = range(label_size(labels, classes))
    return [classes[k] if classes else str(k) for k in numbers if k not in present]


def shortened(names: Sequence[str], most: int = 8) -> str:
    """List names, the first ones of many.

    >>> shortened(["ape", "cat", "dog"], 2)
    'ape, cat and 1 more'
    """
    more = len(names) - most
    return ", ".join(map(as_listed, names[:most])) + (f" and {more:,} more" if more > 0 else "")


def checked_labels(labels: np.ndarray, count: int, where: str) -> np.ndarray:
    """Labels of `count` images, of an array.

    `labels`: [N, L] finite numbers, or [N] whole numbers from 0 on. Returns float32 [N, L] or
    int64 [N]. Rows that each hold a single 1 and are 0 elsewhere are classes, if the last class
    occurs (else the number of classes would be lost).
    """
    if labels.dtype.kind not in "fiub":
        raise UserError(f"{where}: expected one array of numbers")
    if labels.ndim not in (1, 2) or len(labels) != count or labels.size == 0:
        raise UserError(f"{where}: labels of shape {labels.shape}; expected [{count}, L]")
    if labels.ndim == 1:
        if labels.dtype.kind == "f" or labels.min() < 0 or labels.max() > _LARGEST_CLASS:
            raise UserError(f"{where}: classes must be whole numbers from 0 on")
        return labels.astype(np.int64)
    with np.errstate(over="ignore"):
        rows = np.asarray(labels, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise UserError(f"{where}: a label is not a finite number")
    is_one_hot = (
        rows.shape[1] > 1 and ((rows == 0) | (rows == 1)).all() and (rows.sum(1) == 1).all()
    )
    return rows.argmax(axis=1).astype(np.int64) if is_one_hot and rows[:, -1].any() else rows


def unused_labels(names: Sequence[str]) -> str:
    """Say that labels have no image."""
    count = "1 label" if len(names) == 1 else f"{len(names):,} labels"
    return f"{count} of files that are not there, {names[0]!r} first"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{name!r} is there twice")
    return content


def _by_name(pairs: Any, where: str) -> dict[str, Any]:
    """Each label by the path that it is for; the pairs, which take more memory, go meanwhile."""
    expected = f'{where}: "labels" must be null or a list of [name, label]'
    rest = list(pairs.items()) if isinstance(pairs, dict) else pairs
    if not isinstance(rest, list):
        raise UserError(expected)
    rest.reverse()
    by_name: dict[str, Any] = {}
    while rest:
        try:
            name, label = rest.pop()
        except (TypeError, ValueError) as error:
            raise UserError(expected) from error
        if not isinstance(name, str):
            raise UserError(expected)
        if leaves_folder(name):
            raise UserError(f"{where}: names {name!r}, which is outside the set: remove it")
        path = name if (path := _path(name)) == name else path  # one text of both
        if by_name.setdefault(path, label) != label:
            raise UserError(
                f"{where}: two labels of {name!r}, {by_name[path]!r:.40} and {label!r:.40}:"
                " leave one"
            )
    return by_name


def _path(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/"))


def _keys(by_name: Mapping[str, Any], names: Sequence[str]) -> Sequence[str | None]:
    """Under which name each image has its label: `names`, if all have their own; or None."""
    if len(by_name) == len(names) and all(name in by_name for name in names):
        return names
    keys: list[str | None] = [path if (path := _path(name)) in by_name else None for name in names]
    if None not in keys:
        return keys
    spare = set(by_name) - set(keys)
    alike = Counter(map(_folded, spare))
    wanted = Counter(_folded(name) for name, key in zip(names, keys, strict=True) if key is None)
    found = {_folded(name): name for name in spare if alike[_folded(name)] == 1}
    return [
        found.get(_folded(name)) if key is None and wanted[_folded(name)] == 1 else key
        for name, key in zip(names, keys, strict=True)
    ]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", _path(name)).casefold()


def _label_array(
    by_name: Mapping[str, Any], names: Sequence[str], keys: Sequence[str | None], where: str
) -> np.ndarray:
    missing = [name for name, key in zip(names, keys, strict=True) if key is None]
    if missing:
        unused = next((name for name in by_name if name not in set(keys)), None)
        named = (
            "" if unused is None else f"; {unused!r:.200}, say, has a label and is no image here"
        )
        raise UserError(
            f"{where}: {len(missing)} of {len(names)} images have no label,"
            f" {one_line(missing[0]):.200} first"
            f'{named}: add them, or write "labels": null'
        )
    labels = [by_name[key] for key in keys if key is not None]
    if all(is_class(label) for label in labels):
        return np.array(labels, dtype=np.int64)  # [N]
    if all(_is_vector(label) for label in labels) and len({len(label) for label in labels}) == 1:
        return np.array(labels, dtype=np.float32)  # [N, A]
    odd = next((at for at, label in enumerate(labels) if not _is_like(label, labels[0])), 0)
    raise UserError(
        f"{where}: labels must all be whole numbers from 0, or all lists of equally many numbers:"
        f" that of {names[odd]!r:.200} is {labels[odd]!r:.60}"
        + (f", that of {names[0]!r:.200} {labels[0]!r:.60}" if odd else "")
    )


def _is_like(label: Any, first: Any) -> bool:
    if is_class(first):
        return is_class(label)
    return _is_vector(label) and _is_vector(first) and len(label) == len(first)


def is_class(label: Any) -> bool:
    """Whether a label from an untrusted file is a class: a whole number from 0 on."""
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label <= _LARGEST_CLASS


def _is_vector(label: Any) -> bool:
    return (
        isinstance(label, list)
        and len(label) > 0
        and all(isinstance(x, int | float) and abs(x) <= _LARGEST for x in label)
    )
