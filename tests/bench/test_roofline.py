"""The roofline of a step: against counting anew, closed forms and published times."""

from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.plan.model import minibatch_at, sizes, training_amounts
from benchmarks.plan.official import official_times, published
from benchmarks.plan.roofline import (
    CARDS,
    GPUS,
    LAUNCH_SECONDS,
    PAGE,
    WINOGRAD,
    Card,
    Step,
    count_step,
    mean_per_kimg,
    page,
    seconds_per_kimg,
    shipped_steps,
    step_of,
)

CARD = Card(
    name="x",
    flop_per_s={"fp32": 1e12, "bf16": 8e12},
    bytes_per_s=1e9,
    link_bytes_per_s=1e9,
    source="",
)
STEP = Step(
    size=8,
    images=4,
    dtype="bf16",
    launches=1000,
    flop=int(8e12),
    dense_bytes=int(5e8),
    other_bytes=int(2e8),
)


def test_the_page_is_what_the_command_writes():
    """Where it is not: python -m benchmarks.plan roofline."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_counts_are_those_of_today(dtype):
    """Where they are not: python -m benchmarks.plan roofline --count."""
    known = shipped_steps()[8, 32, dtype]
    assert count_step(published()[8].config, 8, 32, dtype) == known


def test_every_phase_of_the_published_schedule_is_known_and_agrees_with_the_plan():
    for gpus in GPUS:
        config = published()[gpus].config
        assert list(sizes(config)) == [8, 16, 32, 64, 128, 256, 512, 1024]
        for size in sizes(config):
            step = step_of(config, size, gpus, "tf32")
            assert step.images * gpus == minibatch_at(config, size)
            # Blurs in bfloat16 are means, which count no operations.
            assert step.flop == pytest.approx(step_of(config, size, gpus, "bf16").flop, rel=1e-2)
    # The plan counts the same operations another way: from two small steps.
    config = replace(config, schedule=replace(config.schedule, training_kimg=0, transition_kimg=0))
    flop = training_amounts(config, gpus=gpus).flop / (25e6 / 32)
    assert flop == pytest.approx(step_of(config, 1024, 8, "fp32").flop, rel=1e-3)


def test_the_longest_resource_bounds_a_step():
    assert CARD.seconds(STEP, "bf16") == pytest.approx(
        {"arithmetic": 1, "memory": 0.7, "launches": 1000 * LAUNCH_SECONDS}
    )
    assert CARD.seconds(STEP, "fp32")["arithmetic"] == pytest.approx(8 / WINOGRAD)
    # The other bytes come after the operations, beside which the dense ones are read.
    assert CARD.least(STEP, "bf16") == pytest.approx(1.2)
    assert CARD.bound(STEP, "bf16") == "arithmetic"
    small = replace(STEP, flop=10)
    assert CARD.least(small, "bf16") == pytest.approx(0.7)
    assert CARD.bound(small, "bf16") == "memory"
    many = replace(STEP, launches=10**6)
    assert CARD.least(many, "bf16") == pytest.approx(3)
    assert CARD.bound(many, "bf16") == "launches"


def test_no_published_time_is_below_the_least():
    v100 = CARDS[0]
    for time in official_times():
        if time.gpus in GPUS:
            least = mean_per_kimg(v100, "fp32", time)
            assert 0 < least < time.seconds / 25000


def test_a_training_at_one_size_has_its_mean_there():
    time = published()[8]
    config = time.config
    size = config.resolution
    schedule = replace(config.schedule, training_kimg=0, transition_kimg=0)

    class OneSize:
        gpus = 8

    OneSize.config = replace(config, schedule=schedule)
    assert mean_per_kimg(CARD, "fp32", OneSize) == pytest.approx(
        seconds_per_kimg(CARD, "fp32", config, 8, size)
    )


def test_a_larger_card_is_never_slower():
    for step in shipped_steps().values():
        for slow, fast in pairwise(CARDS):
            for precision in set(slow.flop_per_s) & set(fast.flop_per_s):
                assert fast.least(step, precision) <= slow.least(step, precision)
