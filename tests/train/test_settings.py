"""What a run's folder remembers, read as a file that may be damaged."""

import json
import math

import pytest

from stylegan.configs import CONFIGS
from stylegan.training.partition import Execution
from stylegan.training.settings import MetricSettings, RunSettings, read_run, write_settings
from stylegan_eval.errors import UserError

CHOSEN = {
    "seed": 2**63 - 1,
    "snapshot_kimg": 1e-4,
    "snapshot_minutes": 0.0,
    "keep": 7,
    "on_collapse": "warn",
    "tensorboard": False,
    "memory_limit": 2**40,
    "fixed_length": True,
    "warmup": 1.5,
    "execution": Execution(precision="bf16", at_a_time=((8, 4), (16, 2)), workers=3),
    "metrics": MetricSettings(metrics="fid10k", ppl_crop="none"),
}


@pytest.mark.parametrize("chosen", [{}, CHOSEN], ids=["usual", "chosen"])
def test_settings_come_back_as_they_were_written(tmp_path, chosen):
    settings = RunSettings(out=tmp_path, data=tmp_path / "x.zip", **chosen)
    write_settings(CONFIGS["F"], settings)
    assert read_run(tmp_path) == (CONFIGS["F"], settings)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tensorboard": "no"}, "tensorboard is 'no', expected true or false or null"),
        ({"tensorboard": 1}, "tensorboard is 1, expected true or false or null"),
        ({"memory_limit": "1G"}, "memory_limit is '1G', expected a whole number or null"),
        ({"memory_limit": 0}, "memory_limit is 0, expected 1 or more"),
        ({"on_collapse": "go"}, "on_collapse is 'go', expected stop, warn"),
        ({"on_collapse": ["stop"]}, "on_collapse is ['stop'], expected stop, warn"),
        ({"keep": 0}, "keep is 0, expected 1 or more"),
        ({"keep": True}, "keep is True, expected a whole number"),
        ({"seed": -1}, "seed is -1, expected 0 or more"),
        ({"snapshot_kimg": 0}, "snapshot_kimg is 0, expected"),
        ({"snapshot_minutes": math.nan}, "snapshot_minutes is nan, expected a number"),
        ({"warmup": None}, "warmup is None, expected a number"),
        ({"data": 3}, "data is 3, expected a path"),
        ({"data": "a\0b"}, "expected a path"),
        ({"execution": {"at_a_time": [], "precision": "fp8"}}, "precision is 'fp8', expected fp32"),
        ({"execution": {"at_a_time": [], "workers": 1.5}}, "workers is 1.5, expected a whole"),
        ({"execution": {"at_a_time": [[8]]}}, "not enough values"),
        ({"execution": {"at_a_time": [], "speed": 2}}, "speed is not known"),
        ({"metrics": {"metrics": 5}}, "metrics is 5, expected text"),
        ({"metrics": {"metrics_batch": 0}}, "metrics_batch is 0, expected 1 or more"),
        ({"metrics": []}, "list"),
    ],
)
def test_a_damaged_value_is_named_in_a_line(tmp_path, change, reason):
    write_settings(CONFIGS["F"], RunSettings(out=tmp_path, data=tmp_path / "x.zip"))
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError) as told:
        read_run(tmp_path)
    assert str(told.value).startswith(f"{path} is damaged (")
    assert reason in str(told.value)
    assert str(told.value).endswith("name the images with --data, and give other options anew")
    assert "\n" not in str(told.value)
