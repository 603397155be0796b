"""Rows of path length that say where their number or its error is not to be relied on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stylegan_eval.engine.blocks import Run
from stylegan_eval.generators.loading import load_generator
from stylegan_eval.metrics.ppl import _rounding, summarise
from stylegan_eval.metrics.trimmed_mean import trimmed_mean
from tests.eval.test_ppl import Pixels, settings_of

# Of its differences at a step of 1e-6, 9 % is rounding; 5 % are noted.
TRAINED = (
    Path(__file__).parents[2] / "benchmarks/results/demo-32-trials/lrate-0.012-seed0.safetensors"
)


@pytest.mark.parametrize(("sigma", "noted"), [(0.2, False), (2.0, True)])
def test_an_error_that_rests_on_few_pairs_is_noted(sigma, noted):
    values = np.random.default_rng(0).lognormal(0, sigma, 100)
    [found] = summarise({"wfull-exact": values}, settings_of(space="w"), Pixels())
    assert ("the standard error is unreliable" in found.note) == noted


@pytest.mark.parametrize(("pairs", "noted"), [(2, True), (100, True), (101, False), (1000, False)])
def test_pairs_too_few_to_leave_out_a_percent_are_noted(pairs, noted):
    values = np.random.default_rng(0).standard_normal(pairs) + 9
    [found] = summarise({"wfull-exact": values}, settings_of(space="w"), Pixels())
    assert ("no percent can be left out" in found.note) == noted


@pytest.mark.parametrize(
    ("share", "silent", "missed"),
    [(0.0, (1, 1), 0.12), (0.01, (0.2, 0.9), 0.15), (0.03, (1, 1), 0.12)],
)
def test_a_percentile_at_a_gap_is_noted(share, silent, missed):
    """Where nothing is noted, the interval holds the value of many pairs."""
    rng = np.random.default_rng(0)
    many = trimmed_mean(jumping(rng, 1_000_000, share)).mean
    results = [
        summarise({"wfull-exact": jumping(rng, 10_000, share)}, settings_of(space="w"), Pixels())
        for _ in range(100)
    ]
    quiet = [found for [found] in results if not found.note]
    assert silent[0] <= len(quiet) / 100 <= silent[1]
    wrong = [found for found in quiet if abs(found.value - many) > 1.96 * found.stderr]
    assert len(wrong) / len(quiet) <= missed


def jumping(rng, pairs, share):
    return rng.gamma(4, 0.25, pairs) + 300 * (rng.random(pairs) < share)


@pytest.mark.parametrize(("epsilon", "noted"), [(1e-6, True), (1e-4, False)])
def test_steps_too_small_for_float32_are_noted_of_a_known_network(epsilon, noted):
    run = Run(device=torch.device("cpu"))
    loaded = load_generator(TRAINED, run.device)
    note = _rounding(loaded, settings_of(space="z", epsilon=epsilon), run)
    assert note.endswith("use --derivative exact or a larger --epsilon") == noted
    assert bool(note) == noted
