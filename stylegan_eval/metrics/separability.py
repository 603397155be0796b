"""The arithmetic of linear separability: confidence, linear SVM, entropy, score, its error.

Shapes: n latents, D their length, A attributes, B blocks. In a 2x2 table the first axis is X, the
side of the hyperplane, and the second Y, the classifier's label; class 0 has the attribute.

References
----------
Karras et al., A Style-Based Generator Architecture for GANs, 2019, Section 4.2.
metrics/linear_separability.py of the official StyleGAN.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Convention = Literal["deterministic", "official"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_ITERATIONS = 1000
_SEED_OF_THE_OFFICIAL_SOLVER = 0
_ENOUGH = 20  # latents kept over their length; the paper's 100,000 of 512 are 195


class SvmError(Exception):
    """No hyperplane was found; the message says why."""


def probabilities(logits: ArrayLike) -> NDArray[np.float32]:
    """Softmax of [l, -l] in float32, the official precision.

    Logits beyond about 8.3 round to a probability of 1, and are then equally confident.

    [n] -> [n, 2]: with the attribute, without it.
    """
    values = np.asarray(logits, dtype=np.float32)
    pair = np.stack([values, -values], axis=1)  # [n, 2]
    exponentials = np.exp(pair - pair.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def most_confident(predictions: ArrayLike, keep: int) -> tuple[Integers, Integers]:
    """Indices and labels of the most confident predictions.

    `predictions`: probabilities [n, 2].

    Returns
    -------
    indices : ndarray
        int64 [keep], the most confident first, ties in their order.
    targets : ndarray
        int64 [keep]: 0 with the attribute, 1 without.
    """
    values = np.asarray(predictions)
    indices = np.argsort(-values.max(axis=1), kind="stable")[:keep]
    return indices.astype(np.int64), values[indices].argmax(axis=1).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Hyperplane:
    """The plane of a linear SVM."""

    normal: Floats  # float64 [D], of length 1, pointing to where the attribute is present
    sides: Integers  # int64 [n]: 0 where the SVM takes the attribute for present, 1 where not


def fit_hyperplane(
    features: NDArray[Any], targets: Integers, convention: Convention = "deterministic"
) -> Hyperplane:
    """Hyperplane of a linear SVM (squared hinge, C = 1), and its sides of the same data.

    Parameters
    ----------
    features : ndarray
        [n, D].
    targets : ndarray
        [n], 0 or 1.
    convention : {'deterministic', 'official'}
        The first solves the primal problem to convergence. The second is the official code's
        solver: dual coordinate descent of at most 1000 rounds, converged or not (its random order
        is fixed here).

    Raises
    ------
    SvmError
        There is one class only, or no convergence; the latter never under ``official``.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    official = convention == "official"
    if _one_class(targets):
        raise SvmError(f"all {len(targets)} images {'lack' if targets[0] else 'have'} it")
    svm = LinearSVC(
        C=1.0, dual=official, max_iter=MAX_ITERATIONS, random_state=_SEED_OF_THE_OFFICIAL_SOLVER
    )
    with warnings.catch_warnings():
        # The official code does not look at it; otherwise the number of rounds is looked at below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        svm.fit(features, targets)
    if not official and svm.n_iter_ >= MAX_ITERATIONS:
        raise SvmError(f"the SVM did not converge in {MAX_ITERATIONS} rounds")
    # Coefficients point to class 1, which lacks the attribute.
    towards = -np.asarray(svm.coef_[0], dtype=np.float64)
    length = float(np.linalg.norm(towards))
    return Hyperplane(
        normal=towards / length if length else towards,
        sides=np.asarray(svm.predict(features), dtype=np.int64),
    )


def svm_predictions(
    features: NDArray[Any], targets: Integers, convention: Convention = "deterministic"
) -> Integers:
    """Sides of `fit_hyperplane`: int64 [n], 0 or 1.

    Where the official solver cannot run at all, there being one class, the official code assumes
    perfect sides.

    Raises
    ------
    SvmError
        See `fit_hyperplane`; never under ``official``.
    """
    if convention == "official" and _one_class(targets):
        return targets
    return fit_hyperplane(features, targets, convention).sides


def _one_class(targets: Integers) -> bool:
    return bool((targets == targets[0]).all())


