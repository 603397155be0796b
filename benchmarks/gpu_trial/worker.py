"""The process that tries claims, one after the other."""

import gc
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu_trial import PARTS
from benchmarks.gpu_trial.claims import Check, Finding, judge
from benchmarks.gpu_trial.record import Record
from benchmarks.gpu_trial.settings import DIGESTS, GpuTrial
from stylegan import __version__
from stylegan_eval.engine.command import tell
from stylegan_eval.engine.device import device_name, pick_device
from stylegan_eval.plugins import resolve


def try_parts(
    names: Sequence[str], *, out: Path, device: str, gpus: int, digests: Path | None
) -> None:
    """Try all claims of these parts that are not in the record yet."""
    known = about(pick_device(device))
    trial = GpuTrial(out=out, device=device, gpus=gpus, digests=digests or DIGESTS)
    os.environ["STYLEGAN_CACHE"] = str(trial.scratch("cache"))  # nothing stays elsewhere
    record = Record(out)
    record.tried_on(known)
    for number, name in enumerate(names, 1):
        checks = list(resolve(PARTS[name].place)(trial))
        left = [check for check in checks if not record.knows(name, check.claim)]
        tell(f"part {number} of {len(names)}, {name}: {len(left)} of {len(checks)} claims to try")
        for check in left:
            _try(name, check, record)


def about(device: torch.device) -> dict[str, str]:
    """What findings depend on: they are not mixed with those of another machine or version."""
    return {
        "device": device_name(device),
        "PyTorch": torch.__version__,
        "CUDA": torch.version.cuda or "none",
        "version": __version__,
    }


def _try(part: str, check: Check, record: Record) -> None:
    begun = time.perf_counter()
    record.begin(Finding(part=part, claim=check.claim, bound=str(check.bound)))
    try:
        finding = judge(part, check)
    except Exception as error:  # noqa: BLE001 - told with its traceback, and the claim is refuted: status 1
        traceback.print_exc(file=sys.stderr)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # raises where the error has broken CUDA for this process
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        assert record.running is not None
        finding = replace(record.running, verdict="refuted", why=reason)
    record.add(replace(finding, seconds=round(time.perf_counter() - begun, 2)))
    tell(f"  {finding.line}")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
