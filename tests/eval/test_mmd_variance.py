"""Variances of a kernel distance against means over all tuples of different images."""

from itertools import permutations

import numpy as np
import pytest
import torch

from stylegan_eval.metrics.mmd_variance import Across, Within, mmd_variance

N, M = 6, 5


def mean(f, *tuples):
    return np.mean([f(*members) for members in tuples])


def different(count, size):
    return permutations(range(count), size)


def own(k):
    """E k(a, b) k(a, c) - E k(a, b) k(c, d)."""
    chains = mean(lambda a, b, c: k[a, b] * k[a, c], *different(len(k), 3))
    return chains - mean(lambda a, b, c, d: k[a, b] * k[c, d], *different(len(k), 4))


def given_row(k):
    n, m = k.shape
    pairs = list(different(m, 2))
    chains = np.mean([k[a, y] * k[a, z] for a in range(n) for y, z in pairs])
    return chains - np.mean([k[a, y] * k[b, z] for a, b in different(n, 2) for y, z in pairs])


def covariance(k, across):
    n, m = across.shape
    together = np.mean([k[a, b] * across[a, y] for a, b in different(n, 2) for y in range(m)])
    apart = [k[a, b] * across[c, y] for a, b, c in different(n, 3) for y in range(m)]
    return together - np.mean(apart)


def within(k):
    off = k - np.diag(np.diag(k))
    return Within(rows=torch.from_numpy(off.sum(axis=1)), squares=float(np.square(off).sum()))


def test_variances_are_means_over_tuples_of_different_images():
    rng = np.random.default_rng(0)
    xx, yy, xy = rng.random((N, N)), rng.random((M, M)), rng.random((N, M))
    xx, yy = xx + xx.T, yy + yy.T
    across = Across(
        rows=torch.from_numpy(xy.sum(axis=1)),
        columns=torch.from_numpy(xy.sum(axis=0)),
        squares=float(np.square(xy).sum()),
    )
    found = mmd_variance(within(xx), within(yy), across)
    assert found.fake == pytest.approx(own(xx) + given_row(xy) - 2 * covariance(xx, xy))
    assert found.real == pytest.approx(own(yy) + given_row(xy.T) - 2 * covariance(yy, xy.T))
    squares = mean(lambda a, b: xx[a, b] ** 2, *different(N, 2))
    chains = mean(lambda a, b, c: xx[a, b] * xx[a, c], *different(N, 3))
    assert found.fake_pairs == pytest.approx(squares - chains - own(xx))
    apart = mean(lambda a, b, y, z: xy[a, y] * xy[b, z],
                 *((*ab, *yz) for ab in different(N, 2) for yz in different(M, 2)))  # fmt: skip
    rest = np.square(xy).mean() - apart - given_row(xy) - given_row(xy.T)
    assert found.cross == pytest.approx(rest)


def test_variance_of_a_difference_of_means():
    """k(a, b) = a b: the distance is that of means, squared; its parts have closed forms."""
    rng = np.random.default_rng(1)
    totals = []
    for _ in range(200):
        x, y = rng.standard_normal(50) + 1, rng.standard_normal(50) * 2
        kernels = np.outer(x, x), np.outer(y, y), np.outer(x, y)
        across = Across(
            rows=torch.from_numpy(kernels[2].sum(axis=1)),
            columns=torch.from_numpy(kernels[2].sum(axis=0)),
            squares=float(np.square(kernels[2]).sum()),
        )
        totals.append(mmd_variance(within(kernels[0]), within(kernels[1]), across))
    # u(x) = x (E x - E y), variance 1; v(y) = y (E y - E x), variance 4; r: 1; s: 16; t: 4.
    assert np.mean(totals, axis=0) == pytest.approx([1, 4, 1, 16, 4], rel=0.15)
