"""How far a statistic of blocks would move with other images, without storing features.

References
----------
Kott: The delete-a-group jackknife, Journal of Official Statistics 17, 2001.
Chong, Forsyth: Effectively Unbiased FID and Inception Score and where to find them, CVPR 2020.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import numpy as np

from stylegan_eval.statistics import FeatureStats

GROUPS = 20
# Sets of N, N / 2 and N / 4 images, all disjoint within a size.
_DIVISORS = (1, 2, 4)
Statistic = Callable[[FeatureStats], float]


def jackknife(replicates: Sequence[float]) -> float:
    """Standard error from the values that leave out each of G groups in turn.

    sqrt((G - 1) / G * sum of (value - mean)^2).
    """
    count = len(replicates)
    deviations = np.asarray(replicates) - np.mean(replicates)
    return math.sqrt((count - 1) / count * float(np.square(deviations).sum()))


def leave_one_out(statistic: Statistic, groups: Sequence[FeatureStats]) -> list[float]:
    """Values without each group in turn, what else they depend on (the real images) held fixed.

    Empty with fewer than 10 groups: too few for a standard error.
    """
    if len(groups) < 10:
        return []
    whole = reduce(add, groups)
    return [statistic(whole - group) for group in groups]


def can_extrapolate(groups: Sequence[FeatureStats]) -> bool:
    """Whether a quarter of the images is twice the number of features: then 1/N is the law."""
    count = sum(group.count for group in groups)
    return len(groups) >= 10 and count >= 8 * len(groups[0].mean)


def extrapolate(
    statistic: Statistic, groups: Sequence[FeatureStats], left_out: Sequence[float]
) -> tuple[float, float]:
    """Value for infinitely many images, and its jackknife standard error.

    The statistic of N images is a + b / N; a straight line is laid through N, N / 2 and N / 4, the
    smaller sizes averaged over all their disjoint sets.

    Parameters
    ----------
    statistic : callable
        Of the statistics of a set of images.
    groups : sequence of FeatureStats
        Disjoint parts of about equal size; see `can_extrapolate`.
    left_out : sequence of float
        `leave_one_out` of them: a third of the work, which the standard error of N needs as well.
    """
    sets = {n: _parts(groups, n) for n in _DIVISORS}
    values = {n: [statistic(part) for part in parts] for n, parts in sets.items()}
    counts = {n: [part.count for part in parts] for n, parts in sets.items()}
    replicates = []
    for number, group in enumerate(groups):
        left_values = {n: list(each) for n, each in values.items()}
        left_counts = {n: list(each) for n, each in counts.items()}
        for n in _DIVISORS:
            index = number * n // len(groups)
            rest = sets[n][index] - group
            left_values[n][index] = left_out[number] if n == 1 else statistic(rest)
            left_counts[n][index] = rest.count
        replicates.append(_intercept(left_counts, left_values))
    return _intercept(counts, values), jackknife(replicates)


def _parts(groups: Sequence[FeatureStats], n: int) -> list[FeatureStats]:
    """Merge the groups to n sets of neighbours: group g is in set g n // len(groups)."""
    members: list[list[FeatureStats]] = [[] for _ in range(n)]
    for number, group in enumerate(groups):
        members[number * n // len(groups)].append(group)
    return [reduce(add, each) for each in members]


def _intercept(counts: dict[int, list[int]], values: dict[int, list[float]]) -> float:
    x = [np.mean([1 / count for count in counts[n]]) for n in _DIVISORS]
    y = [np.mean(values[n]) for n in _DIVISORS]
    _, intercept = np.polyfit(x, y, 1)
    return float(intercept)
