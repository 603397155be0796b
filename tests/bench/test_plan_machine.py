"""A machine's throughput: measured, remembered, named."""

import json
import os
import re
import subprocess
import sys

import pytest

from benchmarks.plan import machine
from benchmarks.plan.machine import (
    machine_throughput,
    quick_estimates,
    throughput_named,
    two_point_throughput,
)
from benchmarks.plan.model import (
    Throughput,
    given_throughput,
    training_amounts,
    training_seconds,
)
from benchmarks.plan.official import (
    v100,
)
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan_eval.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


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
        "from benchmarks.plan.__main__ import known_trainings\n"
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
