"""Settings of a trial."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu_trial.claims import NotTriedError
from stylegan.configs import CONFIGS, Config
from stylegan.networks.compiled import check_toolchain
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan_eval.engine.device import check_precision, computing_in
from stylegan_eval.errors import UserError
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
