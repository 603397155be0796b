"""What a plan says of a process's memory, against the peak of a real one."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.training.measuring import MetricMemory, words_on_metrics
from stylegan.training.settings import MetricSettings, RunSettings
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import size_text

CPU = torch.device("cpu")
LITE = MetricSettings(metrics="fd1k", metrics_features="efficientnet-lite0")
TRAINING = """
import re, sys
from dataclasses import replace
from pathlib import Path
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.training.cost import phase_costs, process_memory, program_memory
from stylegan.training.run import fresh, run
from stylegan.training.settings import RunSettings

data, cache, out = map(Path, sys.argv[1:])
config = apply_preset(CONFIGS["F"], "tiny-16")
network = replace(
    config.network, fmap_base=512, fmap_max=128, z_dim=128, w_dim=128, mapping_fmaps=128
)
schedule = replace(
    config.schedule, initial_resolution=16, minibatch_base=64, minibatch=(), total_kimg=0.064
)
config = replace(config, network=network, schedule=replace(schedule, minibatch_repeats=1))
settings = RunSettings(out=out, data=data, cache=cache, warmup=0, tensorboard=False)
runtime = Runtime.choose("cpu")
program = program_memory(runtime.device)
run(out, lambda taken: fresh(config, settings), runtime)
step = max(cost.memory for cost in phase_costs(config))
# What getrusage says begins with the peak of the process that started this one.
peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(program, step, process_memory(step, program), peak)
"""


def test_a_process_takes_what_was_announced(data, cache, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, data, cache, tmp_path / "run"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    program, step, planned, peak = map(int, done.stdout.splitlines()[-1].split())
    assert step > 2**26
    assert program + step < planned
    assert planned == pytest.approx(peak, rel=0.12)


def settings(limit=None, batch=32):
    metrics = replace(LITE, metrics_batch=batch)
    return RunSettings(out=Path(), data=Path(), metrics=metrics, memory_limit=limit)


def test_the_batch_of_metrics_fits_into_the_memory_limit():
    config = apply_preset(CONFIGS["F"], "quick-32")
    memory = MetricMemory(config, settings(), CPU)
    one, half, whole = (memory.at(batch) for batch in (1, 16, 32))
    assert one < half < whole
    # A CPU shows 8 to the network, which takes the most: more are there in float32 and in bytes.
    assert whole - half == 16 * 3 * 32**2 * (4 + 1)
    for limit, batch in ((None, 32), (whole, 32), (whole - 1, 16)):
        assert MetricMemory(config, settings(limit), CPU).largest_batch() == batch
    assert words_on_metrics(config, settings(whole - 1), CPU) == (
        f"about {size_text(half)} in each process, 16 images at a time"
    )
    with pytest.raises(UserError, match=r"too small for --metrics: one image at a time needs"):
        MetricMemory(config, settings(one - 1, batch=2), CPU).largest_batch()


def test_path_length_and_no_metrics_have_their_memory():
    config = apply_preset(CONFIGS["F"], "quick-32")
    paths = MetricSettings(metrics="ppl_wend", ppl_distance="st-lpips-alex", ppl_crop="none")
    memory = MetricMemory(config, RunSettings(out=Path(), data=Path(), metrics=paths), CPU)
    assert memory.at(32) > memory.at(2) == memory.at(1)  # a pair is two images
    nothing = RunSettings(out=Path(), data=Path())
    assert MetricMemory(config, nothing, CPU).at(32) == 0
    assert words_on_metrics(config, nothing, CPU) == ""
