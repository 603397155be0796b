"""Trainings that were stopped or killed and go on, beside one that never stopped."""

import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from click.testing import CliRunner
from torch import Tensor

from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.trial import GpuTrial
from benchmarks.kill_trial import Trial, everything_in
from stylegan.checkpoint import checkpoints_in, newest_checkpoint
from stylegan.train import main as train_command
from stylegan_eval.engine.command import Terminated
from stylegan_eval.errors import UserError

_KIMG, _SNAPSHOT_KIMG = 0.16, 0.06
# What rounding may have grown to at the end, where kernels add in no fixed order.
_ROUNDING = 0.05
_SIGNALLED = 128  # and the number of the signal: status of a training that a signal stopped


def checks(trial: GpuTrial) -> Iterator[Check]:
    """Stopped in order and killed, bit by bit; without `--deterministic` within a bound."""
    for name, interrupted in (("stopped", _stopped), ("killed by SIGKILL", _killed)):
        yield Check(
            claim=f"a training that was {name} goes on as if it had not been, bit by bit",
            bound=Bound(least=0, most=0, unit="tensors differ"),
            measure=partial(_differing, trial, interrupted),
        )
    yield Check(
        claim="one that was stopped comes near the other without --deterministic too",
        bound=Bound(most=_ROUNDING, unit="of the weights' norm"),
        measure=partial(_distance, trial),
    )


def _training(trial: GpuTrial, name: str, *options: str) -> Trial:
    return Trial(
        trial.scratch(name),
        kimg=_KIMG,
        snapshot_kimg=_SNAPSHOT_KIMG,
        device=trial.device,
        options=("--no-tensorboard", *options),
    )


def _differing(trial: GpuTrial, interrupted: Callable[[Trial], Path]) -> tuple[float, str]:
    training = _training(trial, "resume", "--deterministic")
    whole, resumed = _whole(training), _end_of(training, interrupted(training))
    unlike = [name for name in whole if not torch.equal(whole[name], resumed[name])]
    return len(unlike), f"{len(whole)} compared"


def _distance(trial: GpuTrial) -> float:
    if not trial.on_gpu:
        raise NotTriedError("a CPU repeats itself without it")
    training = _training(trial, "resume-fast")
    whole, resumed = _whole(training), _end_of(training, _stopped(training))
    names = [name for name in whole if name.startswith("networks/")]
    flat, other = (torch.cat([t[n].double().flatten() for n in names]) for t in (whole, resumed))
    return float((other - flat).norm() / flat.norm())


def _whole(training: Trial) -> dict[str, Tensor]:
    return _end_of(training, training.folder / "whole")


def _end_of(training: Trial, out: Path) -> dict[str, Tensor]:
    """Start or continue to the end, in this process; everything in the last checkpoint."""
    _train(training.arguments(out))
    return everything_in(newest_checkpoint(out))


def _stopped(training: Trial) -> Path:
    out = training.folder / "stopped"
    if not _count(out):
        _train([*training.arguments(out), "--kimg", str(_KIMG / 2)])
    return out


def _killed(training: Trial) -> Path:
    out = training.folder / "killed"
    process = training.start(out, training.launchers()[0])
    try:
        while _count(out) < 2 and process.poll() is None:  # the first is of the beginning
            time.sleep(0.005)
    finally:
        process.kill()
    if process.wait() != -signal.SIGKILL:
        raise NotTriedError("the training was at its end before it could be killed")
    return out


def _count(out: Path) -> int:
    return len(checkpoints_in(out)) if out.is_dir() else 0


def _train(arguments: list[str]) -> None:
    result = CliRunner().invoke(train_command, arguments)
    if result.exit_code > _SIGNALLED:  # the trial was stopped: the training took it for itself
        raise Terminated(result.exit_code - _SIGNALLED)
    if result.exit_code:
        raise UserError(f"stylegan-train {' '.join(arguments)}: {result.stderr[-500:]}")
