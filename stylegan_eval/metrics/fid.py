"""Fréchet distance, its standard error and its limit for infinitely many images."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.naming import Value, error_details, inception_name
from stylegan_eval.results.significance import known
from stylegan_eval.settings.image_metrics import FidSettings

_TILE = 256
_FEWEST = 10  # groups that tell a standard error
# How far, at D / N of 1, the limit may be off relative to the step from a straight line to a
# parabola: 0.50 to 0.57 for equal eigenvalues, the worst spectrum, by Marchenko and Pastur's law.
_BEYOND_PARABOLA = 0.6


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


class FrechetTo:
    """`frechet_distance` to one b from many a: the work that concerns b alone is done once."""

    def __init__(self, b: Gaussian) -> None:
        self._b = b
        self._factor: Factor | None = None

    def __call__(self, a: Gaussian) -> float:
        """Distance from a."""
        _, *factors = self._factors(a)
        return self._distance(a, _trace_of_root(*factors))

    def with_gradient(self, a: Gaussian) -> tuple[float, Gradient]:
        """Distance from a and its gradient, from one decomposition.

        Where C_a is singular A is that of the space which a spans.
        """
        alive, of_a, of_b = self._factors(a)
        trace, part = _root_and_map(of_a, of_b)
        cov = np.eye(len(alive))
        cov[np.ix_(alive, alive)] -= part.numpy()
        gradient = Gradient(mean=2 * (a.mean - self._b.mean), cov=cov)
        return self._distance(a, trace), gradient

    def _factors(self, a: Gaussian) -> tuple[NDArray[np.bool_], Factor, Factor]:
        b = self._b
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
        shift = float(np.square(a.mean - self._b.mean).sum())
        traces = float(np.trace(a.cov) + np.trace(self._b.cov))
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


def _root_and_map(a: Factor, b: Factor) -> tuple[float, Tensor]:
    """Tr (C_a C_b)^(1/2), and the optimal transport map from C_a to C_b: [D, D] with A C_a A = C_b.

    With F_a^T F_b = U S V^T and F^+ the pseudo-inverse it is (F_a^+)^T U S U^T F_a^+.
    """
    if not len(a.matrix):
        return 0.0, a.matrix
    if a.is_lower and b.is_lower and _is_mild(a, b):
        squares, vectors = torch.linalg.eigh(_lower_gram(_transposed_times(a.matrix, b.matrix)))
        values = squares.clamp(min=0).sqrt()
    else:
        vectors, values, _ = torch.linalg.svd(a.matrix.T @ b.matrix, full_matrices=False)
    root = vectors * values.sqrt()
    if a.is_lower:
        root = torch.linalg.solve_triangular(a.matrix.T, root, upper=True)
    else:  # orthogonal columns
        root = a.matrix @ (root / a.matrix.square().sum(dim=0)[:, None])
    return float(values.sum()), root @ root.T


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


class Estimate(NamedTuple):
    """A distance and its limit for infinitely many generated images, with standard errors."""

    value: float
    stderr: float | None  # None with too few images or groups
    limit: float | None = None  # None with fewer images than 8 times the features
    limit_stderr: float | None = None


def estimate(distance: FrechetTo, groups: Sequence[FeatureStats]) -> Estimate:
    """Distance of the images of all groups; the real images count as fixed.

    The limit is that of a parabola in 1 / N through the distances of all images, of halves and of
    quarters; its error holds what the parabola may leave out.

    `groups`: disjoint parts of about equal size.
    """
    whole = reduce(add, groups)
    dim = len(whole.mean)
    if len(groups) < _FEWEST or whole.count <= dim:
        return Estimate(distance(whole), None)
    value, gradient = distance.with_gradient(whole)
    of_whole = influence_variance(groups, whole, gradient)
    if whole.count // 2 <= dim:
        return Estimate(value, _root(of_whole / whole.count, value))
    halves = _parts(groups, 2)
    with_gradients = [distance.with_gradient(half) for half, _ in halves]
    of_halves = [
        influence_variance(members, half, slope)
        for (half, members), (_, slope) in zip(halves, with_gradients, strict=True)
    ]
    x = [1 / whole.count, float(np.mean([1 / half.count for half, _ in halves]))]
    noise = (float(np.mean(of_halves)) - of_whole) / (x[1] - x[0]) * x[0]
    noise = min(max(noise, 0.0), of_whole)  # b / N
    stderr = _root((of_whole - noise / 2) / whole.count, value)
    if whole.count < 8 * dim:
        return Estimate(value, stderr)
    quarters = [quarter for quarter, _ in _parts(groups, 4)]
    x.append(float(np.mean([1 / quarter.count for quarter in quarters])))
    of_sizes = ([value], [half for half, _ in with_gradients], [distance(q) for q in quarters])
    y = [float(np.mean(values)) for values in of_sizes]
    line, parabola = (float(np.polyfit(x, y, degree)[-1]) for degree in (1, 2))
    beyond = _BEYOND_PARABOLA * dim * x[0] * (parabola - line)
    limit_stderr = _root((of_whole + noise) / whole.count + beyond**2, value)
    return Estimate(value, stderr, parabola, limit_stderr)


def influence_variance(
    groups: Sequence[FeatureStats], whole: Gaussian, gradient: Gradient
) -> float:
    """Variance of IF(x) over images, from its means over groups.

    Parameters
    ----------
    groups : sequence of FeatureStats
        Disjoint parts of the images whose moments are `whole`.
    gradient : Gradient
        `FrechetTo.with_gradient` of `whole`; of real images, that of the distance to the generated.
    """
    counts = np.array([group.count for group in groups])
    means = np.array([_mean_influence(group, whole, gradient) for group in groups])
    shares = counts / counts.sum()
    means -= (shares * means).sum()
    of_mean = float(np.square(shares * means).sum()) * len(groups) / (len(groups) - 1)
    return of_mean * float(counts.sum())


def _mean_influence(group: FeatureStats, whole: Gaussian, gradient: Gradient) -> float:
    """Up to a constant."""
    shift = group.mean - whole.mean
    second = float((gradient.cov * group.scatter).sum()) / group.count
    return float(gradient.mean @ shift + shift @ gradient.cov @ shift) + second


def _root(variance: float, value: float) -> float | None:
    return known(math.sqrt(variance), value)


def _parts(groups: Sequence[FeatureStats], n: int) -> list[tuple[FeatureStats, list[FeatureStats]]]:
    """Merge the groups to n sets of neighbours: group g is in set g n // len(groups)."""
    members: list[list[FeatureStats]] = [[] for _ in range(n)]
    for number, group in enumerate(groups):
        members[number * n // len(groups)].append(group)
    return [(reduce(add, each), each) for each in members]


def fid(settings: FidSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """Distance with its standard error, and where images suffice its limit for infinitely many."""
    name = inception_name("fid", "fd", settings, fake.detector)
    distance = FrechetTo(real.moments)
    note = _note(fake, real)
    if fake.stored is not None:
        return [Value(name=name, value=distance(fake.stored), notes=[note])]
    result = estimate(distance, fake.blocks)
    details = error_details() if result.stderr else {}
    value = Value(
        name=name, value=result.value, stderr=result.stderr, details=details, notes=[note]
    )
    if settings.floor or result.limit is None:
        return [value]
    limit = Value(
        name=f"{name}_inf", value=result.limit, stderr=result.limit_stderr, details=details,
        notes=[note],
    )  # fmt: skip
    return [value, limit]


def _note(fake: ImageFeatures, real: ImageFeatures) -> str:
    counts = [n for n in (fake.moments.count, real.moments.count) if n is not None]
    dim = len(real.moments.mean)
    if min(counts, default=dim + 1) > dim:
        return ""
    return (
        f"{min(counts)} images do not span {dim} features: the value is biased upwards and compares"
        f" only with values of {min(counts)} images"
    )
