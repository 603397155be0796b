"""Schedule, optimizer resets, Adam and EMA equal the official ones."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from stylegan.configs import CONFIGS, ScheduleConfig
from stylegan.training.optimizer import Adam, ema_beta, update_ema
from stylegan.training.schedule import phases, training_point, training_points
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


def test_adam_with_a_reset():
    """The official optimizer's state is forgotten before the fifth step."""
    with np.load(GOLDEN / "optimizer.npz") as numbers:
        parameter = nn.Parameter(torch.from_numpy(numbers["adam_init"].copy()))
        adam = Adam([parameter], ScheduleConfig())
        for step in range(6):
            if step == 4:
                adam.reset()
            parameter.grad = torch.from_numpy(numbers["adam_grads"][step].copy())
            assert adam.update(float(numbers["adam_lrates"][step]))
            expected = torch.from_numpy(numbers["adam_values"][step])
            torch.testing.assert_close(parameter.detach(), expected, rtol=2e-6, atol=1e-8)


def test_adam_against_its_definition_in_float64():
    """Tiny gradients, where the place of epsilon decides."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=5)
    parameter = nn.Parameter(torch.from_numpy(x.copy()))
    adam, v = Adam([parameter], ScheduleConfig()), np.zeros(5)
    for t in range(1, 20):
        gradient = rng.normal(size=5) * 1e-8
        parameter.grad = torch.from_numpy(gradient)
        adam.update(0.01)
        v = 0.99 * v + 0.01 * gradient**2
        x = x - 0.01 * np.sqrt(1 - 0.99**t) * gradient / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(parameter.detach().numpy(), x, rtol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_skips_the_step(bad):
    parameters = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
    adam = Adam(parameters, ScheduleConfig())
    for p in parameters:
        p.grad = torch.ones_like(p)
    assert adam.update(0.1)
    before = [p.detach().clone() for p in parameters]
    state = [{k: v.clone() for k, v in adam.state[p].items()} for p in parameters]
    parameters[1].grad[0] = bad
    assert not adam.update(0.1)
    for p, old, moments in zip(parameters, before, state, strict=True):
        assert torch.equal(p, old)
        assert all(torch.equal(adam.state[p][k], v) for k, v in moments.items())
    assert adam.param_groups[0]["steps"] == 1


def test_adam_state_travels():
    """Saved and loaded, it continues as if never stopped."""
    rng = torch.Generator().manual_seed(0)
    first = nn.Parameter(torch.randn(4, generator=rng))
    adam = Adam([first], ScheduleConfig())
    first.grad = torch.randn(4, generator=rng)
    adam.update(0.1)
    second = nn.Parameter(first.detach().clone())
    again = Adam([second], ScheduleConfig())
    again.load_state_dict(copy.deepcopy(adam.state_dict()))
    gradient = torch.randn(4, generator=rng)
    for parameter, optimizer in ((first, adam), (second, again)):
        parameter.grad = gradient.clone()
        optimizer.update(0.1)
    assert torch.equal(first, second)


def test_ema(official):
    for minibatch, beta in official["ema_beta"].items():
        assert ema_beta(int(minibatch), 10.0) == pytest.approx(beta["beta_float64"], rel=1e-15)
    with np.load(GOLDEN / "optimizer.npz") as numbers:
        average, network = nn.Linear(5, 4, bias=False), nn.Linear(5, 4, bias=False)
        average.weight.data = torch.from_numpy(numbers["ema_init"].copy())
        network.weight.data = torch.from_numpy(numbers["ema_src"].copy())
        for minibatch, expected in zip(
            numbers["ema_minibatches"], numbers["ema_values"], strict=True
        ):
            update_ema(average, network, ema_beta(int(minibatch), 10.0))
            torch.testing.assert_close(
                average.weight.detach(), torch.from_numpy(expected), rtol=1e-6, atol=1e-7
            )


def test_ema_copies_buffers():
    average, network = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    network.running_mean.fill_(2.0)
    update_ema(average, network, 0.5)
    assert torch.equal(average.running_mean, network.running_mean)
