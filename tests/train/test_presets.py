"""Presets change what they say and nothing else."""

import pytest

from stylegan.configs import CONFIGS, diff
from stylegan.presets import PRESETS, apply_preset, with_options
from stylegan.training.schedule import training_point
from stylegan_eval.errors import UserError


def minibatches(config, resolutions):
    """Minibatch and learning rate by resolution, as the schedule gives them."""
    found = {}
    for kimg in range(0, round(config.schedule.total_kimg), 100):
        point = training_point(kimg * 1000, config)
        found[point.resolution] = (point.minibatch, point.lrate)
    return [found[size] for size in resolutions]


def test_the_rows_are_ffhq_on_eight_gpus():
    for row in CONFIGS.values():
        assert diff(row, apply_preset(row, "paper-ffhq")) == {}


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("paper-ffhq", [(256, 0.001), (128, 0.001), (64, 0.001), (32, 0.001), (32, 0.0015)]),
        ("paper-ffhq-4gpu", [(256, 0.001), (128, 0.001), (64, 0.001), (32, 0.001), (16, 0.0015)]),
        ("paper-ffhq-2gpu", [(256, 0.001), (128, 0.001), (64, 0.001), (32, 0.001), (16, 0.0015)]),
        ("paper-ffhq-1gpu", [(128, 0.001), (128, 0.001), (64, 0.001), (32, 0.001), (16, 0.0015)]),
    ],
)
def test_published_minibatches(preset, expected):
    config = apply_preset(CONFIGS["F"], preset)
    assert minibatches(config, [8, 16, 32, 64, 128]) == expected


def test_celebahq_keeps_wgan_gp_and_caps_the_rate():
    for row in "BCDEF":
        config = apply_preset(CONFIGS[row], "paper-celebahq")
        assert config.loss.kind == "wgan-gp"
        assert minibatches(config, [128, 256, 512, 1024]) == [
            *((32, 0.0015), (32, 0.002), (32, 0.002), (32, 0.002))
        ]
        assert set(diff(CONFIGS[row], config)) == {"loss.kind", "schedule.lrate"}


@pytest.mark.parametrize(
    ("preset", "resolution", "kimg"),
    [
        ("paper-lsun-bedroom", 256, 70000),
        ("paper-lsun-cat", 256, 70000),
        ("paper-lsun-car", 512, 46000),
    ],
)
def test_lsun_is_not_mirrored(preset, resolution, kimg):
    config = apply_preset(CONFIGS["F"], preset)
    assert (config.resolution, config.schedule.total_kimg) == (resolution, kimg)
    assert not config.mirror


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("row", CONFIGS)
def test_presets_keep_what_makes_a_row(preset, row):
    """Architecture and mixing are the row's at every scale."""
    config = apply_preset(CONFIGS[row], preset)
    for name in ("styles", "noise", "constant_input", "normalization", "blur", "mapping_layers"):
        assert getattr(config.network, name) == getattr(CONFIGS[row].network, name)
    assert config.loss.style_mixing_prob == CONFIGS[row].loss.style_mixing_prob
    assert config.schedule.initial_resolution == CONFIGS[row].schedule.initial_resolution


def test_options():
    config = with_options(CONFIGS["F"], resolution=64, total_kimg=5.0, mirror=False)
    assert (config.resolution, config.schedule.total_kimg, config.mirror) == (64, 5.0, False)
    assert with_options(CONFIGS["F"]) == CONFIGS["F"]
    with pytest.raises(UserError, match="power of two"):
        with_options(CONFIGS["F"], resolution=100)
    with pytest.raises(UserError, match="demo-32"):
        apply_preset(CONFIGS["F"], "nothing")
