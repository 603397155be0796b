"""Labels in NumPy's file format."""

from pathlib import Path

import numpy as np

from stylegan.datasets.sources.source import MAX_LABEL_BYTES
from stylegan_eval.errors import UserError
from stylegan_eval.npy import read_npy

_LARGEST_CLASS = 2**31 - 1


def read_numbers(path: Path, count: int) -> np.ndarray:
    """Labels of `count` images.

    Parameters
    ----------
    path : Path
        An array [N, L] of finite numbers, or [N] of whole numbers from 0 on.

    Returns
    -------
    ndarray
        int64 [N], or float32 [N, L]. Rows that each hold a single 1 and are 0 elsewhere are
        classes, if the last class occurs (else the number of classes would be lost).

    Raises
    ------
    UserError
        Not such an array, of another length, or not finite.
    """
    if path.stat().st_size > MAX_LABEL_BYTES:
        raise UserError(f"{path}: more than {MAX_LABEL_BYTES >> 20} MiB of labels")
    labels = read_npy(path)
    if labels.dtype.kind not in "fiub":
        raise UserError(f"{path}: expected one array of numbers")
    if labels.ndim not in (1, 2) or len(labels) != count or labels.size == 0:
        raise UserError(f"{path}: labels of shape {labels.shape}; expected [{count}, L]")
    if labels.ndim == 1:
        if labels.dtype.kind == "f" or labels.min() < 0 or labels.max() > _LARGEST_CLASS:
            raise UserError(f"{path}: classes must be whole numbers from 0 on")
        return labels.astype(np.int64)
    with np.errstate(over="ignore"):
        rows = np.asarray(labels, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise UserError(f"{path}: a label is not a finite number")
    return _classes(rows)


def _classes(rows: np.ndarray) -> np.ndarray:
    """Whole numbers instead of one-hot rows, where nothing is lost by it."""
    single = rows.shape[1] > 1 and bool(
        ((rows == 0) | (rows == 1)).all() and (rows.sum(1) == 1).all()
    )
    if not single or not rows[:, -1].any():
        return rows
    return rows.argmax(axis=1).astype(np.int64)
