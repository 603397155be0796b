"""The ways that the benchmark compares train the same networks."""

from dataclasses import replace

import pytest
import torch

from benchmarks.speed.train import measure
from benchmarks.speed.train_side import WAYS, Case, fast_step, plain_step
from stylegan.configs import CONFIGS

SMALL = Case(width=8, resolution=8, minibatch=4, device="cpu")


def test_width_512_is_the_papers_network():
    wide = replace(SMALL, width=512, resolution=1024)
    assert wide.config.network == CONFIGS["F"].network


def test_plain_and_fast_steps_have_the_same_losses():
    fast, plain = fast_step(SMALL, WAYS["fast"]), plain_step(SMALL)
    torch.testing.assert_close(fast(), plain(), rtol=1e-4, atol=1e-5)
    # A step of Adam later, rounding has been divided by the root of small squares.
    torch.testing.assert_close(fast(), plain(), rtol=0.05, atol=0.01)
    rough = fast_step(SMALL, WAYS["bf16"])
    torch.testing.assert_close(rough(), plain_step(SMALL)(), rtol=0.1, atol=0.1)


def test_the_table_has_a_row_for_each_way():
    rows = measure(SMALL, ["plain", "fast"], rounds=1, threads=1)
    assert [row["way"] for row in rows] == ["plain", "fast"]
    assert rows[0]["ratio"] == pytest.approx(1)
    assert all(row["img_per_s"] > 0 and row["gflop_per_s"] > 0 for row in rows)
    assert all(row["peak_mib"] > 0 for row in rows)
