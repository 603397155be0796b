"""The time and the table of a plan: against published times, the schedule and hand counts."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.listing import plan_lines
from benchmarks.plan.__main__ import main
from benchmarks.plan.model import (
    Throughput,
    given_throughput,
    shipped_work,
    size_lengths,
    sizes,
    training_amounts,
    training_seconds,
    work_key,
)
from benchmarks.plan.official import (
    FLOP_ONLY_FITTED,
    check_line,
    check_table,
    comparisons,
    fit,
    flop_only,
    official_times,
    parameters_line,
    v100,
    worst,
)
from stylegan.configs import CONFIGS
from stylegan.presets import PRESETS, apply_preset, with_options
from stylegan.training.cost import phase_lengths
from stylegan_eval.errors import UserError

# A V100 by its maker; and how many multiplications Winograd's algorithm saves at most.
V100_FLOP_PER_S, V100_BYTES_PER_S, WINOGRAD = 15.7e12, 900e9, 2.25
PLAIN = Throughput(name="x", flop_per_s=1e12)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_model_tells_all_published_times():
    found = comparisons(v100())
    assert len(found) == 12
    for comparison in found:
        assert abs(comparison.deviation) < 0.25
    # It was fitted to as many as it has unknowns; those it tells exactly, and the others well.
    fitted = [c for c in found if not c.held_out]
    assert [c.deviation for c in fitted] == pytest.approx([0, 0, 0], abs=1e-9)
    assert abs(worst([c for c in found if c.held_out]).deviation) < 0.12


def test_operations_alone_do_not_tell_them():
    alone = comparisons(flop_only(), FLOP_ONLY_FITTED)
    assert abs(worst(alone).deviation) > 0.25
    at_1024 = [c for c in alone if c.time.resolution == 1024]
    better = {(c.time.resolution, c.time.gpus): abs(c.deviation) for c in comparisons(v100())}
    for comparison in at_1024[1:]:
        assert better[1024, comparison.time.gpus] < abs(comparison.deviation)


@pytest.mark.parametrize(
    "places",
    [
        ((1024, 1), (512, 1), (1024, 8)),
        ((1024, 1), (256, 1), (256, 8)),
        ((1024, 1), (256, 1), (1024, 4)),
        ((1024, 2), (256, 2), (1024, 8)),
    ],
)
def test_other_times_to_fit_to_would_do_as_well(places):
    gpu = fit(places)
    found = comparisons(gpu, places)
    assert sum(c.held_out for c in found) == 9
    assert abs(worst(found).deviation) < 0.25
    assert gpu.bytes_per_s == pytest.approx(v100().bytes_per_s, rel=0.1)


def test_what_was_fitted_is_possible():
    gpu = v100()
    assert V100_FLOP_PER_S / 2 < gpu.flop_per_s < V100_FLOP_PER_S * WINOGRAD
    assert V100_BYTES_PER_S / 10 < gpu.bytes_per_s < V100_BYTES_PER_S
    # A launch takes some microseconds, and a step is a few thousand of them.
    assert 2e-6 < gpu.step_seconds / 3400 < 2e-5


def test_the_published_times_are_those_of_the_presets():
    for time in official_times():
        assert time.config.schedule.total_kimg == 25000
        assert time.config.resolution == time.resolution
    assert {t.seconds for t in official_times() if t.resolution == 1024 and t.gpus == 8} == {
        (6 * 24 + 14) * 3600
    }


@pytest.mark.parametrize("kimg", [12600, 25000, 70000])
def test_time_grows_linearly_once_all_sizes_are_reached(kimg):
    def seconds(total):
        config = with_options(CONFIGS["F"], total_kimg=total)
        return training_seconds(config, gpus=8, throughput=v100())

    one = seconds(10001) - seconds(10000)
    assert seconds(kimg) == pytest.approx(seconds(10000) + (kimg - 10000) * one)


@given(row=st.sampled_from("ABCDEF"), resolution=st.sampled_from([256, 512, 1024]))
def test_more_gpus_are_never_slower(row, resolution):
    config = with_options(CONFIGS[row], resolution=resolution)  # 32 images or more a step
    times = [training_seconds(config, gpus=n, throughput=v100()) for n in (1, 2, 4, 8)]
    assert times == sorted(times, reverse=True)
    assert all(n * time > times[0] for n, time in zip((2, 4, 8), times[1:], strict=True))


@given(
    preset=st.sampled_from(
        [name for name in PRESETS if name.startswith(("tiny", "quick", "demo"))]
    ),
    row=st.sampled_from("AF"),
    training_kimg=st.floats(0, 3),
    transition_kimg=st.floats(0, 3),
    total_kimg=st.floats(0.01, 12),
)
def test_stages_are_those_of_the_schedule(preset, row, training_kimg, transition_kimg, total_kimg):
    config = apply_preset(CONFIGS[row], preset)
    schedule = replace(
        config.schedule,
        training_kimg=training_kimg,
        transition_kimg=transition_kimg,
        total_kimg=total_kimg,
    )
    config = replace(config, schedule=schedule)
    looked = dict.fromkeys(sizes(config), 0)
    for point, images in phase_lengths(config):
        looked[point.resolution] += images
    planned = dict.fromkeys(looked, 0.0) | dict(size_lengths(config))
    assert sum(planned.values()) == pytest.approx(1000 * total_kimg)
    between_looks = schedule.minibatch_base * schedule.minibatch_repeats
    for size, images in looked.items():
        assert abs(planned[size] - images) <= between_looks + 1


def test_amounts_are_those_of_a_hand_count():
    config = with_options(apply_preset(CONFIGS["F"], "demo-32"), total_kimg=5)  # 8x8 only
    work = shipped_work()[work_key(config, 8)]
    weights = shipped_work()[work_key(config, 32)].parameters
    found = training_amounts(config, gpus=2)
    steps = 5000 / 16
    assert found.flop == pytest.approx(steps * (work.flop_per_step + 8 * work.flop_per_image))
    assert found.moved == pytest.approx(steps * (work.bytes_per_step + 8 * work.bytes_per_image))
    assert found.launches == pytest.approx(steps * 2)
    assert found.exchanged == pytest.approx(steps * 4 * weights)
    assert training_amounts(config).exchanged == 0
    gpu = Throughput(
        name="x", flop_per_s=1e9, bytes_per_s=1e8, step_seconds=0.5, link_bytes_per_s=1e6
    )
    assert gpu.seconds(found) == pytest.approx(
        found.flop / 1e9 + found.moved / 1e8 + steps + found.exchanged / 1e6
    )


@pytest.mark.parametrize(
    ("gpus", "message"),
    [
        (0, r"--gpus must be at least 1, not 0"),
        (3, r"3 processes do not divide a minibatch of 256 into groups of 4: use 2 processes.*"),
        (16, r"16 processes do not divide a minibatch of 32 into groups of 4: use 8 processes.*"),
    ],
)
def test_gpus_that_do_not_divide_a_minibatch_are_refused_in_one_line(gpus, message):
    lines = plan_lines([("F", CONFIGS["F"])], gpus=gpus, throughput=PLAIN)
    with pytest.raises(UserError) as caught:
        next(lines)
    assert re.fullmatch(message, str(caught.value))


@pytest.mark.parametrize("rate", [0.0, -3.0, math.inf, math.nan])
def test_an_impossible_rate_is_refused_in_one_line(rate):
    with pytest.raises(UserError, match=r"^--throughput is .* in TFLOP/s, above 0: not [^\n]*$"):
        given_throughput(rate, v100())


def test_a_gpu_twice_as_fast_takes_half_the_time_but_for_its_launches():
    config, gpu = CONFIGS["F"], v100()
    twice = given_throughput(2 * gpu.flop_per_s / 1e12, gpu)
    slow, fast = (training_seconds(config, gpus=1, throughput=t) for t in (gpu, twice))
    launches = training_amounts(config).launches * gpu.step_seconds
    assert fast - launches == pytest.approx((slow - launches) / 2)


def test_a_plan_adds_up_its_trainings():
    demo = {row: apply_preset(CONFIGS[row], "demo-32") for row in "AF"}
    lines = list(
        plan_lines(
            [("A, seed 0", demo["A"]), ("A, seed 1", demo["A"]), ("F", demo["F"])],
            gpus=2,
            throughput=Throughput(name="slow", flop_per_s=1e9),
        )
    )
    assert lines[0].split() == ["params", "kimg", "EFLOP", "hours", "GPU-days", "disk"]
    assert [line[:9].strip() for line in lines[1:5]] == ["A, seed 0", "A, seed 1", "F", "in all"]
    numbers = [[float(cell) for cell in line[9:].split()[1:5]] for line in lines[1:4]]
    totals = [float(cell) for cell in lines[4][9:].split()[:4]]
    assert totals == pytest.approx(np.sum(numbers, axis=0), abs=0.11)
    kimg, _, hours, days = numbers[2]
    seconds = training_seconds(
        demo["F"], gpus=2, throughput=Throughput(name="slow", flop_per_s=1e9)
    )
    assert kimg == 150
    assert hours == pytest.approx(seconds / 3600, abs=0.06)
    assert days == pytest.approx(2 * seconds / 86400, abs=0.006)
    assert "2 x slow" in lines[5]
    assert lines[6] == check_line()


def test_the_command_prints_all_published_times():
    done = CliRunner().invoke(main, [])
    assert done.exit_code == 0, done.output
    rows = [line for line in done.output.splitlines() if re.match(r"\| \d+ ", line)]
    assert len(rows) == 12
    assert done.output.count("held out |") == 9
    assert check_line() in done.output


def test_the_page_shows_what_the_command_prints():
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()
    for line in (parameters_line(), check_line(), *check_table()):
        assert line in page
