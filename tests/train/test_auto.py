"""The preset `auto` and options of single values: rules against closed forms, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scale_trial import TRIALS, trial_of_length
from stylegan.auto import (
    MOST_EPOCHS,
    Auto,
    Hardware,
    gamma_at,
    half_life,
    length,
    lrate_at,
    minibatch_at,
    phase_kimg,
    step_memory,
    widest,
)
from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.configs import CONFIGS, at_resolution, config_from_text, diff
from stylegan.datasets.archive import write_archive
from stylegan.presets import PRESETS, Tuning, apply_preset
from stylegan.train import main
from stylegan.training.partition import Execution
from stylegan.training.rehearsal import Rehearsal
from stylegan.training.schedule import phases, training_point
from stylegan_eval.errors import UserError

CPU = Hardware(device="cpu")
RESOLUTIONS = [2**k for k in range(3, 11)]


def gpus(count):
    return Hardware(device="cuda", processes=count)


def run(*words):
    return CliRunner().invoke(main, [*map(str, words), "--device", "cpu"])


def auto(resolution=32, images=10_000, hardware=CPU, given=None, kimg=None, row="F"):
    return Auto(
        row=CONFIGS[row],
        resolution=resolution,
        images=images,
        hardware=hardware,
        given=given or Tuning(),
        kimg=kimg,
    )


# --- rules


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_gpus_have_the_published_rules(count, resolution):
    """stylegan2-ada's: minibatch, gamma, half-life, learning rate."""
    mb = max(min(count * min(4096 // resolution, 32), 64), count)
    config = auto(resolution, 10**6, gpus(count)).config
    last = training_point(24_999_000, config)
    assert (last.lod, last.minibatch) == (0, mb)
    assert config.loss.r1_gamma == pytest.approx(0.0002 * resolution**2 / mb)
    assert config.schedule.ema_kimg == pytest.approx(mb * 10 / 32)
    assert last.lrate == (0.002 if resolution >= 1024 else 0.0025)
    assert config.schedule.total_kimg == 25000
    # Of its half of the feature maps below 512 px: min(16384 / resolution, 512), as the paper's.
    for size in RESOLUTIONS:
        assert config.network.fmaps(size) == min(16384 // size, 512)
    assert config.network == CONFIGS["F"].network


def test_one_core_has_what_trials_found_and_the_demo_its_scale():
    config, demo = auto().config, apply_preset(CONFIGS["F"], "demo-32")
    changes = diff(demo, config)
    assert changes.pop("schedule.lrate_base") == (0.003, 0.008)
    assert set(changes) == {"schedule.training_kimg", "schedule.transition_kimg"}
    assert TRIALS["demo-32"].config() == replace(
        demo, schedule=replace(demo.schedule, total_kimg=100.0)
    )
    trial = TRIALS["auto"]
    assert trial.config() == auto(images=None, kimg=trial.kimg).config
    assert trial_of_length("auto", 0.5).config() == auto(images=None, kimg=trial.kimg / 2).config
    assert trial_of_length("demo-32", 0.5).kimg == 50.0


@given(
    st.sampled_from(RESOLUTIONS),
    st.sampled_from([1, 2, 3, 4, 6, 8, 64]),
    st.integers(1, 10**6),
    st.sampled_from(["cpu", "cuda"]),
)
def test_rules_are_monotone_and_always_divide(resolution, count, images, device):
    machine = Hardware(device=device, processes=count)
    more = replace(machine, processes=2 * count)
    minibatch = minibatch_at(resolution, machine, images)
    assert minibatch % (4 * count) == 0
    assert minibatch <= max(images, 4 * count)
    assert minibatch_at(resolution, machine, 2 * images) >= minibatch
    if count & (count - 1) == 0:  # other numbers do not divide 64
        assert minibatch_at(resolution, more, 2 * images) >= minibatch
    if resolution < 1024:
        assert minibatch_at(2 * resolution, machine, images) <= minibatch
        assert gamma_at(2 * resolution, minibatch) == 4 * gamma_at(resolution, minibatch)
        assert length(2 * resolution, machine, images) >= length(resolution, machine, images)
    assert lrate_at(resolution, 2 * minibatch, machine) >= lrate_at(resolution, minibatch, machine)
    whole = length(resolution, machine)
    kimg = length(resolution, machine, images)
    assert kimg == pytest.approx(min(whole, max(images / 2, whole / 25)))
    assert half_life(minibatch, kimg) == min(minibatch * 10 / 32, kimg / 50)
    assert half_life(2 * minibatch, kimg) >= half_life(minibatch, kimg)
    assert widest(more) >= widest(machine)
    config = auto(resolution, images, machine).config
    growth = 2 * config.schedule.training_kimg * (resolution.bit_length() - 4)
    assert growth <= kimg / 4 + 0.1
    schedule = config.schedule
    for size in (4 << k for k in range(resolution.bit_length() - 2)):
        at_size = at_resolution(schedule.minibatch, size, schedule.minibatch_base)
        assert at_size == minibatch_at(size, machine, images)


def test_the_papers_phases_are_the_longest():
    assert phase_kimg(25000.0, 5) == 600
    assert phase_kimg(150.0, 2) == pytest.approx(150 / 4 / 4, abs=1e-3)
    assert phase_kimg(24.0, 0) > 0  # nothing grows


@pytest.mark.parametrize(
    ("threads", "width"), [(1, 64), (3, 64), (4, 128), (15, 128), (16, 256), (64, 512), (256, 512)]
)
def test_four_times_the_cores_carry_twice_the_width(threads, width):
    machine = replace(CPU, threads=threads)
    assert widest(machine) == width
    assert widest(replace(CPU, processes=threads)) == width
    config = auto(hardware=machine).config
    assert (config.network.fmap_max, config.network.fmaps(32)) == (width, width // 2)


@pytest.mark.parametrize(("resolution", "width"), [(32, 64), (256, 64), (256, 512)])
def test_memory_is_that_of_a_counted_step(resolution, width):
    network = Tuning(width=width).apply(CONFIGS["F"]).network
    config = replace(CONFIGS["F"], resolution=resolution, network=network)
    counted = Rehearsal(config, Execution()).step(0.0, 8, 8)[1]
    assert 2 / 3 < step_memory(network, resolution, 8) / counted < 3 / 2


def test_little_memory_narrows_the_networks():
    widths = [
        auto(256, hardware=replace(gpus(1), memory=memory)).config.network.fmap_max
        for memory in (2**34, 2**30, 2**28, 1)
    ]
    assert widths == sorted(widths, reverse=True)
    assert (widths[0], widths[-1]) == (512, 8)
    for memory, width in zip((2**30, 2**28), widths[1:3], strict=True):
        network = Tuning(width=width).apply(CONFIGS["F"]).network
        wider = Tuning(width=2 * width).apply(CONFIGS["F"]).network
        assert step_memory(network, 256, 4) <= memory < step_memory(wider, 256, 4)


def test_values_of_the_user_come_first_and_others_follow():
    config = auto(256, hardware=gpus(1), given=Tuning(minibatch=64, lrate=0.1), kimg=30.0).config
    assert {(point.minibatch, point.lrate) for point in phases(config)} == {(64, 0.1)}
    assert config.loss.r1_gamma == pytest.approx(0.0002 * 256**2 / 64)
    assert config.schedule.ema_kimg == 30 / 50
    assert config.schedule.training_kimg == 0.75
    given_all = Tuning(minibatch=8, lrate=0.5, gamma=7.0, ema_kimg=0.5, width=16)
    rules = auto(given=given_all, kimg=2.0)
    reasons = [line.split()[2] for line in rules.lines()][1:-1]
    assert reasons == ["given"] * 6


# --- options on every preset


@pytest.mark.parametrize("name", ["paper-ffhq", "demo-32"])
def test_each_option_changes_its_values_alone(name):
    config = apply_preset(CONFIGS["F"], name)
    network, part = config.network, config.network.fmap_max // 4
    for tuning, expected in (
        (Tuning(), {}),
        (Tuning(minibatch=12), {"minibatch_base": 12, "minibatch": ()}),
        (Tuning(lrate=0.5), {"lrate_base": 0.5, "lrate": ()}),
        (Tuning(ema_kimg=0.7), {"ema_kimg": 0.7}),
        (Tuning(gamma=0.0), {"loss.r1_gamma": 0.0}),
    ):
        changed = {key: new for key, (_, new) in diff(config, tuning.apply(config)).items()}
        expected = {key if "." in key else f"schedule.{key}": v for key, v in expected.items()}
        before = {key: old for key, (old, _) in diff(config, tuning.apply(config)).items()}
        assert changed == {key: v for key, v in expected.items() if key in before}
        assert set(expected) - set(changed) <= {"schedule.minibatch", "schedule.lrate"}
    narrow = Tuning(width=part).apply(config)
    assert {key.split(".")[0] for key in diff(config, narrow)} == {"network"}
    sizes = [size for size in RESOLUTIONS if network.fmaps(size) >= 4]
    assert [narrow.network.fmaps(s) for s in sizes] == [network.fmaps(s) // 4 for s in sizes]
    assert narrow.network.z_dim == network.z_dim // 4


def test_r1_of_a_row_without_it_is_refused():
    with pytest.raises(UserError, match="configuration A is trained with wgan-gp: leave it out"):
        Tuning(gamma=1.0).apply(CONFIGS["A"])
    assert "gamma" not in auto(row="A").summary
    narrow = Tuning(width=100).apply(CONFIGS["A"])
    assert narrow.network.w_dim == narrow.network.z_dim == 100


# --- the command


def test_a_run_records_what_was_changed(data, cache, tmp_path):
    out = tmp_path / "run"
    words = ["--minibatch", 8, "--lrate", 0.01, "--gamma", 5, "--ema-kimg", 0.5, "--width", 8]
    words += ["--kimg", 0.03]
    where = ["--data", data, "--cache", cache, "--out", out, "--warmup", 0]
    done = run("--config", "F", *where, *words)
    assert done.exit_code == 0, done.output
    notes = [line for line in done.stderr.splitlines() if "no --preset, so auto" in line]
    assert len(notes) == 1
    for value in ("minibatch 8", "lrate 0.01", "gamma 5", "ema-kimg 0.5", "width 8", "kimg 0.03"):
        assert value in notes[0]
    config = read_checkpoint(newest_checkpoint(out)).config
    assert (config.name, config.resolution, config.network.fmap_max) == ("F", 16, 8)
    assert (config.loss.r1_gamma, config.schedule.ema_kimg) == (5.0, 0.5)
    stored = json.loads((out / "run.json").read_text())["config"]
    assert stored["schedule"]["lrate_base"] == 0.01
    (line,) = [x for x in (out / "train.log").read_text().splitlines() if "changes of F:" in x]
    for change in ("loss.r1_gamma 10.0 -> 5.0", "resolution 1024 -> 16", "lrate_base 0.001 -> 0.0"):
        assert change in line
    # It goes on with its own values, whatever would be chosen today.
    for again in (["--preset", "auto", "--config", "F"], []):
        done = run("--resume", "auto", *where, *again, "--kimg", 0.03)
        assert done.exit_code == 0, done.output
    done = run("--resume", "--out", out, "--lrate", "0.02")
    assert done.exit_code == 1
    assert "trained with schedule.lrate_base 0.01, not 0.02: leave the option out" in done.stderr


def test_the_plan_gives_every_value_with_its_reason(data):
    done = run("--config", "F", "--preset", "auto", "--data", data, "--dry-run", "--warmup", 0)
    assert done.exit_code == 0, done.output
    assert "no --preset" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("auto, for 300 images of 16x16, ")
    table = lines[1 : lines.index("")]
    names = [line.split()[0] for line in table]
    assert names == ["minibatch", "lrate", "gamma", "ema-kimg", "width", "kimg", "phase"]
    assert all(len(line.split()) > 4 for line in table)
    kimg = float(table[5].split()[1])
    assert kimg == min(75, 0.5 * 300)
    assert f"for {kimg:g} kimg in" in done.stdout


def test_the_papers_size_and_named_presets_stay_what_they_are(data, tmp_path):
    def printed(*words):
        done = run("--config", "F", *words, "--print-config")
        assert done.exit_code == 0, done.output
        return config_from_text(done.stdout, "it"), done.stderr

    assert printed() == (apply_preset(CONFIGS["F"], "paper-ffhq-1gpu"), "")
    assert printed("--resolution", 1024)[0] == printed()[0]
    large = tmp_path / "large.zip"
    write_archive(large, ((np.zeros((1024, 1024, 3), np.uint8), None) for _ in range(4)))
    assert printed("--data", large) == printed()
    assert printed("--preset", "demo-32", "--data", data)[0] == PRESETS["demo-32"].apply(
        CONFIGS["F"]
    )
    of_data, note = printed("--data", data)
    assert of_data.resolution == 16
    assert "--preset paper-ffhq-1gpu is the published schedule" in note
    assert printed("--preset", "auto", "--data", data) == (of_data, "")
    planned = run("--config", "F", "--data", data, "--dry-run", "--warmup", 0)
    told = "note: no --preset, so auto: the values and reasons in the plan; --preset paper-ffhq"
    assert planned.stderr.startswith(told)
    assert planned.stdout.startswith("auto, for 300 images")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Ten images of 8x8."""
    path = tmp_path_factory.mktemp("few") / "few.zip"
    write_archive(path, ((np.full((8, 8, 3), i, np.uint8), None) for i in range(10)))
    return path


@pytest.mark.parametrize(("mirror", "told"), [("--mirror", False), ("--no-mirror", True)])
def test_many_epochs_are_told(few, mirror, told):
    words = ["--config", "F", "--preset", "tiny-16", "--resolution", 8, "--data", few]
    words += ["--dry-run", "--warmup", 0, mirror]
    (note,) = run(*words, "--kimg", 5.01).stderr.splitlines()
    assert f"{few}: 5.01 kimg show each of 10 images 501 times (FFHQ in the paper: 357)" in note
    assert ("--mirror" in note) == told
    assert run(*words, "--kimg", MOST_EPOCHS * 10 / 1000).stderr == ""


def test_too_few_images_are_refused_with_a_minibatch_that_works(few):
    words = ["--config", "F", "--preset", "quick-32", "--resolution", 8, "--data", few]
    words += ["--dry-run", "--warmup", 0, "--kimg", 0.1]
    done = run(*words)
    assert done.exit_code == 1
    assert "fewer than the minibatch of 16: use more images, or --minibatch 8\n" in done.stderr
    assert run(*words, "--minibatch", 8).exit_code == 0


@pytest.mark.parametrize("words", ["--gamma -1", "--minibatch 0", "--lrate nan", "--width 70000"])
def test_a_value_out_of_range_is_refused(words):
    assert run("--config", "F", "--print-config", *words.split()).exit_code == 2
