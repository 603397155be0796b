"""CMMD: squared maximum mean discrepancy of CLIP embeddings with a Gaussian kernel.

References
----------
Jayasumana et al., Rethinking FID: Towards a Better Evaluation Metric, 2024, Section 4.
Gretton et al., A Kernel Two-Sample Test, 2012, equation 5.
"""

import math

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.mmd_variance import FEWEST, Across, MmdVariance, Within, mmd_variance
from stylegan_eval.metrics.naming import Value, error_details, full_name
from stylegan_eval.results.paired import projected
from stylegan_eval.results.significance import known
from stylegan_eval.settings.image_metrics import CmmdSettings

SIGMA = 10.0
SCALE = 1000.0
TILE = 2048


def kernel_sums(a: Tensor, b: Tensor, sigma: float = SIGMA) -> Across:
    """Sums over pairs of exp(-|a - b|^2 / (2 sigma^2)) - 1, tile by tile in float64.

    The kernel of embeddings of length 1 lies within 2 % of 1; without the 1 nothing of it is
    lost in the differences of such sums.

    `a`, `b`: [n, D] and [m, D], on one device. Rows of `a` may be shared out.
    """
    rows, columns = (torch.zeros(len(x), dtype=torch.float64, device=a.device) for x in (a, b))
    squares = torch.zeros((), dtype=torch.float64, device=a.device)
    for row in range(0, len(a), TILE):
        x = a[row : row + TILE].double()
        for column in range(0, len(b), TILE):
            y = b[column : column + TILE].double()
            apart = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * (x @ y.T)
            kernel = torch.expm1(apart.clamp_(min=0).div_(-2 * sigma**2))
            rows[row : row + TILE] += kernel.sum(dim=1)
            columns[column : column + TILE] += kernel.sum(dim=0)
            squares += kernel.square_().sum()
    return Across(rows=rows, columns=columns, squares=float(squares))


def combine(xx: float, yy: float, xy: float, counts: tuple[int, int]) -> float:
    """Squared MMD of three sums over pairs, each pair of one set counted twice and with itself.

    In this biased estimate the diagonals stay in, as in the original.
    """
    n, m = counts
    return xx / n**2 + yy / m**2 - 2 * xy / (n * m)


def cmmd(
    x: Tensor, y: Tensor, sigma: float = SIGMA, scale: float = SCALE
) -> tuple[float, float | None, float | None, str]:
    """CMMD of two sets of CLIP embeddings.

    Parameters
    ----------
    x, y : Tensor
        [N, D] and [M, D], on one device, rows of length 1.
    scale : float
        The paper's factor, for readable numbers.

    Returns
    -------
    value : float
        0 or more, but for rounding: 0 if and only if the sets are the same.
    stderr, stderr_redrawn : float or None
        Standard errors with y fixed and redrawn; None where a set is too small.
    projected : str
        How y moves the value, see `results.paired`.
    """
    if not len(x) or not len(y):
        raise UserError(f"CMMD needs images on both sides, there are {len(x)} and {len(y)}")
    counts = (len(x), len(y))
    xx, yy, xy = (kernel_sums(a, b, sigma) for a, b in ((x, x), (y, y), (x, y)))
    totals = xx.rows.sum(), yy.rows.sum(), xy.rows.sum()
    value = scale * combine(float(totals[0]), float(totals[1]), float(totals[2]), counts)
    if min(counts) < FEWEST:
        return value, None, None, ""
    # An image's kernel with itself is 0 here.
    fakes, reals = (Within(rows=sums.rows, squares=sums.squares) for sums in (xx, yy))
    parts = MmdVariance(*(max(part, 0.0) for part in mmd_variance(fakes, reals, xy)))
    stderr, redrawn = (
        known(scale * math.sqrt(variance), value)
        for variance in (parts.generated(*counts), parts.both(*counts))
    )
    influence = 2 * scale * (yy.rows / counts[1] - xy.columns / counts[0]).cpu().numpy()
    noise = 4 * scale**2 * parts.cross / counts[0]
    return value, stderr, redrawn, projected(influence, counts[1], noise)


def of_images(settings: CmmdSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """CMMD of the embeddings of generated and real images."""
    x, y = fake.tensor(), real.tensor()
    value, stderr, redrawn, moves = cmmd(x, y)
    return [
        Value(
            name=full_name("cmmd", settings, fake.detector, usual="clip-vitl14-336"),
            value=value,
            stderr=stderr,
            protocol={"sigma": f"{SIGMA:g}"},
            details=error_details(redrawn, moves) if stderr else {},
        )
    ]
