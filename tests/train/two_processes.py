"""One step of D and one of G; the gradients go into a file. Run alone or by torchrun."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from stylegan.configs import CONFIGS
from stylegan.datasets.pyramid import open_pyramid
from stylegan.datasets.reals import Reals
from stylegan.presets import apply_preset, with_options
from stylegan.runtime import Runtime
from stylegan.training.batches import feed
from stylegan.training.loop import Steps
from stylegan.training.partition import Execution
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState

NIMG = 300  # in the middle of a fade


def gradients(row: str, data: Path, cache: Path, runtime: Runtime, execution: Execution):
    """Gradients of D and G and the terms of their losses, with weights that do not move."""
    config = apply_preset(CONFIGS[row], "tiny-16")
    schedule = replace(config.schedule, minibatch_base=16, ema_kimg=1.0)
    schedule = replace(schedule, training_kimg=0.2, transition_kimg=0.2)
    config = with_options(replace(config, schedule=schedule), label_size=3)
    state = TrainState.fresh(config, runtime, seed=0)
    state.nimg = NIMG
    point = replace(training_point(NIMG, config), lrate=0.0)
    reals = Reals(open_pyramid(data, cache=cache), seed=0, mirror=True, labelled=True)
    batches = feed(reals, config, NIMG, execution, runtime)
    steps = Steps(state, config, runtime, execution)
    terms = steps.both(point, execution.shares(point, config, runtime), batches)
    return {
        "lod": torch.tensor(point.lod),
        "D": state.flat_D.gradients.clone(),
        "G": state.flat_G.gradients.clone(),
        "w_avg": state.G.w_avg.clone(),
        **{key: term for key, term in terms.items() if key != "fake_spread"},
    }


if __name__ == "__main__":
    data, cache, out = map(Path, sys.argv[1:])
    runtime = Runtime.join("cpu")
    found = {row: gradients(row, data, cache, runtime, Execution()) for row in "AF"}
    if runtime.is_first:
        torch.save(found, out)
    runtime.processes.exit(0)
