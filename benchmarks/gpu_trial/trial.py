"""A trial: where claims are tried, and the process that tries them, one after the other."""

import gc
import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.gpu_trial import PARTS
from benchmarks.gpu_trial.claims import Check, Finding, NotTriedError, Record, judge
from stylegan import __version__
from stylegan.configs import CONFIGS, Config
from stylegan.networks.compiled import check_toolchain
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan_eval.engine.command import tell
from stylegan_eval.engine.device import check_precision, computing_in, device_name, pick_device
from stylegan_eval.errors import UserError
from stylegan_eval.plugins import resolve
from stylegan_eval.settings.common import Precision

ROOT = Path(__file__).parents[2]  # of the checkout
DIGESTS = Path(__file__).with_name("digests.json")


@dataclass(frozen=True, kw_only=True)
class GpuTrial:
    """Where and how claims are tried."""

    out: Path  # Folder of the trial
    device: str  # 'cuda' or 'cpu'
    gpus: int = 1  # Processes of the part `processes`
    digests: Path = DIGESTS  # Stored digests of random numbers
    root: Path = ROOT  # Of the checkout whose tests hold the official numbers

    @property
    def on_gpu(self) -> bool:
        """Whether bounds on time and on a GPU's memory count."""
        return self.device != "cpu"

    @property
    def runtime(self) -> Runtime:
        """Device, in one process."""
        return Runtime.choose(self.device)

    @property
    def no_times(self) -> str:
        """Why bounds on time say nothing here; empty on a GPU."""
        return "" if self.on_gpu else "bounds on time are for GPUs"

    @property
    def config(self) -> Config:
        """The paper's F on one GPU; on a CPU a small F."""
        if self.on_gpu:
            return apply_preset(CONFIGS["F"], "paper-ffhq-1gpu")
        return apply_preset(CONFIGS["F"], "tiny-16")

    def computing(self, precision: Precision = "fp32") -> AbstractContextManager[None]:
        """Compute in this precision inside the block; NotTriedError where the device cannot."""
        device_type = self.runtime.device.type
        try:
            check_precision(precision, device_type)
        except UserError as error:
            raise NotTriedError(str(error)) from error
        return computing_in(precision, device_type)

    def needs_compiler(self) -> None:
        """NotTriedError where nothing can compile for the device."""
        try:
            check_toolchain(self.runtime.device)
        except UserError as error:
            raise NotTriedError(str(error)) from error

    def scratch(self, name: str) -> Path:
        """A folder for what a part writes and leaves."""
        folder = self.out / "scratch" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


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
    """Machine and versions of findings, which are not mixed with those of others."""
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
    except Exception as error:  # noqa: BLE001 - its traceback is printed, the claim counts as refuted
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
