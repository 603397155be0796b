"""Several processes: the gradients of one, their speed, and their common end.

``torchrun ... -m benchmarks.gpu_trial.processes FILE DEVICE SIZE`` is one of them: it writes
gradients and speed, and then takes steps until it is killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.folder import read_json, write_json
from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.trial import ROOT, GpuTrial
from benchmarks.kill_trial import children_of, descendants, is_alive
from benchmarks.plan.official import published
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
from stylegan_eval.errors import UserError

_PATIENCE = 300.0  # seconds for the processes to meet and to measure
_MINUTE = 60.0
_MEASURED = "measured.json"  # By the processes
_TIMED = 10  # steps
SIZES = {"small": "tiny-16", "large": "paper-ffhq-2gpu"}  # Presets
_RESOLUTION = 256  # Of the large one, so that a card of any size takes it


def checks(trial: GpuTrial) -> Iterator[Check]:
    """Gradients and scaling of `trial.gpus` processes, and what the death of one does."""
    n = trial.gpus
    several = n if n > 1 else "several"
    yield Check(
        claim=f"{several} processes have the gradients of one",
        bound=Bound(most=1e-4, unit="of the largest"),
        measure=partial(_gradients, trial),
    )
    yield Check(
        claim=f"{several} processes are so many times as fast as one",
        bound=Bound(least=_published_scaling(n), unit="times, as published for V100s"),
        measure=partial(_scaling, trial),
        no_verdict=trial.no_times,
    )
    yield Check(
        claim=f"when one of {several} processes is killed, all are gone within a minute",
        bound=Bound(most=_MINUTE, unit="s"),
        measure=partial(_seconds_to_end, trial),
    )


def _published_scaling(gpus: int) -> float:
    """Speed of so many V100s over that of one at 1024x1024; of the next fewer that are known."""
    nearest = max(n for n in published() if n <= gpus)
    return published()[1].seconds / published()[nearest].seconds


def _result(trial: GpuTrial) -> dict[str, float]:
    """Speed and end of the processes, which are started where it is not known yet."""
    if trial.gpus == 1:
        raise NotTriedError("takes several processes: --gpus N")
    if trial.on_gpu and trial.gpus > torch.cuda.device_count():
        raise NotTriedError(f"this machine has {torch.cuda.device_count()} GPUs")
    folder = trial.scratch(f"processes-{trial.gpus}")
    path = folder / "result.json"
    if not path.exists():
        write_json(
            path, {"seconds": _run(trial, folder / _MEASURED)} | read_json(folder / _MEASURED)
        )
    return read_json(path)


def _run(trial: GpuTrial, out: Path) -> float:
    """Start the processes, kill one once they have measured; seconds until all are gone."""
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(trial.gpus), "-m", "benchmarks.gpu_trial.processes"]
    command += [str(out), trial.device, "large" if trial.on_gpu else "small"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with (out.parent / "stderr.txt").open("w+") as stderr:
        launcher = subprocess.Popen(command, env=environment, stdout=stderr, stderr=stderr)
        everybody = [launcher.pid]
        try:
            end = time.monotonic() + _PATIENCE
            while not out.exists():
                if launcher.poll() is not None or time.monotonic() > end:
                    stderr.seek(0)
                    raise UserError(f"the processes did not measure: {stderr.read()[-500:]}")
                time.sleep(0.02)
            everybody += descendants(launcher.pid)
            os.kill(children_of(launcher.pid)[-1], signal.SIGKILL)
            begun = time.monotonic()
            while any(map(is_alive, everybody)) and time.monotonic() < begun + 2 * _MINUTE:
                launcher.poll()
                time.sleep(0.02)
            return time.monotonic() - begun
        finally:
            for pid in filter(is_alive, everybody):
                os.kill(pid, signal.SIGKILL)
            launcher.wait()


def _alone(trial: GpuTrial) -> "Ranks":
    return Ranks(trial.runtime, "large" if trial.on_gpu else "small")


def _gradients(trial: GpuTrial) -> float:
    _result(trial)
    path = trial.scratch(f"processes-{trial.gpus}") / _MEASURED
    found = torch.load(path.with_suffix(".pt"), weights_only=True)
    with trial.computing():
        own = _alone(trial).gradients()
    return max(float((found[key] - own[key]).abs().max() / own[key].abs().max()) for key in own)


def _scaling(trial: GpuTrial) -> tuple[float, str]:
    several = _result(trial)["img_per_s"]
    with trial.computing():
        one = _alone(trial).img_per_s()
    return several / one, f"{several:.1f} and {one:.1f} images/s"


def _seconds_to_end(trial: GpuTrial) -> float:
    return _result(trial)["seconds"]


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
            write_json(out, {"img_per_s": speed})
        while True:
            ranks.step()["loss_G"].item()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
