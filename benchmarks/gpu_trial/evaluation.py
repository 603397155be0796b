"""Metrics on the device against the CPU, their speed, and how long the device waits."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import stylegan_eval as se
from benchmarks.gpu_trial.claims import Bound, Check, NotTriedError
from benchmarks.gpu_trial.speed import on_device
from benchmarks.gpu_trial.trial import GpuTrial
from benchmarks.speed.features import random_inception_state
from stylegan.networks.generator import build_generator
from stylegan_eval.errors import UserError

# The official network of FFHQ: 50,000 images in 16 minutes on one V100, by the official README.
_PUBLISHED = 50_000 / (16 * 60)
_DISTANCE = "st-lpips-alex"  # Its weights come with a package


def checks(trial: GpuTrial) -> Iterator[Check]:
    """FID with random weights and path length; speed; idle share."""
    for name, value in (("FID", _fid), ("path length", _ppl)):
        yield Check(
            claim=f"{name} is that of the CPU",
            bound=Bound(most=1e-4, unit="of it"),
            measure=partial(_difference, trial, value),
            no_verdict="" if trial.on_gpu else "the device is the CPU",
        )
    yield Check(
        claim="images of the largest size are drawn and looked at as fast as on one V100, as"
        " published for FID",
        bound=Bound(least=_PUBLISHED, unit="images/s"),
        measure=partial(_images_per_s, trial),
        no_verdict=trial.no_times,
    )
    yield Check(
        claim="meanwhile the device is idle for a fifth of the time at most",
        bound=Bound(most=0.2, unit="of the time"),
        measure=partial(_idle, trial),
    )


def _weights(trial: GpuTrial) -> Path:
    path = trial.scratch("evaluation") / "random-inception.pth"
    if not path.exists():
        torch.save(random_inception_state(), path)
    return path


@cache
def _generator(trial: GpuTrial, size: int, device: str) -> Any:
    return build_generator(replace(trial.config, resolution=size), seed=0).to(device)


def _compared(trial: GpuTrial) -> int:
    """Pixels of the images that a CPU draws too; 32 is the least that distances take."""
    return 256 if trial.on_gpu else 32


def _reals(trial: GpuTrial) -> np.ndarray:
    count, size = _count(trial), _compared(trial)
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def _count(trial: GpuTrial) -> int:
    return 64 if trial.on_gpu else 2


def _fid(trial: GpuTrial, device: str) -> float:
    generator, num = _generator(trial, _compared(trial), device), _count(trial)
    given = {"weights": _weights(trial), "device": device, "num": num, "batch": min(num, 16)}
    return float(se.fid(generator, _reals(trial), **given))


def _ppl(trial: GpuTrial, device: str) -> float:
    given = {"distance": _DISTANCE, "space": "w", "sampling": "end", "crop": "none"}
    generator, num = _generator(trial, _compared(trial), device), _count(trial)
    try:
        (result,) = se.ppl(generator, num=num, batch=min(num, 4), device=device, **given)
    except UserError as error:
        raise NotTriedError(str(error)) from error
    return float(result)


def _difference(trial: GpuTrial, value: Any) -> tuple[float, str]:
    here = value(trial, trial.device)
    there = value(trial, "cpu") if trial.on_gpu else here
    return abs(here - there) / abs(there), f"{here:.8g} and {there:.8g}"


def _pass(trial: GpuTrial) -> int:
    """Draw images and look at them; how many."""
    num = 16 * _count(trial) if trial.on_gpu else _count(trial)
    given = {"weights": _weights(trial), "device": trial.device, "num": num}
    size = trial.config.resolution if trial.on_gpu else _compared(trial)
    se.inception_score(_generator(trial, size, trial.device), splits=1, **given)
    return num


def _images_per_s(trial: GpuTrial) -> float:
    if trial.on_gpu:
        _pass(trial)  # chooses kernels
    begun = time.perf_counter()
    count = _pass(trial)
    return count / (time.perf_counter() - begun)


def _idle(trial: GpuTrial) -> float:
    """Share of a pass in which no kernel runs."""
    if not trial.on_gpu:
        raise NotTriedError("kernels are timed by CUDA's profiler")
    _pass(trial)
    begun = time.perf_counter()
    busy = sum(seconds for _, seconds in on_device(partial(_pass, trial)))
    return max(1 - busy / (time.perf_counter() - begun), 0.0)
