"""Events for TensorBoard: the rows of the log as scalars, sample sheets as images."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

# Columns of the log by the page they belong on; all others are terms of the losses.
_PAGES = {
    "schedule": ("lod", "resolution", "minibatch", "lrate"),
    "speed": ("img_per_s", "seconds", "peak_memory_mib"),
}
_PAGE_OF = {key: page for page, keys in _PAGES.items() for key in keys}


def is_installed() -> bool:
    """Whether there is a TensorBoard to write for."""
    return importlib.util.find_spec("tensorboard") is not None


def open_tensorboard(folder: Path, nimg: int) -> "TensorBoard":
    """Begin a file of events in ``tensorboard`` below the run's folder.

    Parameters
    ----------
    folder : Path
        The run's folder.
    nimg : int
        Where the run starts: TensorBoard forgets events of a later time, left by a run that was
        killed.

    Raises
    ------
    UserError
        The package is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "--tensorboard needs a package that is not installed:"
            " pip install tensorboard, or leave the option out"
        ) from error
    return TensorBoard(SummaryWriter(str(folder / "tensorboard"), purge_step=nimg + 1))


@dataclass(frozen=True)
class TensorBoard:
    """A file of events; the step of each is the number of real images shown."""

    writer: "SummaryWriter"

    def row(self, values: Mapping[str, Any]) -> None:
        """Write the numbers of one row of the log."""
        nimg = int(values["nimg"])
        for key, value in values.items():
            if isinstance(value, int | float) and key not in ("nimg", "kimg"):
                self._scalar(_tag(key), value, nimg)
        self.writer.flush()  # a run may be killed at any time

    def measured(self, row: Mapping[str, Any]) -> None:
        """Write one measured number: a row of the metrics."""
        self._scalar(f"metric/{row['metric']}", row["value"], int(row["nimg"]))
        self.writer.flush()

    def sheet(self, image: NDArray[np.uint8], nimg: int) -> None:
        """Write a sample sheet [H, W, C]."""
        self.writer.add_image("fakes", image, nimg, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        """End the file."""
        self.writer.close()

    def _scalar(self, tag: str, value: float, nimg: int) -> None:
        self.writer.add_scalar(tag, value, nimg)


def _tag(key: str) -> str:
    """``loss_D`` -> ``loss/D``, ``grad_norm_G`` -> ``grad_norm/G``, ``lod`` -> ``schedule/lod``."""
    if key in _PAGE_OF:
        return f"{_PAGE_OF[key]}/{key}"
    head, _, tail = key.rpartition("_")
    return f"{head}/{tail}" if head else f"loss/{key}"
