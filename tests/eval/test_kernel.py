import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.kid import kernel_distance, kernel_distance_of, random_subsets


def features(count, shift=0.0, dim=64, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=rng).relu() + shift


def naive(x, y):
    """The unbiased estimate, pair by pair."""
    x, y = x.double().numpy(), y.double().numpy()
    m, dim = x.shape

    def kernel(a, b):
        return (a @ b / dim + 1) ** 3

    within = sum(kernel(s[i], s[j]) for s in (x, y) for i in range(m) for j in range(m) if i != j)
    across = sum(kernel(a, b) for a in x for b in y)
    return within / (m * (m - 1)) - 2 * across / m**2


def test_estimate_equals_the_sum_over_pairs():
    x, y = features(13, dim=7), features(13, shift=0.3, dim=7, seed=1)
    everything = [(np.arange(13), np.arange(13))]
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        found = kernel_distance_of(x.to(dtype), y.to(dtype), everything)
        assert found.mean == pytest.approx(naive(x, y), rel=tolerance)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_mean_and_deviation_equal_torch_fidelitys_on_its_subsets(shift):
    from torch_fidelity.metric_kid import kid_features_to_metric

    fake, real = features(300), features(250, shift, seed=1)
    # It is compared in float64: in float32 its own sums are known to 1e-6 of the kernel only.
    theirs = kid_features_to_metric(
        fake.double(), real.double(), kid_subsets=20, kid_subset_size=100, verbose=False
    )
    rng = np.random.RandomState(2020)
    indices = [tuple(rng.choice(n, 100, replace=False) for n in (300, 250)) for _ in range(20)]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        ours = kernel_distance_of(fake.to(dtype), real.to(dtype), indices)
        assert ours.mean == pytest.approx(theirs["kernel_inception_distance_mean"], abs=tolerance)
        assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], abs=tolerance)


def test_one_distribution_gives_zero_within_the_standard_error():
    fake, real = features(1000), features(1000, seed=1)
    found = kernel_distance(fake, real, rng=np.random.default_rng(0), subsets=50, subset_size=100)
    assert abs(found.mean) < 4 * found.stderr
    moved = kernel_distance(
        fake + 0.2, real, rng=np.random.default_rng(0), subsets=50, subset_size=100
    )
    assert moved.mean > 20 * moved.stderr


@pytest.mark.parametrize("shift", [0.0, 0.2])
@pytest.mark.parametrize(
    ("counts", "subsets", "size"),
    [((96, 96), 3, 96), ((200, 200), 10, 100), ((400, 400), 10, 20), ((120, 300), 1, 30)],
)
def test_errors_are_those_of_repeated_samples(counts, subsets, size, shift):
    """All images in a subset, half of them, few; unlike sides. Real images fixed, and redrawn."""
    fakes, reals = counts
    measured = {"stderr": [], "stderr_redrawn": []}
    for kind, found in measured.items():
        for seed in range(80):
            one = kernel_distance(
                features(fakes, shift, dim=32, seed=2 * seed),
                features(reals, dim=32, seed=2 * seed + 1 if kind == "stderr_redrawn" else 1),
                rng=np.random.default_rng(seed),
                subsets=subsets,
                subset_size=size,
            )
            found.append((one.mean, getattr(one, kind)))
        means, errors = np.transpose(found)
        # 80 repetitions know a standard deviation to 8 %.
        assert 0.8 < np.mean(errors) / np.std(means, ddof=1) < 1.35, kind


def test_a_subset_of_all_images_has_an_error():
    fake, real = features(96), features(96, 0.1, seed=1)
    found = kernel_distance(fake, real, rng=np.random.default_rng(0), subsets=5, subset_size=96)
    assert found.std < 1e-6 < found.stderr < found.stderr_redrawn


@pytest.mark.parametrize("size", [2, 3])
def test_what_cannot_be_known_is_no_error(size):
    """Too few images for it, or images that are all the same."""
    fake, real = features(10), features(10, seed=1)
    small = kernel_distance(fake, real, rng=np.random.default_rng(0), subset_size=size)
    assert small.stderr is None
    same = kernel_distance(
        fake[:1].expand(10, -1), real[:1].expand(10, -1), rng=np.random.default_rng(0),
        subset_size=5,
    )  # fmt: skip
    assert same.stderr is None


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**32))
def test_subsets_hold_different_images_and_depend_on_the_seed_alone(first, second, seed):
    size = min(first, second)

    def draw():
        rng = np.random.default_rng(seed)
        return list(random_subsets((first, second), 3, size, rng))

    drawn = draw()
    for subset in drawn:
        for part, count in zip(subset, (first, second), strict=True):
            assert len(set(part.tolist())) == size
            assert 0 <= part.min() <= part.max() < count
    assert all(np.array_equal(a, b) for a, b in zip(drawn, draw(), strict=True))


@pytest.mark.parametrize(("fakes", "reals", "size"), [(10, 20, 15), (20, 10, 15), (20, 20, 1)])
def test_too_few_images_are_refused(fakes, reals, size):
    with pytest.raises(UserError, match="subset") as caught:
        kernel_distance(
            features(fakes), features(reals), rng=np.random.default_rng(0), subset_size=size
        )
    assert "\n" not in str(caught.value)
