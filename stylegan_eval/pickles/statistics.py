"""Mean and covariance in the pickles of other evaluators, read as data.

EDM2's reference files hold ``{"fid": {"mu", "sigma"}, "fd_dinov2": {...}}``, ``fid`` of Inception.
What StyleGAN2-ADA and StyleGAN3 keep of a data set holds ``raw_mean`` and ``raw_cov``, sums over
``num_items`` images of x and of x x^T.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.stats_file import StoredStats, checked_moments
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.machine import read_pickle
from stylegan_eval.pickles.values import Array, Stub

PICKLED = ".pkl"
_EXPECTED = "a pickle of statistics"
_SUMS = {"raw_mean", "raw_cov", "num_items"}


def read_pickled_stats(path: Path) -> StoredStats:
    """Read a pickle of statistics; runs no code of the file."""
    made = read_pickle(path, _EXPECTED)
    if isinstance(made, Stub) or (
        isinstance(made, tuple) and any(isinstance(part, Stub) for part in made)
    ):
        raise UserError(f"{path}: holds networks, no statistics: give it as --ckpt")
    if not isinstance(made, dict):
        raise UserError(f"{path}: not {_EXPECTED}: it holds no dictionary")
    count: int | None = None
    if made.keys() >= _SUMS:
        count = made["num_items"]
        if type(count) is not int or count < 2:
            raise UserError(f"{path}: num_items must be a whole number from 2, got {count!r:.60}")
        mean, square = (_array(made, name, path) / count for name in ("raw_mean", "raw_cov"))
        if mean.ndim != 1 or square.shape != (len(mean), len(mean)):
            raise UserError(
                f"{path}: raw_mean is {list(mean.shape)}, raw_cov {list(square.shape)}; expected"
                " [D] and [D, D]"
            )
        # Their evaluator divides by N, this one by N - 1.
        moments = mean, (square - np.outer(mean, mean)) * (count / (count - 1))
    else:
        found = made.get("fid")
        if not isinstance(found, dict) or not {"mu", "sigma"} <= found.keys():
            held = ascii(", ".join(map(str, made)))[1:-1] or "nothing"
            raise UserError(
                f"{path}: not {_EXPECTED} of Inception (it holds {held:.80}); expected mu and sigma"
                " in fid, or raw_mean, raw_cov and num_items"
            )
        moments = _array(found, "mu", path), _array(found, "sigma", path)
    mean, cov = checked_moments(*moments, str(path))
    return StoredStats(mean=mean, cov=cov, count=count, detector="", content=sha256_of(path))


def _array(values: dict[str, Any], name: str, path: Path) -> NDArray[Any]:
    value = values[name]
    if not isinstance(value, Array) or value.value is None:
        raise UserError(f"{path}: {name} is no array")
    return value.value
