from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.scores import class_sums, inception_score, split_of


def logits(count, classes=20, scale=3.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, classes, generator=rng)


@pytest.mark.parametrize(("count", "splits"), [(200, 10), (203, 10), (57, 1), (64, 7)])
def test_score_equals_torch_fidelitys(count, splits):
    from torch_fidelity.metric_isc import isc_features_to_metric

    x = logits(count)
    theirs = isc_features_to_metric(x, splits=splits, shuffle=False)
    ours = inception_score(class_sums(x, split_of(range(count), count, splits), splits))
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-12)
    assert ours.std == pytest.approx(theirs["inception_score_std"], abs=1e-12)


def test_sure_and_varied_images_score_the_number_of_classes():
    x = 1000 * torch.eye(8).repeat(5, 1)
    score = inception_score(class_sums(x, np.repeat(np.arange(5), 8), 5))
    assert score.mean == pytest.approx(8)
    assert score.std == score.stderr == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("x", [torch.zeros(30, 8), 1000 * torch.eye(8)[[3] * 30]])
def test_unsure_or_equal_images_score_one(x):
    assert inception_score(class_sums(x, split_of(range(30), 30))).mean == pytest.approx(1)


def test_one_split_has_no_standard_error():
    score = inception_score(class_sums(logits(9), np.zeros(9, dtype=np.int64), 1))
    assert score.stderr is None
    many = inception_score(class_sums(logits(90), split_of(range(90), 90)))
    assert many.stderr == pytest.approx(many.splits.std(ddof=1) / 10**0.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(10, 60), st.lists(st.integers(0, 60), max_size=3), st.integers(0, 1000))
def test_batches_do_not_matter(count, cuts, seed):
    x, split = logits(count, seed=seed), split_of(range(count), count)
    bounds = [0, *sorted(min(cut, count) for cut in cuts), count]
    parts = [class_sums(x[a:b], split[a:b]) for a, b in pairwise(bounds)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    whole = inception_score(class_sums(x, split))
    assert inception_score(total).splits == pytest.approx(whole.splits, rel=1e-12)


def test_a_split_without_images_is_refused():
    with pytest.raises(UserError, match="10 splits need 10 images or more, there are 7"):
        inception_score(class_sums(logits(7), split_of(range(7), 7)))
