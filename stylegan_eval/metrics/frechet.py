"""The Fréchet distance of two Gaussians, from the statistics of features.

References
----------
Dowson, Landau: The Fréchet Distance between Multivariate Normal Distributions, 1982.
Heusel et al.: GANs Trained by a Two Time-Scale Update Rule, 2017, equation 6.
"""

import numpy as np
import torch
from torch import Tensor

from stylegan_eval.statistics import FeatureStats


def frechet_distance(a: FeatureStats, b: FeatureStats) -> float:
    """Squared Fréchet distance of the Gaussians with these means and covariances.

    |mu_a - mu_b|^2 + Tr C_a + Tr C_b - 2 Tr (C_a C_b)^(1/2), in float64. With C = F F^T the last
    trace is the nuclear norm of F_a^T F_b: real by construction, and exact where covariances are
    singular (fewer images than features).

    Parameters
    ----------
    a, b : FeatureStats
        Of one detector, two vectors or more each.

    Returns
    -------
    float
        0 or more, in squared units of the features.

    Raises
    ------
    ValueError
        Features of different detectors or lengths, or a single vector.
    """
    if a.detector != b.detector or a.mean.shape != b.mean.shape:
        raise ValueError(
            f"cannot compare {len(a.mean)} features of {a.detector}"
            f" with {len(b.mean)} features of {b.detector}"
        )
    if min(a.count, b.count) < 2:
        raise ValueError(f"a covariance needs two images or more, got {min(a.count, b.count)}")
    cov_a, cov_b = torch.from_numpy(a.cov), torch.from_numpy(b.cov)
    shift = float(np.square(a.mean - b.mean).sum())
    traces = float(cov_a.trace() + cov_b.trace())
    distance = shift + traces - 2 * _trace_of_root(cov_a, cov_b)
    rounding = 1e-9 * (shift + traces)
    assert distance >= -rounding, f"{distance} is negative beyond rounding {rounding}"
    return max(distance, 0.0)


def _trace_of_root(cov_a: Tensor, cov_b: Tensor) -> float:
    """Tr (C_a C_b)^(1/2) of covariances [D, D]."""
    low_a, low_b = _cholesky(cov_a), _cholesky(cov_b)
    if low_a is None or low_b is None:
        product = _factor(cov_a, low_a).T @ _factor(cov_b, low_b)
        return float(torch.linalg.svdvals(product).sum())
    product = low_a.T @ low_b
    # The singular values are the roots of the eigenvalues of P P^T, which come three times as
    # fast (0.5 s against 1.7 s at D = 2048, two cores), but with the error squared: a value s of
    # largest S is known to about eps S^2 / s. Where s / S is 1e-4 or more that is 1e-12 S, far
    # below what matters; the factors' diagonals tell. Elsewhere take the slower, exact way.
    spread = float((low_a.diagonal().min() / low_a.diagonal().max()).item())
    spread *= float((low_b.diagonal().min() / low_b.diagonal().max()).item())
    if spread > 1e-4:
        return float(torch.linalg.eigvalsh(product @ product.T).clamp(min=0).sqrt().sum())
    return float(torch.linalg.svdvals(product).sum())


def _cholesky(cov: Tensor) -> Tensor | None:
    """Lower factor of a covariance, or None when it is singular to rounding."""
    factor, failed = torch.linalg.cholesky_ex(cov)
    if int(failed):
        return None
    pivots = factor.diagonal().square()
    tiny = len(cov) * torch.finfo(cov.dtype).eps * cov.diagonal().max()
    return factor if bool(pivots.min() > tiny) else None


def _factor(cov: Tensor, cholesky: Tensor | None) -> Tensor:
    """F [D, rank] with C = F F^T."""
    if cholesky is not None:
        return cholesky
    values, vectors = torch.linalg.eigh(cov)
    # Values this small are rounding, and their roots, 1e-8 of the largest, would not be.
    kept = values > len(cov) * torch.finfo(cov.dtype).eps * values.max().clamp(min=0)
    return vectors[:, kept] * values[kept].sqrt()
