import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stylegan_eval.metrics.separability import (
    SvmError,
    conditional_entropy,
    entropy,
    joint_tables,
    most_confident,
    probabilities,
    score_stderr,
    separability,
    svm_predictions,
)

GOLDEN = Path(__file__).parents[1] / "golden"
TABLES = arrays(np.float64, (2, 2), elements=st.integers(0, 10**6).map(float))


@pytest.fixture(scope="module")
def official():
    return json.loads((GOLDEN / "ls.json").read_text())


@pytest.fixture(scope="module")
def samples():
    with np.load(GOLDEN / "ls.npz") as content:
        return dict(content)


def joint_table(sides, targets):
    """Counts of each pair, pair by pair."""
    table = np.zeros((2, 2))
    np.add.at(table, (sides, targets), 1)
    return table


def tables_of(features, samples, keep, convention):
    """Normalised tables of the attributes that an SVM can be fitted to, else the error."""
    found = []
    for predictions in samples["predictions"]:
        indices, targets = most_confident(predictions, keep)
        try:
            sides = svm_predictions(features[indices], targets, convention)
        except SvmError as error:
            found.append(str(error))
        else:
            found.append(joint_table(sides, targets) / keep)
    return found


# Arithmetic.


def test_entropies_are_the_official_ones(official):
    for case in official["tables"]:
        assert conditional_entropy(case["p"]) == pytest.approx(
            case["conditional_entropy"], abs=2e-6
        )


def test_entropy_of_a_table_in_closed_form():
    # 90 % agreement between two fair coins.
    expected = -(0.9 * math.log2(0.9) + 0.1 * math.log2(0.1))
    assert conditional_entropy([[45, 5], [5, 45]]) == pytest.approx(expected, rel=1e-14)


def test_tiny_entropies_are_not_lost():
    # H = p/2 log2(2/p) + ... of one image in 1e12; the difference H(Y) - I has no digit left.
    p = 1e-12
    expected = p * (math.log2(0.5 / p) + 1 / math.log(2))
    assert conditional_entropy([[0.5 - p, p], [0, 0.5]]) == pytest.approx(expected, rel=1e-6)


@given(TABLES)
def test_entropy_lies_between_0_and_that_of_the_label(table):
    assert 0 <= conditional_entropy(table) <= entropy(table.sum(axis=0)) <= 1


@given(TABLES, st.floats(1e-6, 1e6))
def test_entropy_does_not_depend_on_scale_or_names_of_the_classes(table, factor):
    expected = pytest.approx(conditional_entropy(table), abs=1e-12)
    assert conditional_entropy(table * factor) == expected
    assert conditional_entropy(table[::-1]) == expected
    assert conditional_entropy(table[:, ::-1]) == expected


@given(TABLES)
def test_entropy_is_that_of_the_label_less_the_mutual_information(table):
    total = table.sum() or 1.0
    p = table / total
    x, y = p.sum(axis=1, keepdims=True), p.sum(axis=0, keepdims=True)
    seen = p > 0
    information = (p[seen] * np.log2(p[seen] / (x * y)[seen])).sum()
    assert conditional_entropy(table) == pytest.approx(entropy(y.ravel()) - information, abs=1e-12)


def test_score_is_two_to_the_sum():
    assert separability([]) == 1
    assert separability([0.0, 0.0]) == 1
    assert separability([1.0, 0.5, 1.5]) == 8


# Which images are kept.


def test_probabilities_are_the_softmax_of_plus_and_minus():
    logits = np.array([-3.0, -0.1, 0.0, 0.7, 2.0])
    found = probabilities(logits)
    assert found.dtype == np.float32
    assert found[:, 0] == pytest.approx(1 / (1 + np.exp(-2 * logits)), rel=1e-6)
    assert found.sum(axis=1) == pytest.approx(np.ones(5), rel=1e-6)
    assert np.isfinite(probabilities([1e30, -1e30])).all()


def test_the_surest_come_first_and_ties_keep_their_order():
    values = [[0.5, 0.5], [0.1, 0.9], [0.8, 0.2], [0.9, 0.1], [0.2, 0.8]]
    indices, targets = most_confident(values, 4)
    assert indices.tolist() == [1, 3, 2, 4]
    assert targets.tolist() == [1, 0, 0, 1]
    assert most_confident([[0.5, 0.5]], 1)[1].tolist() == [0]


# The whole against official runs.


@pytest.mark.parametrize("space", ["z", "w"])
def test_deterministic_svm_gives_the_official_tables(official, samples, space):
    found = tables_of(samples[space], samples, official["keep"], "deterministic")
    expected = official["deterministic"]
    assert found[4] == "all 1000 images have it"  # the official code assumes perfection
    for table, theirs, bits in zip(
        found[:4], expected[f"p_{space}"], expected[f"H_{space}"], strict=False
    ):
        assert table == pytest.approx(np.array(theirs), abs=1e-9)
        assert conditional_entropy(table) == pytest.approx(bits, abs=1e-6)
    score = separability([conditional_entropy(table) for table in found[:4]])
    assert score == pytest.approx(expected[f"score_{space}"], rel=1e-6)


