"""Real images on their way from the disk to the steps, read ahead of them."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from stylegan.configs import Config
from stylegan.datasets.reals import RawBatch, Slice
from stylegan.runtime import Runtime
from stylegan.training.execution import Execution
from stylegan.training.schedule import training_points


class RealImages(Protocol):
    """Source of real images."""

    def __getitem__(self, part: Slice) -> RawBatch:
        """Elements of the endless order of images."""


class _Requests(Dataset[RawBatch]):
    """`RealImages` as PyTorch's loader wants it."""

    def __init__(self, reals: RealImages) -> None:
        self._reals = reals

    def __getitem__(self, part: Slice) -> RawBatch:
        return self._reals[part]


def slices(config: Config, nimg: int, execution: Execution, runtime: Runtime) -> Iterator[Slice]:
    """What every pass of this process reads, from image `nimg` to the end of the training."""
    for point in training_points(config, nimg):
        start = point.nimg
        for _ in range(config.schedule.minibatch_repeats):
            for share in execution.shares(point, config, runtime):
                yield Slice(start, point.minibatch, share.rows, int(point.lod))
            start += point.minibatch


def feed(
    reals: RealImages, config: Config, nimg: int, execution: Execution, runtime: Runtime
) -> Iterator[RawBatch]:
    """Yield one batch per pass of this process, in order.

    The schedule says what comes, so `execution.workers` processes read ahead; for a GPU into
    page-locked memory, from which copies do not wait.
    """
    return iter(
        DataLoader(
            _Requests(reals),
            batch_size=None,
            sampler=slices(config, nimg, execution, runtime),
            num_workers=execution.workers,
            pin_memory=runtime.device.type == "cuda",
            generator=torch.Generator().manual_seed(0),  # unused, but else the global one is drawn
        )
    )
