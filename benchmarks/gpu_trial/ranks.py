"""One of several processes of the part `processes`, or all of it in one: gradients and speed.

``torchrun ... -m benchmarks.gpu_trial.ranks FILE DEVICE SIZE`` writes gradients and speed, and then
takes steps until it is killed.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from stylegan.configs import CONFIGS, Config
from stylegan.datasets.reals import RawBatch
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.training.loop import Steps
from stylegan.training.partition import Execution
from stylegan.training.schedule import TrainingPoint, training_point
from stylegan.training.speed import random_batch
from stylegan.training.state import TrainState
from stylegan_eval.engine.device import computing_in
from stylegan_eval.engine.files import atomic_write

_TIMED = 10  # steps
SIZES = {"small": "tiny-16", "large": "paper-ffhq-2gpu"}  # Presets
_RESOLUTION = 256  # Of the large one, so that a card of any size takes it


class Ranks:
    """Steps of this process on its part of a fixed minibatch, in the middle of a fade."""

    def __init__(self, runtime: Runtime, size: str) -> None:
        self.runtime, self.config = runtime, _config(size)
        point = training_point(0, self.config)
        full = self.config.resolution
        self.point: TrainingPoint = replace(point, lod=0.5, resolution=full, lrate=0.0)
        self.shares = Execution().shares(self.point, self.config, runtime)
        whole = random_batch(self.config, self.point.minibatch, self.point)
        self.batches = [
            RawBatch(*(part[torch.from_numpy(share.rows)] for part in whole))
            for share in self.shares
        ]
        state = TrainState.fresh(self.config, runtime, seed=0)
        self.steps = Steps(state, self.config, runtime, Execution())

    def step(self) -> dict[str, Tensor]:
        """Take the step that begins at image 0; the terms of both losses."""
        self.steps.state.nimg = 0
        return self.steps.both(self.point, self.shares, iter(self.batches))

    def gradients(self) -> dict[str, Tensor]:
        """Gradients of D and G over the whole minibatch."""
        self.step()
        state = self.steps.state
        return {"D": state.flat_D.gradients.cpu(), "G": state.flat_G.gradients.cpu()}

    def img_per_s(self) -> float:
        """Images per second of all processes."""
        self.step()["loss_G"].item()
        begun = time.perf_counter()
        for _ in range(_TIMED):
            terms = self.step()
        terms["loss_G"].item()  # waits for the device
        return _TIMED * self.point.minibatch / (time.perf_counter() - begun)


def _config(size: str) -> Config:
    config = apply_preset(CONFIGS["F"], SIZES[size])
    return config if size == "small" else replace(config, resolution=_RESOLUTION)


def main(out: Path, device: str, size: str) -> None:
    """Write what the trial asks for, then step until killed."""
    runtime = Runtime.join(device)
    with computing_in("fp32", runtime.device.type):
        ranks = Ranks(runtime, size)
        gradients, speed = ranks.gradients(), ranks.img_per_s()
        if runtime.is_first:
            with atomic_write(out.with_suffix(".pt")) as temporary:
                torch.save(gradients, temporary)
            with atomic_write(out) as temporary:
                temporary.write_text(json.dumps({"img_per_s": speed}))
        while True:
            ranks.step()["loss_G"].item()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
