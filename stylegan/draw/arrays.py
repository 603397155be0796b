"""Arrays that commands read and write as .npy files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylegan_eval import npy
from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write


def read_npy(path: Path, shape: tuple[int | None, ...], what: str) -> NDArray[np.float32]:
    """Read finite numbers of a known shape.

    Parameters
    ----------
    path : Path
        A .npy file of floats.
    shape : tuple of int or None
        Wanted length of each dimension; None is any.
    what : str
        What they are, for messages.

    Returns
    -------
    ndarray
        float32, at least one along the first dimension.

    Raises
    ------
    UserError
        The file holds something else.
    """
    try:
        values = npy.read_npy(path)
    except UserError as error:
        raise UserError(f"cannot read {what} from {path}: not a .npy file of numbers") from error
    wanted = "[" + ", ".join("N" if n is None else str(n) for n in shape) + "]"
    fits = values.ndim == len(shape) and all(
        n in (None, size) for n, size in zip(shape, values.shape, strict=True)
    )
    if not fits or len(values) == 0 or not np.issubdtype(values.dtype, np.floating):
        got = f"{values.dtype} {list(values.shape)}"
        raise UserError(f"{what} in {path} must be float {wanted}, not {got}")
    if not np.isfinite(values).all():
        raise UserError(f"{what} in {path} hold infinities or NaN")
    return values.astype(np.float32)


def write_npy(path: Path, values: NDArray[np.float32]) -> None:
    """Write an array, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)
