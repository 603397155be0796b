"""Principal components of w: directions of any network, without labels (Härkönen et al. 2020).

Shapes: N latents, D length of w, K components.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.device import strict_float32
from stylegan_eval.engine.files import PACKAGE
from stylegan_eval.engine.sampling import latents, on_device
from stylegan_eval.errors import UserError
from stylegan_eval.results.directions_file import Directions
from stylegan_eval.settings.others import ComponentsSettings

# Latents mapped at a time: always as many, so that no option changes how w is rounded.
_MAPPED = 1000

Floats = NDArray[np.float64]
Mapping = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Components:
    """Directions in which w varies most, each orthogonal to those before it."""

    normals: Floats  # [K, D], of length 1; of the entries of each the largest is positive
    spreads: Floats  # [K], standard deviation of w along each, falling
    shares: Floats  # [K], of the variance of w, the sum of those of its entries


def sampled_w(
    mapping: Mapping, z_dim: int, settings: ComponentsSettings, device: torch.device
) -> NDArray[np.float32]:
    """W [N, D] of the last layer, of the latents of images 0 to N - 1 of a seed.

    `mapping`: z [n, z_dim] -> ws [n, L, D].
    """
    parts = []
    for start in range(0, settings.num, _MAPPED):
        part = range(start, min(start + _MAPPED, settings.num))
        with torch.inference_mode(), strict_float32(device.type):
            ws = mapping(on_device(latents(settings.seed, part, z_dim), device))
        parts.append(ws[:, -1].float().cpu().numpy())
    w = np.concatenate(parts)
    if not np.isfinite(w).all():
        raise UserError("the mapping network gives w that are not finite: training has diverged")
    return w


def covariance_of(w: NDArray[Any]) -> Floats:
    """Covariance [D, D] of w [N, D], in float64, over N - 1."""
    return np.cov(w.astype(np.float64), rowvar=False).reshape(w.shape[1], -1)


def spread_along(normal: Floats, covariance: Floats) -> float:
    """Standard deviation of w along a normal [D] of length 1."""
    return math.sqrt(max(float(normal @ covariance @ normal), 0.0))


def principal_components(covariance: Floats, count: int) -> Components:
    """Eigenvectors of the `count` largest eigenvalues of a covariance [D, D].

    The sign of an eigenvector is arbitrary: here its entry of the largest magnitude, the first of
    equals, is positive.
    """
    values, vectors = np.linalg.eigh(covariance)  # rising
    values, normals = values[::-1], vectors.T[::-1]
    if not values[0] > 0:
        raise UserError("all w are the same: the generator draws one image, and has no components")
    # Below this an eigenvalue is rounding, and its vector any.
    varied = int((values > len(values) * np.finfo(np.float64).eps * values[0]).sum())
    if count > varied:
        raise UserError(
            f"w varies in {varied} directions only: use --components {varied}, or more latents"
            " (--num)"
        )
    values, normals = values[:count], normals[:count]
    largest = np.take_along_axis(normals, np.abs(normals).argmax(axis=1)[:, None], axis=1)
    return Components(
        normals=normals * np.sign(largest),
        spreads=np.sqrt(values),
        shares=values / np.trace(covariance),
    )


def as_directions(
    found: Components, settings: ComponentsSettings, network: str, digest: str
) -> Directions:
    """Components as a file holds them, named pc1, pc2, ...; `network`: its description."""
    return Directions(
        names=tuple(f"pc{number}" for number in range(1, len(found.normals) + 1)),
        normals=found.normals.astype(np.float32),
        spreads=found.spreads.astype(np.float32),
        accuracies=np.full(len(found.normals), np.nan, np.float32),
        generator_digest=digest,
        description=(
            f"principal components of w, {settings.num} latents of seed {settings.seed};"
            f" network: {network}; {PACKAGE} {version(PACKAGE)}"
        ),
        about=tuple(f"{share:.1%} of the variance of w" for share in found.shares),
    )
