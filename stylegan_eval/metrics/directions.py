r"""Attribute directions: the normals of the hyperplanes that linear separability fits in W.

A hyperplane {w : a.w = b} has one normal for each way to measure angles. By Euclid it is a, which
for w that varies little along a is a direction that hardly any w lies in. By the covariance S of w
(angles between S^(-1/2) w) it is S a: the mean change of w with a.w, so that w stays where
the mapping network leads. By the covariance and along the hyperplanes of all other attributes, the
rows of B, it is S a - S B^T (B S B^T)^(-1) B S a: what S a has left when B w shall stay.

Shapes: n images, A attributes, D length of w.

References
----------
Karras et al., A Style-Based Generator Architecture for GANs, 2019, Section 4.2 (the hyperplanes).
Haufe et al., On the interpretation of weight vectors of linear models in multivariate neuroimaging,
2014, equation 6 (S a).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.ls import choose_attributes
from stylegan_eval.metrics.separability import (
    Floats,
    SvmError,
    fit_hyperplane,
    most_confident,
    probabilities,
)
from stylegan_eval.settings.directions import DirectionsSettings, Normal

# Of the length of S a: less is what rounding leaves.
_NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Direction:
    """Where one attribute lies.

    Attributes
    ----------
    name : str
        Of the attribute.
    share : float
        Of the kept images, those that have it by the classifier.
    accuracy : float
        Share of kept images on which hyperplane and classifier agree; NaN where there is none.
    normal : ndarray
        float64 [D], of length 1, pointing to where the attribute is present; zeros likewise.
    spread : float
        Standard deviation of w along it; 0 likewise.
    error : str
        Why there is no direction; else empty.
    """

    name: str
    share: float
    accuracy: float
    normal: Floats
    spread: float
    error: str = ""


def find(
    blocks: Sequence[Mapping[str, NDArray[Any]]],
    names: Sequence[str],
    settings: DirectionsSettings,
    *,
    progress: bool = True,
) -> list[Direction]:
    """Directions of the chosen attributes in what `ls_collector.LsCollector` collected.

    Parameters
    ----------
    blocks : sequence of mapping
        Arrays ``logits`` [n, A] and ``w`` [n, D] of all blocks, in order.
    names : sequence of str
        The classifiers' A attributes.
    settings : DirectionsSettings
        Its `keep`, `attributes` and `normal` are used.
    progress : bool
        Whether to show a bar on stderr.

    Raises
    ------
    UserError
        An attribute is unknown, or w does not vary.
    """
    columns = choose_attributes(settings.attributes, names)
    logits = np.concatenate([block["logits"] for block in blocks])  # [n, A]
    w = np.concatenate([block["w"] for block in blocks])  # [n, D]
    covariance = np.cov(w.astype(np.float64), rowvar=False).reshape(w.shape[1], -1)  # [D, D]
    if not np.trace(covariance) > 0:
        raise UserError("all w are the same: the generator draws one image, and has no directions")
    found = []
    for column in tqdm(columns, desc="SVMs", unit="svm", disable=not progress):
        indices, targets = most_confident(probabilities(logits[:, column]), settings.keep)
        found.append(_fit(names[column], w[indices], targets))
    return _turned(found, covariance, settings.normal)


def _fit(name: str, w: NDArray[Any], targets: NDArray[np.int64]) -> Direction:
    """Plain normal of one attribute; its spread is not known yet."""
    share = float((targets == 0).mean())
    try:
        plane = fit_hyperplane(w, targets)
        accuracy, normal, error = float((plane.sides == targets).mean()), plane.normal, ""
    except SvmError as failure:
        accuracy, normal, error = float("nan"), np.zeros(w.shape[1]), str(failure)
    return Direction(
        name=name, share=share, accuracy=accuracy, normal=normal, spread=0.0, error=error
    )


def _turned(plain: Sequence[Direction], covariance: Floats, rule: Normal) -> list[Direction]:
    """The same directions with the normals of a rule."""
    planes = {each.name: each.normal for each in plain if not each.error}
    turned = []
    for each in plain:
        normal, error = np.zeros(len(covariance)), each.error
        if not error:
            others = [plane for name, plane in planes.items() if name != each.name]
            normal = normal_by(rule, each.normal, others, covariance)
            error = "" if normal.any() else "nothing is left of its normal"
        turned.append(
            Direction(
                name=each.name,
                share=each.share,
                accuracy=float("nan") if error else each.accuracy,
                normal=normal,
                spread=float(np.sqrt(normal @ covariance @ normal)),
                error=error,
            )
        )
    return turned


def normal_by(rule: Normal, plane: Floats, others: Sequence[Floats], covariance: Floats) -> Floats:
    """Turn the Euclidean normal of a hyperplane into that of a rule; see the module.

    Parameters
    ----------
    rule : {'covariance', 'apart', 'plain'}
        The rule.
    plane : ndarray
        a, [D].
    others : sequence of ndarray
        Rows of B, [D] each.
    covariance : ndarray
        S, [D, D].

    Returns
    -------
    ndarray
        float64 [D], of length 1; zeros where nothing is left.
    """
    if rule == "plain":
        return _unit(plane, 0.0)
    towards: Floats = covariance @ plane
    least = _NOTHING * float(np.linalg.norm(towards))
    if rule == "apart" and len(others):
        B = np.stack(others)
        S_B = covariance @ B.T  # [D, B]
        # Least squares: two hyperplanes may be the same.
        weights, *_ = np.linalg.lstsq(B @ S_B, B @ towards, rcond=None)
        towards = towards - S_B @ weights
    return _unit(towards, least)


def _unit(vector: Floats, least: float) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / length if length > least else np.zeros_like(vector)
