"""Speeds of phases: exact on a clock of our own; real steps leave nothing behind."""

import gc
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stylegan.runtime import Runtime
from stylegan.training.cost import Phase, phase_costs
from stylegan.training.partition import Execution
from stylegan.training.schedule import TrainingPoint
from stylegan.training.speed import measure_phases, trial_steps
from stylegan.training.state import TrainState

CPU = Runtime(torch.device("cpu"))


def phase(flop_per_image, minibatch=10, images=1000, memory=0):
    point = TrainingPoint(
        nimg=0, lod=0.0, resolution=4, minibatch=minibatch, lrate=0.001, tick_kimg=1.0
    )
    return Phase(
        point=point,
        images=images,
        flop_per_image=flop_per_image,
        at_a_time=minibatch,
        memory=memory,
    )


class Machine:
    """Computes at `rate` operations per second, and takes `extra` seconds more at first."""

    def __init__(self, rate, extra=0.0):
        self.rate, self.extra = rate, extra
        self.now = 100.0
        self.built, self.steps = [], 0

    def clock(self):
        return self.now

    def build(self, cost):
        self.built.append(cost.flop_per_image)
        first = [self.extra]

        def step():
            self.steps += 1
            self.now += cost.flop_per_image * cost.point.minibatch / self.rate
            self.now += first.pop() if first else 0.0

        return step

    def measure(self, costs, budget, guess=None):
        rate = guess or self.rate
        return measure_phases(costs, self.build, rate=rate, budget=budget, clock=self.clock)


def test_every_phase_is_timed_when_there_is_time():
    machine = Machine(rate=100.0, extra=0.5)
    costs = [phase(3.0), phase(1.0, images=500), phase(2.0, minibatch=20)]
    speeds = machine.measure(costs, budget=1000.0)
    assert [replace(speed, img_per_s=0.0, measured=False) for speed in speeds] == costs
    assert [speed.img_per_s for speed in speeds] == pytest.approx([100 / 3, 100.0, 50.0])
    assert [speed.seconds for speed in speeds] == pytest.approx([30.0, 5.0, 20.0])
    assert all(speed.measured for speed in speeds)
    assert machine.built == [1.0, 3.0, 2.0]  # 10, 30, 40 operations a step
    assert machine.steps == 3 * 4


def test_costly_phases_are_extrapolated_from_the_costliest_measured():
    machine = Machine(rate=100.0)
    costs = [phase(1.0), phase(10.0), phase(1000.0), phase(2000.0)]
    # Four steps of 0.1 s and four of 1 s; two of 100 s would not fit.
    speeds = machine.measure(costs, budget=10.0, guess=1e9)
    assert [speed.measured for speed in speeds] == [True, True, False, False]
    assert [speed.img_per_s for speed in speeds] == pytest.approx([100.0, 10.0, 0.1, 0.05])
    assert machine.built == [1.0, 10.0]


def test_nothing_is_built_that_would_not_fit():
    machine = Machine(rate=100.0)
    (speed,) = machine.measure([phase(1000.0)], budget=5.0)
    assert (speed.measured, machine.built) == (False, [])
    assert speed.seconds == pytest.approx(1000 * 1000 / 100)


def test_a_first_step_that_takes_all_the_time_is_not_what_a_step_takes():
    machine = Machine(rate=100.0, extra=9.0)
    (speed,) = machine.measure([phase(10.0)], budget=5.0)
    assert machine.steps == 2  # the second is the only one that tells anything
    assert speed.img_per_s == pytest.approx(10.0)
    assert speed.measured


@pytest.mark.parametrize("extra", [0.0, 0.4, 2.0, 30.0])
@pytest.mark.parametrize("budget", [0.1, 1.0, 2.5, 5.0, 60.0])
def test_cold_steps_are_no_part_of_the_length(extra, budget):
    """However long they take, and in whatever phase the budget ends."""
    machine = Machine(rate=100.0, extra=extra)
    costs = [phase(0.1 * 2**k, images=1000 * 4**k) for k in range(9)]
    speeds = machine.measure(costs, budget=budget)
    length = sum(cost.flop_per_image * cost.images for cost in costs) / machine.rate
    assert sum(speed.seconds for speed in speeds) == pytest.approx(length)


def test_what_was_not_timed_follows_the_rates_weighted_by_operations():
    """Small steps are slow for their operations: the largest count most, and not they alone."""

    def build(cost):
        def step():
            machine.now += cost.flop_per_image * 10 / rates[cost.flop_per_image]

        return step

    machine, rates = Machine(rate=1.0), {1.0: 10.0, 3.0: 50.0, 1e6: 1.0}
    costs = [phase(1.0), phase(3.0), phase(1e6)]
    *_, last = measure_phases(costs, build, rate=1e3, budget=30.0, clock=machine.clock)
    assert not last.measured
    assert last.img_per_s == pytest.approx((1 * 10 + 3 * 50) / 4 / 1e6)


def test_a_phase_larger_than_the_memory_is_not_tried():
    machine = Machine(rate=100.0)
    costs = [phase(1.0, memory=10), phase(2.0, memory=30), phase(3.0, memory=20)]
    speeds = measure_phases(costs, machine.build, rate=100.0, memory=20, clock=machine.clock)
    # Nor is what costs more than it: one rate serves all that was not timed.
    assert [speed.measured for speed in speeds] == [True, False, False]
    assert machine.built == [1.0]


@given(
    flops=st.lists(st.floats(0.1, 1e4), min_size=1, max_size=8),
    budget=st.floats(0.1, 1e3),
    factor=st.floats(0.5, 2.0),
)
@settings(derandomize=True, deadline=None)
def test_the_budget_is_kept_up_to_a_wrong_guess(flops, budget, factor):
    machine = Machine(rate=100.0)
    costs = [phase(flop) for flop in flops]
    speeds = machine.measure(costs, budget, guess=factor * machine.rate)
    assert machine.now - 100.0 <= budget * max(1.0, factor) + 1e-6
    measured = [speed.flop_per_image for speed in speeds if speed.measured]
    others = [speed.flop_per_image for speed in speeds if not speed.measured]
    assert not measured or not others or max(measured) <= min(others)


def living_states():
    gc.collect()
    return sum(type(thing) is TrainState for thing in gc.get_objects())


def test_real_steps_disturb_nothing(tiny):
    before, random_before = living_states(), torch.get_rng_state()
    costs = phase_costs(tiny)
    with trial_steps(tiny, Execution(grad_accum=2), CPU) as build:
        speeds = measure_phases(costs, build, rate=1e9, budget=100.0)
        kept = build(costs[0])
        assert living_states() == before + 1
    assert all(speed.measured and speed.img_per_s > 0 for speed in speeds)
    assert torch.equal(torch.get_rng_state(), random_before)
    assert living_states() == before  # though a step is still held
    with pytest.raises(RuntimeError, match="gone"):
        kept()


def test_labelled_networks_take_steps_too(tiny):
    config = replace(tiny, network=replace(tiny.network, label_size=3))
    (cost, *_) = phase_costs(config)
    with trial_steps(config, Execution(), CPU) as build:
        (speed,) = measure_phases([cost], build, rate=1e12)
    assert speed.measured
