"""The trimmed mean of path lengths, with its standard error."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.errors import UserError

TRIMMED_PERCENT = 1.0


@dataclass(frozen=True, kw_only=True)
class TrimmedMean:
    """A mean without its tails."""

    mean: float  # Of the distances from the 1st to the 99th percentile, both included
    stderr: float  # Its standard error
    kept: int  # How many were averaged
    untrimmed: float  # Mean of all
    carriers: float
    """How many distances the standard error rests on: those which would give as much of its fourth
    moment if all were equally far from the mean. A third of all for normal ones; below about 10 it
    may be several times too small."""
    shift: float
    """How far the mean moves, in standard errors, where two standard errors of the share above the
    99th percentile more or fewer distances are cut off above. Below 4 for smooth laws, also
    heavy-tailed ones; far more where the percentile lies at a gap, which the error does not see."""


def trimmed_mean(distances: NDArray[np.floating]) -> TrimmedMean:
    """Mean of the middle 98 % of the distances, with its standard error.

    The percentiles are those of the official code: the next distance below the 1st, the next one
    above the 99th. A trimmed mean varies as the mean of the winsorised sample does, in which what
    was trimmed is moved to the nearest value that was kept, divided by the share kept.

    `distances`: [N], N at least 2.

    References
    ----------
    Tukey and McLaughlin, Less Vulnerable Confidence and Significance Procedures for Location,
    1963 (standard error).
    """
    x = np.asarray(distances, dtype=np.float64)
    if not np.isfinite(x).all():
        raise UserError("path lengths are not finite: the generator has diverged")
    low = np.percentile(x, TRIMMED_PERCENT, method="lower")
    high = np.percentile(x, 100 - TRIMMED_PERCENT, method="higher")
    kept = x[(low <= x) & (x <= high)]
    winsorised = np.clip(x, low, high)
    spread = float(winsorised.std(ddof=1))
    squares = np.square(winsorised - winsorised.mean())
    fourth = float(np.square(squares).sum())
    stderr = spread / (len(kept) / len(x) * len(x) ** 0.5)
    inner = np.sort(x[x >= low])
    cut = len(inner) - len(kept)
    share = TRIMMED_PERCENT / 100
    more = math.ceil(2 * math.sqrt(len(x) * share * (1 - share)))
    moved = [inner[: len(inner) - max(cut + sign * more, 0)].mean() for sign in (-1, 1)]
    return TrimmedMean(
        mean=float(kept.mean()),
        stderr=stderr,
        kept=len(kept),
        untrimmed=float(x.mean()),
        carriers=float(squares.sum()) ** 2 / fourth if fourth else float(len(x)),
        shift=float(np.abs(moved - kept.mean()).max()) / stderr if stderr else 0.0,
    )
