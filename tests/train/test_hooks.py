"""What the log says of a training: means over the looks of a tick, and the speed of training."""

import json
import time
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from stylegan.checkpoint import checkpoint_path, read_checkpoint, save_checkpoint
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.snapshot import Provenance
from stylegan.training.cost import phase_costs
from stylegan.training.hooks import Every, Progress, RunLog
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState, load_state
from stylegan_eval.results.run_folder import read_rows


@pytest.fixture
def config():
    """A tick is 4 looks long."""
    config = apply_preset(CONFIGS["F"], "tiny-16")
    return replace(config, schedule=replace(config.schedule, tick_kimg=((8, 0.128), (16, 0.128))))


@pytest.fixture
def state(config, runtime):
    return TrainState.fresh(config, runtime, seed=1)


@pytest.fixture
def progress(config, tmp_path):
    progress = Progress(RunLog(tmp_path, 0), config, phase_costs(config), 0)
    yield progress
    progress.close()


def look(progress, state, config, **terms):
    point = training_point(state.nimg, config)
    state.nimg += 4 * point.minibatch
    progress(state, point, {key: torch.tensor(value) for key, value in terms.items()})


def test_a_row_is_the_mean_of_its_looks(progress, state, config, tmp_path):
    for value in (1.0, 2.0, 3.0, 6.0, 10.0, 10.0, 10.0, 14.0, 99.0):
        look(progress, state, config, loss_D=value, grad_norm_D=float("inf"))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["loss_D"] for row in rows] == [3.0, 11.0]
    assert [row["nimg"] for row in rows] == [128, 256]
    assert [row["grad_norm_D"] for row in rows] == [None, None]
    assert rows[0]["skipped_G"] == 0


def test_rows_do_not_depend_on_where_a_run_was_stopped(config, runtime, tmp_path):
    """In the middle of a tick, at its end, and twice within one."""
    values = torch.rand(13, generator=torch.Generator().manual_seed(0)).tolist()

    def rows(name, stops):
        state = TrainState.fresh(config, runtime, seed=1)
        for number, value in enumerate(values):
            if number in {0, *stops}:
                path = checkpoint_path(tmp_path / name, state.nimg)
                save_checkpoint(
                    path, state.snapshot(config, Provenance(seed=1, data="", version=""))
                )
                state = load_state(read_checkpoint(path), runtime)
                log = RunLog(tmp_path / name, state.nimg)
                progress = Progress(log, config, phase_costs(config), state.nimg)
            look(progress, state, config, loss_D=value)
        kept = ("nimg", "loss_D", "lod", "minibatch")
        return [{key: row[key] for key in kept} for row in read_rows(log.jsonl)[0]]

    whole = rows("whole", [])
    assert len(whole) == 3
    assert rows("stopped", [2, 4, 5, 7, 11]) == whole


def test_speed_is_that_of_this_attempt(config, state, tmp_path):
    """Not of images that were shown before it began."""
    state.nimg, state.log_looks, state.log_sums = 96, 3, {"loss_D": torch.tensor(3.0)}
    progress = Progress(RunLog(tmp_path, 96), config, phase_costs(config), 96)
    progress.tick_time -= 1000
    look(progress, state, config, loss_D=5.0)
    (row,), _ = read_rows(tmp_path / "log.jsonl")
    assert row["loss_D"] == 2.0
    assert row["img_per_s"] == pytest.approx(32 / 1000, rel=0.05)


def test_terms_may_change_in_place_after_the_look(progress, state, config, tmp_path):
    """As they do where every step writes them to the same memory."""
    memory = torch.zeros(())
    for value in (1.0, 2.0, 3.0, 6.0):
        memory.fill_(value)
        point = training_point(state.nimg, config)
        state.nimg += 4 * point.minibatch
        progress(state, point, {"loss_D": memory})
    assert json.loads((tmp_path / "log.jsonl").read_text())["loss_D"] == 3.0


def test_time_beside_training_is_no_part_of_the_tick(progress):
    before = progress.tick_time
    with progress.paused():
        time.sleep(0.02)
    with suppress(KeyError), progress.paused():
        time.sleep(0.02)
        raise KeyError
    assert progress.tick_time - before >= 0.04


def test_every_row_goes_to_all_who_listen(tmp_path):
    heard = []
    RunLog(tmp_path, 0, also=[heard.append, heard.append]).row({"nimg": 8, "loss_D": 1.0})
    assert heard == [{"nimg": 8, "loss_D": 1.0}] * 2


def test_an_action_comes_once_an_interval_also_when_begun_in_the_middle(state):
    acted = []
    every = Every(0.1, 150, lambda state: acted.append(state.nimg))
    for nimg in (160, 190, 220, 250, 290, 310, 330, 620, 640):
        state.nimg = nimg
        every(state, training_point(0, apply_preset(CONFIGS["F"], "tiny-16")), {})
    assert acted == [220, 310, 620]
