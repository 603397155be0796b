"""`dataset.json`: the labels beside a set of images, in the layout of stylegan2-ada."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from stylegan_eval.errors import UserError
from stylegan_eval.names import leaves_folder

DATASET_JSON = "dataset.json"
_MOST_BYTES = 2**27
_SPARE_BYTES = 2**20
_BYTES_PER_IMAGE = 2**16
_LARGEST = float(np.finfo(np.float32).max)


def check_size(size: int, count: int, where: str) -> None:
    """Check the size of a file of labels, in bytes, against the number of images it is for.

    Raises
    ------
    UserError
        It is larger than labels of so many images can be.
    """
    most = min(_MOST_BYTES, _SPARE_BYTES + count * _BYTES_PER_IMAGE)
    if size > most:
        raise UserError(
            f"{where}: {size / 2**20:.0f} MiB of labels for {count} images;"
            f" at most {most / 2**20:.0f} MiB are read"
        )


def parse_dataset_json(
    data: bytes, names: Sequence[str], where: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels in the order of `names`, and the names of their columns.

    Parameters
    ----------
    data : bytes
        JSON object with ``"labels"``: null or a list of ``[name, label]``, a label being a class
        (whole number from 0) or a list of numbers; and optionally ``"attributes"``: a list with
        one name for each number.
    names : sequence of str
        The images, N of them. Entries of other names are ignored.
    where : str
        The file, for messages.

    Returns
    -------
    labels : ndarray or None
        int64 [N] for classes, float32 [N, A] for lists.
    attributes : tuple of str
        A names, or none.

    Raises
    ------
    UserError
        Not such a file, or a name has no label.
    """
    try:
        content = json.loads(data)
    except MemoryError as error:
        raise UserError(f"{where}: takes more memory than there is") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f'{where}: expected a JSON object with "labels"')
    attributes = content.get("attributes") or ()
    if not isinstance(attributes, list | tuple) or not all(isinstance(a, str) for a in attributes):
        raise UserError(f'{where}: "attributes" must be a list of names')
    pairs = content.get("labels")
    labels = None if pairs is None else _label_array(pairs, names, where)
    columns = 0 if labels is None or labels.ndim == 1 else labels.shape[1]
    if attributes and columns != len(attributes):
        raise UserError(f"{where}: {len(attributes)} attributes named, {columns} in each label")
    return labels, tuple(attributes)


def _label_array(pairs: Any, names: Sequence[str], where: str) -> np.ndarray:
    try:
        by_name = dict(pairs)
    except (TypeError, ValueError) as error:
        raise UserError(f'{where}: "labels" must be null or a list of [name, label]') from error
    outside = next((n for n in by_name if isinstance(n, str) and leaves_folder(n)), None)
    if outside is not None:
        raise UserError(f"{where}: names {outside!r}, which is outside the set: remove it")
    missing = [name for name in names if name not in by_name]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of {len(names)} images have no label, {missing[0]} first;"
            ' add them, or write "labels": null'
        )
    labels = [by_name[name] for name in names]
    if all(_is_class(label) for label in labels):
        return np.array(labels, dtype=np.int64)  # [N]
    if all(_is_vector(label) for label in labels) and len({len(label) for label in labels}) == 1:
        return np.array(labels, dtype=np.float32)  # [N, A]
    raise UserError(
        f"{where}: labels must all be whole numbers from 0, or all lists of equally many numbers"
    )


def _is_class(label: Any) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 2**31


def _is_vector(label: Any) -> bool:
    return (
        isinstance(label, list)
        and len(label) > 0
        and all(isinstance(x, int | float) and abs(x) <= _LARGEST for x in label)
    )
