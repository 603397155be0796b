"""The collapse monitor: silent on healthy trainings, in words on others, before a checkpoint."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stylegan.checkpoint import checkpoint_path, save_checkpoint
from stylegan.configs import CONFIGS, LossConfig
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.presets import apply_preset
from stylegan.snapshot import Provenance
from stylegan.training.loop import train
from stylegan.training.schedule import training_point
from stylegan.training.snapshots import (
    LEAST_SPREAD,
    CollapseError,
    Look,
    Monitor,
    score_limit,
    signs_of_collapse,
)
from stylegan.training.state import TrainState

HEALTHY = Look(broken=0, score=3.0, spread=0.4, skipped_G=0, skipped_D=0)


def signs(looks, **changes):
    return list(
        signs_of_collapse(looks, **{"limit": 1e3, "best_spread": 0.5, "steps": 4} | changes)
    )


def monitored(config, state, folder, **options):
    return Monitor(
        state, loss=config.loss, schedule=config.schedule, folder=folder, **options
    )  # fmt: skip


def run(config, data, cache, runtime, folder, **options):
    state = TrainState.fresh(config, runtime, seed=1)
    monitor = monitored(config, state, folder, **options)
    reals = Reals(open_pyramid(data, cache=cache), seed=1, mirror=True)
    train(state, reals, config, seed=1, runtime=runtime, hooks=[monitor])
    return state, monitor


def tiny(row, **schedule):
    """16x16 with a tick every 0.2 kimg."""
    config = apply_preset(CONFIGS[row], "tiny-16")
    ticks = {"tick_kimg": ((4, 0.2), (8, 0.2), (16, 0.2)), "total_kimg": 0.7}
    return replace(config, schedule=replace(config.schedule, **ticks | schedule))


@pytest.mark.parametrize(("row", "lrate"), [("F", 1.0), ("F", 10.0), ("A", 1.0)])
def test_a_huge_learning_rate_ends_in_words(row, lrate, data, cache, runtime, tmp_path):
    config = tiny(row, lrate_base=lrate)
    said = []
    with pytest.raises(CollapseError, match=r"collapsed at kimg 0\.\d: .*scores of D") as raised:
        run(config, data, cache, runtime, tmp_path, tell=said.append)
    message = str(raised.value)
    assert said == [message]
    assert len(message.splitlines()) == 1
    assert "no checkpoint before it" in message
    assert "lower learning rate" in message


def test_a_warning_is_given_once_and_names_the_last_checkpoint(data, cache, runtime, tmp_path):
    config = tiny("F", lrate_base=1.0)
    fresh = TrainState.fresh(config, runtime, seed=1)
    provenance = Provenance(seed=1, data="", version="")
    save_checkpoint(checkpoint_path(tmp_path, 0), fresh.snapshot(config, provenance))
    said = []
    state, monitor = run(
        config, data, cache, runtime, tmp_path, on_collapse="warn", tell=said.append
    )
    assert state.nimg >= 700
    monitor.check(state)
    assert len(said) == 1
    assert said[0].endswith("last good checkpoint: checkpoint-000000.pt")


def test_a_check_before_a_snapshot_needs_no_whole_tick(data, cache, runtime, tmp_path):
    """Collapsed from the start, a run is found out at its second look."""
    config = tiny("F", lrate_base=10.0)
    state = TrainState.fresh(config, runtime, seed=1)
    monitor = monitored(config, state, tmp_path)
    monitor.check(state)  # nothing seen, nothing said
    reals = Reals(open_pyramid(data, cache=cache), seed=1, mirror=True)
    looks = []
    train(
        state, reals, config, seed=1, runtime=runtime, hooks=[monitor, lambda *_: looks.append(1)],
        should_stop=lambda: len(looks) == 2,
    )  # fmt: skip
    with pytest.raises(CollapseError, match="scores of D"):
        monitor.check(state)


def test_weights_that_are_not_finite_are_never_saved(runtime, tmp_path):
    config = tiny("F")
    state = TrainState.fresh(config, runtime, seed=1)
    monitor = monitored(config, state, tmp_path)
    monitor.check(state)
    with torch.no_grad():
        state.D.dense1.bias[0] = float("nan")
    with pytest.raises(CollapseError, match="weights of D are not finite"):
        monitor.check(state)


def terms_of(value, spread):
    names = ("loss_D", "loss_G", "score_real", "score_fake", "r1")
    return {name: torch.tensor(value) for name in names} | {"fake_spread": torch.tensor(spread)}


def look_on(monitor, state, config, spreads, value=1.0):
    for spread in spreads:
        point = training_point(state.nimg, config)
        state.nimg += 4 * point.minibatch
        monitor(state, point, terms_of(value, spread))


def test_one_image_for_every_z_is_a_sign_only_after_there_were_many(runtime, tmp_path):
    config = tiny("F")
    state = TrainState.fresh(config, runtime, seed=1)
    fresh = monitored(config, state, tmp_path)
    look_on(fresh, state, config, [LEAST_SPREAD / 10] * 70)  # as every fresh G
    monitor = monitored(config, state, tmp_path)
    look_on(monitor, state, config, [0.3] + [LEAST_SPREAD / 2] * 15)
    monitor.check(state)
    with pytest.raises(CollapseError, match="G draws one image for every z"):
        look_on(monitor, state, config, [LEAST_SPREAD / 2] * 40)


def test_what_recovers_is_no_collapse(runtime, tmp_path):
    config = apply_preset(CONFIGS["F"], "tiny-16")  # a tick is 31 looks long
    state = TrainState.fresh(config, runtime, seed=1)
    monitor = monitored(config, state, tmp_path)
    look_on(monitor, state, config, [0.3] * 3)
    look_on(monitor, state, config, [float("nan")], value=float("inf"))
    look_on(monitor, state, config, [0.0] * 10, value=1e6)
    look_on(monitor, state, config, [0.3])
    look_on(monitor, state, config, [0.3] * 60)
    assert not monitor.reported


def test_skipped_steps_count_by_network_from_where_the_run_starts(runtime, tmp_path):
    """Also as tensors on the device, which a step changes in place."""
    config = tiny("F")
    state = TrainState.fresh(config, runtime, seed=1)
    state.skipped_G.fill_(500)  # of earlier days
    monitor = monitored(config, state, tmp_path)
    for _ in range(8):
        look_on(monitor, state, config, [0.3])
        monitor.check(state)
    for _ in range(10):
        state.skipped_D.add_(4)  # every step of the look
        look_on(monitor, state, config, [0.3])
    with pytest.raises(
        CollapseError, match=r"40 of the last 64 steps of D had gradients that are not"
    ):
        monitor.check(state)


def test_noting_needs_no_answer_of_the_device(runtime, tmp_path):
    """On tensors without data, where any reading fails."""
    config = tiny("F")
    state = TrainState.fresh(config, runtime, seed=1)
    state.G.to("meta")
    for optimizer in (state.optimizer_G, state.optimizer_D):
        optimizer.skipped = optimizer.skipped.to("meta")
    monitor = monitored(config, state, tmp_path)
    terms = {key: term.to("meta") for key, term in terms_of(1.0, 0.3).items()}
    point = training_point(0, config)
    for _ in range(20):
        monitor(state, point, terms)
    with pytest.raises(NotImplementedError, match="meta"):
        monitor.check(state)


def test_a_spike_of_one_look_is_no_collapse_and_two_looks_are():
    spike = HEALTHY._replace(score=1e6)
    assert signs([HEALTHY, spike]) == []
    assert signs([spike, spike, HEALTHY]) == []
    assert signs([HEALTHY, spike, spike]) == ["the scores of D reached 1.0e+06 (limit 1e+03)"]


def test_limit_of_scores_follows_the_loss():
    assert score_limit(LossConfig(kind="logistic-r1")) == 1e3
    assert score_limit(LossConfig(kind="wgan-gp", drift=0.001)) == pytest.approx(1e4)
    assert score_limit(LossConfig(kind="wgan-gp", drift=0.0)) == pytest.approx(1e4)


@given(
    st.lists(
        st.builds(
            Look, st.just(0.0), st.floats(0, 999), st.floats(0.01, 1),
            st.integers(0, 2), st.integers(0, 2),
        ),
        max_size=16,
    )
)  # fmt: skip
def test_nothing_within_the_limits_is_a_sign(looks):
    assert signs(looks) == []


@given(st.integers(1, 16), st.integers(0, 15))
def test_a_broken_newest_look_always_is_a_sign(count, at):
    looks = [HEALTHY] * count
    looks[at % count] = HEALTHY._replace(broken=1.0)
    assert bool(signs(looks)) == (at % count == count - 1)
