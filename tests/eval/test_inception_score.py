from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan_eval.engine.statistics import class_sums, inception_score, pieces_of, split_of
from stylegan_eval.errors import UserError


def logits(count, classes=20, scale=3.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, classes, generator=rng)


def sums_of(x, splits=10):
    pieces = pieces_of(len(x), splits)
    return class_sums(x, split_of(range(len(x)), len(x), pieces), pieces)


@pytest.mark.parametrize(("count", "splits"), [(200, 10), (203, 10), (57, 1), (64, 7)])
def test_score_equals_torch_fidelitys(count, splits):
    from torch_fidelity.metric_isc import isc_features_to_metric

    x = logits(count)
    theirs = isc_features_to_metric(x, splits=splits, shuffle=False)
    ours = inception_score(sums_of(x, splits), splits)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.std == pytest.approx(theirs["inception_score_std"], abs=1e-12)


def test_sure_and_varied_images_score_the_number_of_classes():
    x = 1000 * torch.eye(8).repeat(5, 1)
    score = inception_score(class_sums(x, np.repeat(np.arange(5), 8), 5), 5)
    assert score.mean == pytest.approx(8)
    assert score.std == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("x", [torch.zeros(30, 8), 1000 * torch.eye(8)[[3] * 30]])
def test_unsure_or_equal_images_score_one(x):
    assert inception_score(sums_of(x), 10).mean == pytest.approx(1)


def test_error_of_many_splits_is_their_own():
    many = inception_score(sums_of(logits(90)), 10)
    assert many.stderr == pytest.approx(many.splits.std(ddof=1) / 10**0.5)
    assert many.freedom == 9
    few = inception_score(sums_of(logits(90), 2), 2)
    assert few.freedom == 2 * (20 - 1)  # pieces of each split


@pytest.mark.parametrize("splits", [1, 2, 5, 10])
@pytest.mark.parametrize("spread", [0.0, 0.7])
def test_error_is_that_of_repeated_samples_for_any_number_of_splits(splits, spread):
    """Also where some images are far surer than others."""
    found = []
    for seed in range(120):
        rng = torch.Generator().manual_seed(1000 + seed)
        surer = (spread * torch.randn(200, 1, generator=rng)).exp()
        x = logits(200, seed=seed) * surer
        score = inception_score(sums_of(x, splits), splits)
        found.append((score.mean, score.stderr))
    means, errors = np.transpose(found)
    # 120 repetitions know a standard deviation to 6 %.
    assert 0.8 < np.mean(errors) / np.std(means, ddof=1) < 1.25


def test_a_split_of_one_image_has_no_error():
    assert inception_score(sums_of(logits(2), 2), 2).stderr is None
    assert inception_score(sums_of(logits(3), 1), 1).stderr > 1e-6


@given(st.integers(1, 12), st.integers(12, 700))
def test_pieces_lie_within_splits(splits, num):
    pieces = pieces_of(num, splits)
    assert pieces % splits == 0
    of_piece = split_of(range(num), num, pieces)
    assert np.array_equal(of_piece // (pieces // splits), split_of(range(num), num, splits))
    assert np.bincount(of_piece, minlength=pieces).min() >= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 60), st.lists(st.integers(0, 60), max_size=3), st.integers(0, 1000))
def test_batches_do_not_matter(count, cuts, seed):
    x, split = logits(count, seed=seed), split_of(range(count), count)
    bounds = [0, *sorted(min(cut, count) for cut in cuts), count]
    parts = [class_sums(x[a:b], split[a:b]) for a, b in pairwise(bounds)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    whole = inception_score(class_sums(x, split), 10)
    assert inception_score(total, 10).splits == pytest.approx(whole.splits, rel=1e-12)


def test_a_split_without_images_is_refused():
    with pytest.raises(UserError, match="10 splits need 10 images or more, there are 7"):
        inception_score(class_sums(logits(7), split_of(range(7), 7)), 10)
