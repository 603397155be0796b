"""CMMD: squared maximum mean discrepancy of CLIP embeddings with a Gaussian kernel.

References
----------
Jayasumana et al., Rethinking FID: Towards a Better Evaluation Metric, 2024, Section 4.
Gretton et al., A Kernel Two-Sample Test, 2012, equation 5.
"""

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.image_metric import (
    Gathered,
    ImageMetric,
    Value,
    count_name,
    marks,
    suffix,
)
from stylegan_eval.settings.images import CmmdSettings

SIGMA = 10.0
SCALE = 1000.0
TILE = 2048


def kernel_sum(a: Tensor, b: Tensor, sigma: float = SIGMA) -> float:
    """Sum over all pairs of exp(-|a - b|^2 / (2 sigma^2)) - 1, tile by tile in float64.

    The kernel of embeddings of length 1 lies within 2 % of 1; without the 1 nothing of it is
    lost in the differences of such sums.

    Parameters
    ----------
    a, b : Tensor
        [n, D] and [m, D], on one device. Rows of `a` may be shared out: sums add.
    sigma : float
        Width of the kernel.
    """
    total = torch.zeros((), dtype=torch.float64, device=a.device)
    for row in range(0, len(a), TILE):
        x = a[row : row + TILE].double()
        for column in range(0, len(b), TILE):
            y = b[column : column + TILE].double()
            squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * (x @ y.T)
            total += torch.expm1(squares.clamp_(min=0).div_(-2 * sigma**2)).sum()
    return float(total)


def combine(xx: float, yy: float, xy: float, counts: tuple[int, int]) -> float:
    """Squared MMD of three `kernel_sum`, each pair of one set counted twice and with itself.

    In this biased estimate the diagonals stay in, as in the original.
    """
    n, m = counts
    return xx / n**2 + yy / m**2 - 2 * xy / (n * m)


def cmmd(x: Tensor, y: Tensor, sigma: float = SIGMA, scale: float = SCALE) -> float:
    """CMMD of two sets of CLIP embeddings.

    Parameters
    ----------
    x, y : Tensor
        [N, D] and [M, D], on one device, rows of length 1.
    sigma : float
        Width of the kernel.
    scale : float
        The paper's factor, for readable numbers.

    Returns
    -------
    float
        0 or more, but for rounding: 0 if and only if the sets are the same.

    Raises
    ------
    UserError
        An empty set.
    """
    if not len(x) or not len(y):
        raise UserError(f"CMMD needs images on both sides, there are {len(x)} and {len(y)}")
    xx, yy, xy = (kernel_sum(a, b, sigma) for a, b in ((x, x), (y, y), (x, y)))
    return scale * combine(xx, yy, xy, (len(x), len(y)))


def of_images(settings: CmmdSettings, gathered: Gathered) -> list[Value]:
    """CMMD of the embeddings of generated and real images."""
    fake, real = (torch.from_numpy(x).to(gathered.device) for x in gathered.vectors())
    own = marks(settings, gathered.detector, usual="clip-vitl14-336")
    name = f"cmmd{count_name(settings.num)}{suffix(settings)}{own}"
    return [Value(name=name, value=cmmd(fake, real), protocol={"sigma": f"{SIGMA:g}"})]


METRIC = ImageMetric(fake=("vectors",), real=("vectors",), values=of_images)
