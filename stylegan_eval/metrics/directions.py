r"""Attribute directions: the normals of the hyperplanes that linear separability fits in W.

A hyperplane {w : a.w = b} has one normal for each way to measure angles. By Euclid it is a, and
where w hardly varies along a, w moved along it is soon like no w at all. By the covariance S of w
it is S a: the mean change of w with the reading a.w, so that w stays where the mapping network
leads. Of all u with the same a.u it has the least u^T S^-1 u, the squared length in standard
deviations. The readings of other attributes may weigh in: with their normals b_j, each in units
that give it deviation 1, the least

    u^T S^-1 u + m * sum_j (b_j.u)^2

has u = S a - S B^T (I / m + B S B^T)^-1 B S a, with rows b_j of B.

Shapes: n images, A attributes, D length of w.

References
----------
Karras et al., A Style-Based Generator Architecture for GANs, 2019, Section 4.2 (the hyperplanes).
Haufe et al., On the interpretation of weight vectors of linear models in multivariate neuroimaging,
2014, equation 6 (S a).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.ls import choose_attributes
from stylegan_eval.metrics.separability import (
    Floats,
    SvmError,
    fit_hyperplane,
    most_confident,
    probabilities,
)
from stylegan_eval.progress import follow
from stylegan_eval.settings.directions import DirectionsSettings


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
        Its `keep`, `attributes`, `normal` and `apart` are used.
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
    for column in follow(columns, "SVMs", len(columns), unit="svm", shown=progress):
        indices, targets = most_confident(probabilities(logits[:, column]), settings.keep)
        found.append(_fit(names[column], w[indices], targets))
    return _turned(found, covariance, settings)


def _fit(name: str, w: NDArray[Any], targets: NDArray[np.int64]) -> Direction:
    """Plain normal of one attribute; its spread is not known yet."""
    share = float((targets == 0).mean())
    try:
        plane = fit_hyperplane(w, targets)
        accuracy, normal = float((plane.sides == targets).mean()), plane.normal
        error = "" if normal.any() else "the SVM found no hyperplane"
    except SvmError as failure:
        accuracy, normal, error = float("nan"), np.zeros(w.shape[1]), str(failure)
    return Direction(
        name=name, share=share, accuracy=accuracy, normal=normal, spread=0.0, error=error
    )


def _turned(
    plain: Sequence[Direction], covariance: Floats, settings: DirectionsSettings
) -> list[Direction]:
    """The same directions with the normals that the settings ask for."""
    planes = {each.name: each.normal for each in plain if not each.error}
    turned = []
    for each in plain:
        normal = each.normal
        if not each.error and settings.normal == "covariance":
            others = [plane for name, plane in planes.items() if name != each.name]
            normal = covariance_normal(each.normal, others, covariance, settings.apart)
        spread = float(np.sqrt(normal @ covariance @ normal))
        error = each.error or ("" if spread > 0 else "w does not vary along its normal")
        turned.append(replace(each, normal=normal, spread=spread, error=error))
    return turned


def covariance_normal(
    plane: Floats, others: Sequence[Floats], covariance: Floats, apart: float
) -> Floats:
    """Normal of a hyperplane by the covariance of w; see the module.

    Parameters
    ----------
    plane : ndarray
        a, [D].
    others : sequence of ndarray
        Rows of B, [D] each, in any units.
    covariance : ndarray
        S, [D, D].
    apart : float
        m, 0 or more.

    Returns
    -------
    ndarray
        float64 [D], of length 1; zeros where w does not vary along a.
    """
    towards: Floats = covariance @ plane
    if apart > 0 and len(others):
        B = np.stack(others)  # [J, D]
        B = B / np.sqrt(np.einsum("jd,de,je->j", B, covariance, B))[:, None]
        S_B = covariance @ B.T  # [D, J]
        weights = np.linalg.solve(np.eye(len(B)) / apart + B @ S_B, B @ towards)
        towards = towards - S_B @ weights
    length = float(np.linalg.norm(towards))
    return towards / length if length else towards
