"""Fréchet distance of Gaussians, its gradient, and what single vectors add to it."""

import math
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_TILE = 256


class Factor(NamedTuple):
    """F [D, rank] of a covariance F F^T; `is_lower` when it is Cholesky's, triangular and full."""

    matrix: Tensor
    is_lower: bool


class Gaussian(Protocol):
    """Mean [D] and covariance [D, D] of features, of how many vectors, and of which network.

    The count may be unknown (None), the network too (empty).
    """

    @property
    def count(self) -> int | None:
        """Number of vectors."""

    @property
    def mean(self) -> NDArray[np.float64]:
        """[D]."""

    @property
    def cov(self) -> NDArray[np.float64]:
        """[D, D]."""

    @property
    def detector(self) -> str:
        """Identity of the network."""


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Squared Fréchet distance of the Gaussians with these means and covariances.

    |mu_a - mu_b|^2 + Tr C_a + Tr C_b - 2 Tr (C_a C_b)^(1/2), in float64. With C = F F^T the last
    trace is the nuclear norm of F_a^T F_b: real by construction, and exact where covariances are
    singular (fewer images than features).

    `a`, `b`: `FeatureStats` or statistics from a file; of one detector, two vectors or more each.
    Returns 0 or more, in squared units of the features.

    Raises
    ------
    ValueError
        Features of different detectors or lengths, or a single vector.
    """
    return FrechetTo(b)(a)


class Gradient(NamedTuple):
    """Slope of a distance along the moments of its first Gaussian."""

    mean: NDArray[np.float64]  # [D]: 2 (mu_a - mu_b)
    cov: NDArray[np.float64]  # [D, D]: I - A, A the optimal transport map from C_a to C_b
    of_b: NDArray[np.float64]  # [n]: what vectors of the second add to it, up to a constant


class Transport(NamedTuple):
    """Optimal transport between C_a = F F^T and C_b = G G^T, from F^T G = U S V^T."""

    a: Factor  # F
    vectors: Tensor  # U [rank of F, r]
    values: Tensor  # S [r]; their sum is Tr (C_a C_b)^(1/2)

    def to_b(self) -> Tensor:
        """Map A [D, D] with A C_a A = C_b: (F^+)^T U S U^T F^+, F^+ the pseudo-inverse."""
        root = self.vectors * self.values.sqrt()
        matrix = self.a.matrix
        if self.a.is_lower:
            root = torch.linalg.solve_triangular(matrix.T, root, upper=True)
        else:  # orthogonal columns
            root = matrix @ (root / matrix.square().sum(dim=0)[:, None])
        return root @ root.T

    def to_a(self, x: Tensor) -> Tensor:
        """x^T B x [n] of vectors x [n, D] that b spans, B = F U S^-1 U^T F^T the map back."""
        # U^T F^T x is S times numbers of about 1, so that the smallest values, which may be
        # rounding, are left out without loss.
        kept = self.values > 1e-9 * self.values.sum()
        scaled = self.vectors[:, kept] / self.values[kept].sqrt()
        return (x @ self.a.matrix @ scaled).square().sum(dim=1)


class FrechetTo:
    """`frechet_distance` to one b from many a: the work that concerns b alone is done once."""

    def __init__(self, b: Gaussian) -> None:
        self.b = b
        self._factor: Factor | None = None

    def __call__(self, a: Gaussian) -> float:
        """Distance from a."""
        _, *factors = self._factors(a)
        return self._distance(a, _trace_of_root(*factors))

    def with_gradient(
        self, a: Gaussian, of_b: NDArray[np.floating] | None = None
    ) -> tuple[float, Gradient]:
        """Distance from a and its gradient, from one decomposition.

        Where C_a is singular A is that of the space which a spans.

        `of_b`: some of the vectors [n, D] whose moments b is.
        """
        alive, *factors = self._factors(a)
        transport = _transport(*factors)
        cov = np.eye(len(alive))
        cov[np.ix_(alive, alive)] -= transport.to_b().numpy()
        slope = 2 * (a.mean - self.b.mean)
        shift = (np.empty((0, len(alive))) if of_b is None else of_b) - self.b.mean  # [n, D]
        mapped = transport.to_a(torch.from_numpy(shift[:, alive])).numpy()
        influence = np.square(shift).sum(axis=1) - mapped - shift @ slope
        gradient = Gradient(mean=slope, cov=cov, of_b=influence)
        return self._distance(a, float(transport.values.sum())), gradient

    def _factors(self, a: Gaussian) -> tuple[NDArray[np.bool_], Factor, Factor]:
        b = self.b
        _check_comparable(a, b)
        cov_a, cov_b = a.cov, b.cov
        # A feature that never fires in one set adds nothing to the trace of the root, but would
        # make that set singular.
        alive_b = cov_b.diagonal() > 0
        alive = alive_b & (cov_a.diagonal() > 0)
        of_a = _factor(cov_a, alive, _count(a))
        if not np.array_equal(alive, alive_b):
            return alive, of_a, _factor(cov_b, alive, _count(b))
        self._factor = self._factor or _factor(cov_b, alive, _count(b))
        return alive, of_a, self._factor

    def _distance(self, a: Gaussian, trace_of_root: float) -> float:
        shift = float(np.square(a.mean - self.b.mean).sum())
        traces = float(np.trace(a.cov) + np.trace(self.b.cov))
        distance = shift + traces - 2 * trace_of_root
        rounding = 1e-7 * (shift + traces)
        assert distance >= -rounding, f"{distance} is negative beyond rounding {rounding}"
        return max(distance, 0.0)


def _check_comparable(a: Gaussian, b: Gaussian) -> None:
    if (a.detector and b.detector and a.detector != b.detector) or a.mean.shape != b.mean.shape:
        raise ValueError(
            f"cannot compare {len(a.mean)} features of {a.detector}"
            f" with {len(b.mean)} features of {b.detector}"
        )
    if (fewest := min(_count(a), _count(b))) < 2:
        raise ValueError(f"a covariance needs two images or more, got {fewest:.0f}")


def _count(stats: Gaussian) -> float:
    return math.inf if stats.count is None else stats.count


def _factor(cov: NDArray[np.float64], alive: NDArray[np.bool_], count: float) -> Factor:
    """F of the covariance [D, D] of `count` vectors, for the features that are alive."""
    if not alive.any():
        return Factor(matrix=torch.empty(0, 0, dtype=torch.float64), is_lower=True)
    part = torch.from_numpy(cov if alive.all() else cov[np.ix_(alive, alive)])
    lower = _cholesky(part, count)
    if lower is None:
        return Factor(matrix=_rank_factor(part), is_lower=False)
    return Factor(matrix=lower, is_lower=True)


def _trace_of_root(a: Factor, b: Factor) -> float:
    """Tr (C_a C_b)^(1/2)."""
    if not len(a.matrix):
        return 0.0
    if not (a.is_lower and b.is_lower):
        return float(torch.linalg.svdvals(a.matrix.T @ b.matrix).sum())
    product = _transposed_times(a.matrix, b.matrix)
    # The singular values are the roots of the eigenvalues of P P^T, which come three times as
    # fast (0.5 s against 1.7 s at D = 2048, two cores) but know a value s only to about
    # eps S^2 / s, S the largest. Against svdvals that costs 1e-11 of the traces for features of
    # real images (smallest s / S = 1e-10), and 1e-8 for the worst spectrum constructed, a sharp
    # step. Where the factors' diagonals say that it may be more, take the slower, exact way.
    if _is_mild(a, b):
        return float(torch.linalg.eigvalsh(_lower_gram(product)).clamp(min=0).sqrt().sum())
    return float(torch.linalg.svdvals(product).sum())


def _is_mild(a: Factor, b: Factor) -> bool:
    """Whether the roots of eigenvalues of a product's gram are its singular values, near enough."""
    diagonals = (factor.matrix.diagonal() for factor in (a, b))
    return math.prod(float(diagonal.min() / diagonal.max()) for diagonal in diagonals) > 1e-9


