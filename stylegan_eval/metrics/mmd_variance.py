"""Variance of an unbiased squared MMD, from the kernel's sums over pairs. Pure, in float64.

With k centred, the estimate over n generated x and m real y is, up to a constant, a sum of parts
that are not correlated (Hoeffding's decomposition):

    2/n sum_i u(x_i) + 2/m sum_j v(y_j)
      + 1/n(n-1) sum_{i != i'} r(x_i, x_i') + 1/m(m-1) sum_{j != j'} s(y_j, y_j')
      - 2/nm sum_ij t(x_i, y_j)

u(x) = E k(x, x') - E k(x, y) is what one image adds on average, r, s and t what is left of the
kernel of two images. Near equal distributions u and v vanish and r, s and t alone are noise.

References
----------
Hoeffding, A Class of Statistics with Asymptotically Normal Distribution, 1948.
Sutherland et al., Generative Models and Model Criticism via Optimized MMD, 2017, appendix B.
"""

from typing import NamedTuple

from torch import Tensor

FEWEST = 4  # images of a side: the square of a mean over pairs needs two pairs without a common one


class MmdVariance(NamedTuple):
    """Variances of the parts: of u(x), v(y), r(x, x'), s(y, y') and t(x, y)."""

    fake: float
    real: float
    fake_pairs: float
    real_pairs: float
    cross: float

    def generated(self, n: int, m: int) -> float:
        """Variance of the estimate from redrawing n generated images, m real ones held fixed."""
        pairs = 2 * self.fake_pairs / (n * (n - 1)) + 4 * self.cross / (n * m)
        return 4 * self.fake / n + pairs

    def both(self, n: int, m: int) -> float:
        """Variance from redrawing the real images as well."""
        reals = 4 * self.real / m + 2 * self.real_pairs / (m * (m - 1))
        return self.generated(n, m) + reals


class Within(NamedTuple):
    """Sums of a kernel over pairs of different images of one side."""

    rows: Tensor  # [n]: over the partners of each image
    squares: float  # of the squared kernel, over ordered pairs

    @property
    def total(self) -> float:
        """Over ordered pairs."""
        return float(self.rows.sum())

    @property
    def moments(self) -> tuple[float, float, float]:
        """Unbiased (E k)^2, E k(a, b) k(a, c) and E k^2."""
        n, rows = len(self.rows), float(self.rows.square().sum())
        pairs = n * (n - 1)
        chains = (rows - self.squares) / (pairs * (n - 2))
        mean = (self.total**2 - 4 * rows + 2 * self.squares) / (pairs * (n - 2) * (n - 3))
        return mean, chains, self.squares / pairs


class Across(NamedTuple):
    """Sums of a kernel over pairs of one generated and one real image."""

    rows: Tensor  # [n]: over the real images
    columns: Tensor  # [m]: over the generated ones
    squares: float


def mmd_variance(fake: Within, real: Within, across: Across) -> MmdVariance:
    """Unbiased estimates of the variances, from at least `FEWEST` images of each side.

    A kernel that was moved by a constant near its mean loses the fewest digits.
    """
    n, m = len(across.rows), len(across.columns)
    total, squares = float(across.rows.sum()), across.squares
    rows, columns = float(across.rows.square().sum()), float(across.columns.square().sum())
    mean = (total**2 - rows - columns + squares) / (n * (n - 1) * m * (m - 1))
    by_fake = (rows - squares) / (n * m * (m - 1)) - mean
    by_real = (columns - squares) / (n * m * (n - 1)) - mean
    return MmdVariance(
        fake=_own(fake) + by_fake - 2 * _covariance(fake, across.rows, m),
        real=_own(real) + by_real - 2 * _covariance(real, across.columns, n),
        fake_pairs=_of_pairs(fake),
        real_pairs=_of_pairs(real),
        cross=squares / (n * m) - mean - by_fake - by_real,
    )


def _own(side: Within) -> float:
    """Variance of E k(x, x') given x."""
    mean, chains, _ = side.moments
    return chains - mean


def _of_pairs(side: Within) -> float:
    mean, chains, squares = side.moments
    return squares - 2 * chains + mean


def _covariance(side: Within, across: Tensor, others: int) -> float:
    """Covariance of E k(x, x') and E k(x, y), both given x."""
    n = len(across)
    together = float((side.rows * across).sum())
    apart = side.total * float(across.sum()) - 2 * together
    return together / (n * (n - 1) * others) - apart / (n * (n - 1) * (n - 2) * others)
