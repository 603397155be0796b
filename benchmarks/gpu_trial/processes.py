"""Several processes: the gradients of one, their speed, and their common end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.folder import read_json, write_json
from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.ranks import Ranks
from benchmarks.gpu_trial.settings import ROOT, GpuTrial
from benchmarks.kill_trial import children_of, descendants, is_alive
from benchmarks.plan.official import official_times
from stylegan_eval.errors import UserError

_PATIENCE = 300.0  # seconds for the processes to meet and to measure
_MINUTE = 60.0
_MEASURED = "measured.json"  # By the processes


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
    known = {time.gpus: time.seconds for time in official_times() if time.resolution == 1024}
    nearest = max(n for n in known if n <= gpus)
    return known[1] / known[nearest]


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
    command += ["--nproc-per-node", str(trial.gpus), "-m", "benchmarks.gpu_trial.ranks"]
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


def _alone(trial: GpuTrial) -> Ranks:
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
