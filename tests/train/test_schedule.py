"""The schedule and the optimizers' resets equal the official ones."""

import json
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylegan.configs import CONFIGS
from stylegan.training.schedule import (
    active_levels,
    final_nimg,
    growth_left,
    phase_steps,
    phases,
    training_point,
    training_points,
)
from tests.train.golden import GOLDEN

RUNS = {
    "stylegan_ffhq_8gpu_1024": CONFIGS["F"],
    "progan_preset_v2_8gpus_fp32_1024": CONFIGS["A"],
    "stylegan_8gpu_32": replace(CONFIGS["F"], resolution=32),
}


@pytest.fixture(scope="module")
def official():
    return json.loads((GOLDEN / "schedule.json").read_text())


@pytest.mark.parametrize("run", RUNS)
def test_rows(official, run):
    for kimg, lod, resolution, minibatch, G_lrate, D_lrate, tick in official["runs"][run]["rows"]:
        point = training_point(round(kimg * 1000), RUNS[run])
        assert point.lod == pytest.approx(lod, abs=1e-12)
        assert (point.resolution, point.minibatch) == (resolution, minibatch)
        assert point.lrate == G_lrate == D_lrate
        assert point.tick_kimg == tick


@pytest.mark.parametrize("run", RUNS)
def test_optimizer_resets_and_length(official, run):
    expected = official["runs"][run]
    resets = [[p.nimg, p.lod, p.resolution, p.minibatch] for p in phases(RUNS[run])]
    np.testing.assert_allclose(resets, expected["optimizer_reset_events"], rtol=0, atol=1e-12)
    points = list(training_points(RUNS[run]))
    assert len(points) * 4 == expected["loop_iterations"]
    assert points[-1].nimg + 4 * points[-1].minibatch == expected["loop_final_nimg"]


def test_a_training_that_does_not_grow_up_is_told_with_a_length_that_does():
    schedule = replace(CONFIGS["F"].schedule, training_kimg=10, transition_kimg=6, total_kimg=40)
    config = replace(CONFIGS["F"], resolution=64, schedule=schedule)
    line = growth_left(config)  # 8x8 to 64x64 are three phases of 16
    assert line.startswith("the training ends at lod 1.00, at 40 kimg, before the networks have")
    assert line.endswith(" grown from 32x32 to 64x64, at 48: give --kimg 58")
    assert growth_left(config, "resume").endswith("at 48: resume --kimg 58")
    for kimg, told in ((47.9, True), (48, False), (58, False)):
        longer = replace(config, schedule=replace(schedule, total_kimg=kimg))
        assert bool(growth_left(longer)) == told
        assert (training_point(round(1000 * kimg), longer).lod > 0) == told


@given(
    nimg=st.integers(0, 10**7),
    step=st.integers(0, 10**6),
    resolution=st.sampled_from([8, 32, 1024]),
    training=st.sampled_from([0.0, 10.0, 600.0]),
    transition=st.sampled_from([0.0, 7.5, 600.0]),
)
def test_lod_never_rises(nimg, step, resolution, training, transition):
    schedule = replace(CONFIGS["F"].schedule, training_kimg=training, transition_kimg=transition)
    config = replace(CONFIGS["F"], resolution=resolution, schedule=schedule)
    before, after = training_point(nimg, config), training_point(nimg + step, config)
    assert after.lod <= before.lod
    assert before.resolution <= after.resolution <= resolution


@given(
    nimg=st.integers(0, 40_000),
    kimg=st.sampled_from([0.4, 3.0, 37.77, 40.0]),
    resolution=st.sampled_from([8, 64]),
    training=st.sampled_from([0.0, 0.3, 10.0]),
    transition=st.sampled_from([0.0, 0.7, 7.5]),
    repeats=st.sampled_from([1, 4]),
)
def test_phases_are_those_of_every_step(nimg, kimg, resolution, training, transition, repeats):
    schedule = replace(
        CONFIGS["F"].schedule,
        training_kimg=training,
        transition_kimg=transition,
        total_kimg=kimg,
        minibatch_repeats=repeats,
    )
    config = replace(CONFIGS["F"], resolution=resolution, schedule=schedule)
    points = training_points(config, nimg)
    walked = [list(group) for _, group in groupby(points, lambda point: active_levels(point.lod))]
    *_, last = training_points(config)
    assert final_nimg(config) == last.nimg + last.minibatch * repeats
    assert list(phase_steps(config, nimg)) == [(group[0], len(group)) for group in walked]