@pytest.mark.parametrize("space", ["z", "w"])
def test_official_convention_lies_among_official_runs(official, samples, space):
    found = tables_of(samples[space], samples, official["keep"], "official")
    assert found[4].tolist() == [[1, 0], [0, 0]]  # one class: taken for a perfect prediction
    score = separability([conditional_entropy(table) for table in found])
    scores = [run[f"score_{space}"] for run in official["official"]]
    # Their solver draws at random: runs differ by 0.5 %.
    assert min(scores) * 0.995 < score < max(scores) * 1.005


# SVMs.


def test_what_is_linear_is_separated_perfectly():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2000, 8))
    direction = rng.standard_normal(8)
    indices, targets = most_confident(probabilities(features @ direction), 1000)
    sides = svm_predictions(features[indices], targets)
    assert conditional_entropy(joint_table(sides, targets)) == 0


def test_what_is_independent_hides_one_bit():
    rng = np.random.default_rng(1)
    features, targets = rng.standard_normal((4000, 4)), rng.integers(0, 2, 4000)
    bits = conditional_entropy(joint_table(svm_predictions(features, targets), targets))
    assert separability([bits, bits]) == pytest.approx(4, rel=0.01)


def test_both_conventions_agree_where_the_solver_converges():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((500, 3))
    targets = (features[:, 0] + rng.standard_normal(500) > 0).astype(np.int64)
    ours = svm_predictions(features, targets)
    assert (ours == svm_predictions(features, targets, "official")).mean() > 0.99
    assert np.array_equal(ours, svm_predictions(features, targets))


def test_no_convergence_is_a_failure_but_not_officially(monkeypatch):
    monkeypatch.setattr("stylegan_eval.metrics.separability.MAX_ITERATIONS", 1)
    rng = np.random.default_rng(3)
    features = rng.standard_normal((500, 8)) * np.logspace(-3, 3, 8)
    targets = (features[:, 0] > 0).astype(np.int64)
    with pytest.raises(SvmError, match="did not converge in 1 rounds"):
        svm_predictions(features, targets)
    assert svm_predictions(features, targets, "official").shape == (500,)


# The error of the score.


def test_tables_of_groups_add_up():
    rng = np.random.default_rng(4)
    sides, targets, groups = (rng.integers(0, n, 300) for n in (2, 2, 5))
    tables = joint_tables(sides, targets, groups, 7)
    assert tables.shape == (7, 2, 2)
    assert np.array_equal(tables.sum(axis=0), joint_table(sides, targets))
    chosen = groups == 3
    assert np.array_equal(tables[3], joint_table(sides[chosen], targets[chosen]))
    assert not tables[5:].any()


def test_standard_error_is_that_of_repeated_experiments():
    rng = np.random.default_rng(5)
    cells = np.array([[0.4, 0.1, 0.1, 0.4], [0.3, 0.05, 0.15, 0.5]])  # two attributes

    def experiment():
        return np.stack([rng.multinomial(100, p, size=20) for p in cells], axis=1).reshape(
            20, 2, 2, 2
        )

    runs = [experiment().astype(np.float64) for _ in range(200)]
    scores = [
        separability([conditional_entropy(table) for table in run.sum(axis=0)]) for run in runs
    ]
    errors = [score_stderr(run) for run in runs]
    assert np.mean(errors) == pytest.approx(np.std(scores), rel=0.15)


@pytest.mark.parametrize("mistakes", [0.3, 1.0, 3.0])
def test_perfect_agreement_has_an_error(mistakes):
    """Of 2,000 images one is misjudged now and then, mostly none."""
    rng = np.random.default_rng(6)
    off = mistakes / 2000
    runs = [
        rng.multinomial(100, [0.5 - off, off / 2, off / 2, 0.5], size=20).reshape(20, 1, 2, 2)
        for _ in range(400)
    ]
    scores = [separability([conditional_entropy(run.sum(axis=0)[0])]) for run in runs]
    errors = [score_stderr(run.astype(np.float64)) for run in runs]
    perfect = [error for score, error in zip(scores, errors, strict=True) if score == 1]
    assert min(perfect) > np.std(scores) / 3
    assert 0.8 < np.mean(errors) / np.std(scores) < 3


def test_equal_blocks_have_no_error_and_one_block_knows_none():
    block = np.array([[[30.0, 5.0], [5.0, 60.0]]])  # [A, 2, 2]
    assert score_stderr(np.stack([block] * 10)) == pytest.approx(0, abs=1e-12)
    assert score_stderr(block[None]) is None