def joint_tables(sides: Integers, targets: Integers, groups: Integers, count: int) -> Floats:
    """How often each pair (side X, label Y) occurs in each group: counts [count, 2, 2].

    `groups`: [n], from 0 to count - 1.
    """
    cells = 4 * groups + 2 * sides + targets
    return np.bincount(cells, minlength=4 * count).reshape(count, 2, 2).astype(np.float64)


def entropy(weights: ArrayLike) -> float:
    """Shannon entropy in bits of weights, normalised here; 0 where all of them are 0."""
    p = np.asarray(weights, dtype=np.float64).ravel()
    p = p[p > 0] / (p.sum() or 1.0)
    return float(-(p * np.log2(p)).sum()) + 0.0  # no negative zero


def conditional_entropy(table: ArrayLike) -> float:
    """H(Y|X): what the label Y still hides from one who knows the side X.

    Equal to the official max(0, H(Y) - I(X; Y)), but a sum of terms that are not negative, so
    that nothing is lost where it is small.

    `table`: weights [2, 2] over (X, Y), not negative; normalised here. In bits, from 0 to
    H(Y); 0 for an empty table.

    Examples
    --------
    >>> conditional_entropy([[1, 1], [1, 1]])
    1.0
    >>> conditional_entropy([[0, 3], [5, 0]])
    0.0
    """
    p = np.asarray(table, dtype=np.float64)
    p = p / (p.sum() or 1.0)
    sides = p.sum(axis=1, keepdims=True)  # p(x)
    seen = p > 0
    ratios = np.broadcast_to(sides, p.shape)[seen] / p[seen]  # 1 / p(y|x), at least 1
    bits = float((p[seen] * np.log2(ratios)).sum())
    return min(max(0.0, bits), entropy(p.sum(axis=0)))


def separability(entropies: Sequence[float]) -> float:
    """Score 2^(sum of entropies in bits): 1 is perfect, a useless SVM doubles it.

    The paper writes exp(sum) with entropies in nats: the same number.
    """
    return 2.0 ** math.fsum(entropies)


def few_kept_note(keep: int, dim: int) -> str:
    """Say where `keep` latents of length `dim` are too few for an SVM judged by what it fitted.

    A hyperplane separates up to 2 (dim + 1) points with a probability of 1/2 or more, whatever
    their labels are (Cover, Geometrical and Statistical Properties of Systems of Linear
    Inequalities, 1965). From `_ENOUGH` dim on an entropy was too low by a tenth of a bit or less
    for every law tried; that falls as 1 / keep.
    """
    if keep >= _ENOUGH * dim:
        return ""
    enough = f"keep {_ENOUGH * dim:,} or more"
    if keep <= 2 * (dim + 1):
        return (
            f"the SVM of {dim} numbers is fitted to {keep:,} images, so few that it separates them"
            f" whatever their labels: this says nothing of the generator; {enough}"
        )
    return (
        f"the SVM of {dim} numbers is fitted to the {keep:,} images that it is judged by, too few:"
        f" of each attribute the entropy may be too low by 0.1 bits or more; {enough}"
    )


def score_stderr(tables: Floats) -> float | None:
    """Standard error of the score, by the jackknife over blocks of images.

    The hyperplanes are not fitted again, so it is the error of the counted agreement alone. The
    jackknife gives the error of the sum of entropies; times score and ln 2 it is the score's. To
    an attribute without a single disagreement it gives none: what half an image more in each cell
    would change stands in.

    `tables`: counts [B, A, 2, 2] of each block and attribute. Returns None for a
    single block.
    """
    count = len(tables)
    if count < 2:
        return None
    total = tables.sum(axis=0)  # [A, 2, 2]
    sums = np.array([math.fsum(map(conditional_entropy, total - part)) for part in tables])
    variance = (count - 1) / count * ((sums - sums.mean()) ** 2).sum()
    entropies = [conditional_entropy(table) for table in total]
    variance += math.fsum(
        conditional_entropy(table + 0.5) ** 2
        for table, bits in zip(total, entropies, strict=True)
        if not bits and table.sum()
    )
    score = separability(entropies)
    return float(score * math.log(2) * math.sqrt(variance))
