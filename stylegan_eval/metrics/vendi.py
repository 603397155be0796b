"""Vendi score: the effective number of different images.

References
----------
Friedman and Dieng, The Vendi Score: A Diversity Evaluation Metric for Machine Learning, 2023.
"""

import math

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.naming import Value, full_name
from stylegan_eval.results.significance import known
from stylegan_eval.settings.image_metrics import VendiSettings

TILE = 4096


def vendi_score(x: Tensor) -> tuple[float, float | None]:
    """Exponential of the entropy of the eigenvalues of K / N, K the cosine similarities.

    The eigenvalues that are not 0 are those of S = sum of u u^T / N, u the features at length 1;
    S has the size of the features. One image moves the entropy by -u^T log(S) u - entropy, whose
    spread gives the standard error.

    Parameters
    ----------
    x : Tensor
        Features [N, D], no row of which is 0.

    Returns
    -------
    value : float
        1 (all alike) to N, or D if that is less.
    stderr : float or None
        None where N is at most D: the score then rises with every image.
    """
    count, dim = x.shape
    if count <= dim:
        u = _directions(x)
        return float(_entropy(torch.linalg.eigvalsh(u @ u.T / count)).exp()), None
    tiles = range(0, count, TILE)
    second = torch.zeros(dim, dim, dtype=torch.float64, device=x.device)
    for start in tiles:
        u = _directions(x[start : start + TILE])
        second += u.T @ u
    values, vectors = torch.linalg.eigh(second / count)
    score = float(_entropy(values).exp())
    surprise = -values.clamp(min=torch.finfo(values.dtype).tiny).log()
    each = [(_directions(x[s : s + TILE]) @ vectors).square() @ surprise for s in tiles]
    return score, known(score * float(torch.cat(each).std()) / math.sqrt(count), score)


def _directions(x: Tensor) -> Tensor:
    """float64, rows of length 1."""
    return torch.nn.functional.normalize(x.double())


def _entropy(values: Tensor) -> Tensor:
    return torch.special.entr(values.clamp(min=0)).sum()


def vendi(settings: VendiSettings, fake: ImageFeatures, _real: ImageFeatures) -> list[Value]:
    """Score of the images that have a direction: not all features 0."""
    x = fake.tensor()
    kept = x[(x != 0).any(dim=1)]
    if not len(kept):
        raise UserError(f"all features of {fake.detector.name} are 0: use other --features")
    value, stderr = vendi_score(kept)
    left_out = f"{len(x) - len(kept)} images whose features are all 0 are left out"
    few = (
        f"no standard error: {len(kept)} images are no more than {x.shape[1]} features, and the"
        " score rises with every image"
    )
    name = full_name("vendi", settings, fake.detector, usual="inception")
    notes = [left_out if len(kept) < len(x) else "", few if len(kept) <= x.shape[1] else ""]
    return [Value(name=name, value=value, stderr=stderr, notes=notes)]
