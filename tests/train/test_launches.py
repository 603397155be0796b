"""What a step asks of a GPU, counted on tensors without data: launches, and bytes moved."""

from dataclasses import replace

import pytest

from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.training.partition import Execution
from stylegan.training.rehearsal import Rehearsal


@pytest.mark.parametrize(
    ("resolution", "images", "precision", "launches", "gigabytes"),
    [
        (1024, 4, "fp32", 1950, 80),
        (1024, 4, "bf16", 2700, 57),
        (32, 64, "fp32", 1100, 28),
        (32, 64, "bf16", 1450, 20),
    ],
)
def test_launches_and_bytes_of_a_step_do_not_grow(
    resolution, images, precision, launches, gigabytes
):
    """Published widths; bytes outside convolutions and products."""
    config = replace(apply_preset(CONFIGS["F"], "paper-ffhq"), resolution=resolution)
    work = Rehearsal(config, Execution(precision=precision), "cuda").work(0.0, images)
    assert 0.9 * launches < work.launches <= launches
    assert 0.9 * gigabytes < (work.moved - work.dense) / 1e9 <= gigabytes