def _transport(a: Factor, b: Factor) -> Transport:
    if len(a.matrix) and a.is_lower and b.is_lower and _is_mild(a, b):
        squares, vectors = torch.linalg.eigh(_lower_gram(_transposed_times(a.matrix, b.matrix)))
        values = squares.clamp(min=0).sqrt()
    else:
        vectors, values, _ = torch.linalg.svd(a.matrix.T @ b.matrix, full_matrices=False)
    return Transport(a=a, vectors=vectors, values=values)


def _transposed_times(a: Tensor, b: Tensor) -> Tensor:
    """A^T B of two lower triangular [D, D], in tiles that leave out the zeros."""
    product = torch.empty_like(b)
    tiles = _tiles(len(b))
    for rows in tiles:
        for columns in tiles:
            first = max(rows.start, columns.start)
            product[rows, columns] = a[first:, rows].T @ b[first:, columns]
    return product


def _lower_gram(p: Tensor) -> Tensor:
    """P P^T in the lower triangle, which is all that `eigvalsh` reads."""
    gram = torch.zeros_like(p)
    for rows in _tiles(len(p)):
        gram[rows, : rows.stop] = p[rows] @ p[: rows.stop].T
    return gram


def _tiles(length: int) -> list[slice]:
    return [slice(start, min(start + _TILE, length)) for start in range(0, length, _TILE)]


def _rounding(cov: Tensor) -> float:
    """Below this a variance [D, D] cannot be told from 0."""
    return 10 * len(cov) * torch.finfo(cov.dtype).eps * float(cov.diagonal().max())


def _cholesky(cov: Tensor, count: float) -> Tensor | None:
    """Lower factor of the covariance of `count` vectors, or None when it is singular."""
    if count <= len(cov):
        return None
    factor, failed = torch.linalg.cholesky_ex(cov)
    if int(failed) or float(factor.diagonal().min()) ** 2 < _rounding(cov):
        return None
    return factor


def _rank_factor(cov: Tensor) -> Tensor:
    """F [D, rank] with C = F F^T."""
    values, vectors = torch.linalg.eigh(cov)
    # Values this small are rounding, and their roots, 1e-8 of the largest, would not be.
    kept = values > _rounding(cov)
    return vectors[:, kept] * values[kept].sqrt()
