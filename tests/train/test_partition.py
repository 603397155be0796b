"""A minibatch divided over processes and passes stays the same minibatch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan.networks.layers import minibatch_stddev
from stylegan.training.loop import Purpose, StepRandom
from stylegan.training.partition import shares
from stylegan_eval.errors import UserError

CPU = torch.device("cpu")
divided = st.tuples(
    st.integers(1, 4).map(lambda n: 2 ** (n - 1)),  # group size
    st.integers(1, 4),  # groups of each process
    st.integers(1, 4),  # processes
    st.integers(1, 20),  # images in a pass, at most
)


def all_shares(group, groups, world, at_a_time):
    minibatch = group * groups * world
    return minibatch, [
        share
        for rank in range(world)
        for share in shares(minibatch, group, rank=rank, world=world, at_a_time=at_a_time)
    ]


@given(divided)
def test_every_image_is_worked_on_once(case):
    minibatch, parts = all_shares(*case)
    assert sorted(np.concatenate([part.rows for part in parts])) == list(range(minibatch))
    assert sum(part.weight for part in parts) == pytest.approx(1)
    assert all(len(part.rows) == part.size for part in parts)


@given(divided)
def test_no_pass_is_larger_than_asked_for_but_one_group_is_always_taken(case):
    group, _, _, at_a_time = case
    _, parts = all_shares(*case)
    assert max(part.size for part in parts) <= max(at_a_time, group)


@given(divided)
def test_groups_of_the_minibatch_stay_together(case):
    """The statistic of the parts is that of the whole, image by image."""
    minibatch, parts = all_shares(*case)
    x = torch.randn(minibatch, 2, 4, 4, generator=torch.Generator().manual_seed(minibatch))
    whole = minibatch_stddev(x, case[0])
    for part in parts:
        torch.testing.assert_close(minibatch_stddev(x[part.rows], case[0]), whole[part.rows])


@given(divided)
def test_an_image_gets_the_same_numbers_in_whatever_part_it_is(case):
    minibatch, parts = all_shares(*case)
    (whole,) = shares(minibatch, case[0])
    random = StepRandom(3, CPU)
    random.begin(1000)
    expected = [random.fakes(whole, purpose, 5) for purpose in Purpose]
    places = random.penalty(whole)
    for purpose in Purpose:
        for part in parts:
            assert torch.equal(random.fakes(part, purpose, 5), expected[purpose][part.rows])
            assert torch.equal(random.penalty(part), places[part.rows])


def test_steps_and_seeds_have_numbers_of_their_own():
    (share,) = shares(8, 4)
    drawn = []
    for random in (StepRandom(seed, CPU) for seed in range(3)):
        for nimg in (0, 8, 16):
            random.begin(nimg)
            drawn += [random.fakes(share, purpose, 4) for purpose in Purpose]
    rows = torch.cat(drawn)  # every image of every step, for every purpose, and no two alike
    assert len(torch.unique(rows, dim=0)) == 9 * 2 * 8
    assert rows.mean().abs() < 5 / rows.numel() ** 0.5


@pytest.mark.parametrize(
    ("minibatch", "world", "message"),
    [
        (8, 3, "use 2 processes"),
        (12, 2, "use 1 process,"),
        (6, 1, "no multiple of 4"),
        (2, 2, "use 1 process,"),
    ],
)
def test_what_does_not_divide_is_refused(minibatch, world, message):
    with pytest.raises(UserError, match=message):
        shares(minibatch, 4, world=world)
