"""The plan of a training: its time against published ones, its work against counting, its files."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.plan import machine
from benchmarks.plan.__main__ import main
from benchmarks.plan.known import known_trainings
from benchmarks.plan.lines import plan_lines
from benchmarks.plan.machine import (
    machine_throughput,
    quick_estimates,
    throughput_named,
    two_point_throughput,
)
from benchmarks.plan.model import (
    Throughput,
    given_throughput,
    size_lengths,
    training_amounts,
    training_seconds,
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
from benchmarks.plan.storage import training_storage
from benchmarks.plan.work import count_work, shipped_work, sizes, work_key, work_of, write_work
from stylegan.configs import CONFIGS
from stylegan.datasets.archive import write_archive
from stylegan.presets import PRESETS, apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.training.cost import phase_lengths
from stylegan.training.footprint import checkpoint_bytes
from stylegan.training.run import start_run
from stylegan.training.settings import RunSettings
from stylegan_eval.errors import UserError

# A V100 by its maker; and how many multiplications Winograd's algorithm saves at most.
V100_FLOP_PER_S, V100_BYTES_PER_S, WINOGRAD = 15.7e12, 900e9, 2.25
TINY = apply_preset(CONFIGS["F"], "tiny-16")
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


@pytest.mark.parametrize("size", [8, 16])
def test_what_is_remembered_is_what_is_counted(size):
    config = apply_preset(CONFIGS["F"], "demo-32")
    assert work_key(config, size) in shipped_work()
    known, counted = astuple(work_of(config, size)), astuple(count_work(config, size))
    assert known == pytest.approx(counted, rel=1e-6)


def test_the_package_knows_all_rows_at_all_scales():
    """Where it does not: python -m benchmarks.plan --count benchmarks/plan/work.csv."""
    known = shipped_work()
    lacking = [
        (name, size)
        for name, config in known_trainings()
        for size in sizes(config)
        if work_key(config, size) not in known
    ]
    assert lacking == []


def test_what_is_not_in_the_package_is_counted_once(own_cache):
    assert work_key(TINY, 8) not in shipped_work()
    first = work_of(TINY, 8)
    (path,) = (own_cache / "plan").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "parameters": 7.0}))
    assert work_of(TINY, 8) == replace(first, parameters=7.0)
    path.write_text("damaged")
    assert work_of(TINY, 8) == first == count_work(TINY, 8)


def test_only_what_changes_the_work_is_another_key():
    key = work_key(CONFIGS["F"], 64)
    longer = with_options(CONFIGS["F"], total_kimg=7, resolution=64, mirror=False)
    assert work_key(longer, 64) == key
    half = replace(CONFIGS["F"], loss=replace(CONFIGS["F"].loss, style_mixing_prob=0.5))
    assert work_key(half, 64) == key
    assert len({key, work_key(CONFIGS["F"], 32), work_key(CONFIGS["E"], 64)}) == 3


def test_the_file_of_the_package_is_written_and_read(tmp_path):
    path = tmp_path / "work.csv"
    lines = list(write_work([("tiny", TINY), ("again", TINY)], path))
    assert path.read_text().splitlines()[1:] == lines
    assert [line.split(",")[:3] for line in lines] == [
        ["tiny", str(size), work_key(TINY, size)] for size in (8, 16)
    ]
    numbers = [float(number) for number in lines[0].split(",")[3:]]
    work = count_work(TINY, 8)
    assert numbers == [
        *(work.flop_per_image, work.flop_per_step),
        *(work.bytes_per_image, work.bytes_per_step, work.parameters),
    ]


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


@pytest.mark.parametrize("name", ["", "a100", "40 TFLOP/s", "1e"])
def test_an_unknown_throughput_is_refused_in_one_line(name):
    message = f"--throughput must be v100, here, or a number of TFLOP/s, not {name!r}"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        throughput_named(name)


def test_a_throughput_is_a_name_or_a_number(own_cache):
    assert throughput_named("V100") == v100()
    assert throughput_named("40") == given_throughput(40, v100())
    assert throughput_named("40").flop_per_s == 40e12
    path = machine._remembered("cpu")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"name": "this", "flop_per_s": 1e10}))
    assert throughput_named("here", "cpu") == Throughput(name="this", flop_per_s=1e10)


def test_a_gpu_twice_as_fast_takes_half_the_time_but_for_its_launches():
    config, gpu = CONFIGS["F"], v100()
    twice = given_throughput(2 * gpu.flop_per_s / 1e12, gpu)
    slow, fast = (training_seconds(config, gpus=1, throughput=t) for t in (gpu, twice))
    launches = training_amounts(config).launches * gpu.step_seconds
    assert fast - launches == pytest.approx((slow - launches) / 2)


def test_a_folder_is_as_large_as_planned(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    write_archive(tmp_path / "data.zip", ((image, None) for image in images))
    config = with_options(apply_preset(CONFIGS["F"], "quick-32"), total_kimg=0.06)
    settings = RunSettings(
        out=tmp_path / "run",
        data=tmp_path / "data.zip",
        keep=1,
        cache=tmp_path,
        tensorboard=False,
    )
    checkpoint = start_run(config, settings, Runtime.choose("cpu")).stat().st_size
    real = sum(path.stat().st_size for path in settings.out.iterdir())
    planned = training_storage(config, keep=1)
    # The plan counts a checkpoint that is written while the one before it is still there.
    assert real <= planned - checkpoint <= 1.1 * real


def test_storage_grows_by_each_checkpoint_that_is_kept():
    config = apply_preset(CONFIGS["F"], "demo-32")
    one, two, three = (training_storage(config, keep=n) for n in (1, 2, 3))
    assert three - two == two - one == training_storage(config, keep=1, keeps_best=True) - one
    assert two - one == checkpoint_bytes(config)
    often = training_storage(config, keep=1, snapshot_kimg=1)
    assert often > one  # more sheets


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


def test_estimates_follow_two_steps_of_this_machine(own_cache):
    configs = {scale: apply_preset(CONFIGS["F"], scale) for scale in ("demo-32", "demo-64")}
    found = quick_estimates(configs, "cpu")
    here = machine_throughput("cpu")
    for scale, config in configs.items():
        assert found[scale] == training_seconds(config, gpus=1, throughput=here)
    (path,) = (own_cache / "plan").glob("speed-*.json")
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({**tree, "flop_per_s": 1e30, "step_seconds": 2.0}))
    steps = training_amounts(configs["demo-32"]).launches
    assert quick_estimates(configs, "cpu")["demo-32"] == pytest.approx(2 * steps)


def test_a_measurement_of_yesterday_is_measured_anew(own_cache):
    path = machine._remembered("cpu")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"name": "old", "flop_per_s": 1.0}))
    assert machine_throughput("cpu").name == "old"
    os.utime(path, (path.stat().st_mtime - 86401,) * 2)
    assert machine_throughput("cpu").flop_per_s > 1e6


def test_estimates_of_what_is_known_need_no_pytorch(own_cache):
    path = machine._remembered("cpu")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"name": "this", "flop_per_s": 1e10}))
    program = (
        "import sys\n"
        "from benchmarks.plan.known import known_trainings\n"
        "from benchmarks.plan.machine import quick_estimates\n"
        "found = quick_estimates(dict(known_trainings()), 'cpu')\n"
        "assert len(found) > 30 and min(found.values()) > 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("seconds", "rate", "fixed"),
    [([0.3, 0.7], 1e10, 0.2), ([0.05, 0.7], 5e9 / 0.7, 0.0), ([0.8, 0.7], 5e9 / 0.7, 0.0)],
)
def test_two_steps_tell_a_rate_and_a_fixed_time(seconds, rate, fixed):
    found = two_point_throughput([1e9, 5e9], seconds, name="x")
    assert found.flop_per_s == pytest.approx(rate)
    assert found.step_seconds == pytest.approx(fixed, abs=1e-12)


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
