"""Type of device that a layer computes for, and the memory format of networks there."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_played: ContextVar[str] = ContextVar("played", default="")


def device_type(x: Tensor) -> str:
    """Type of the device that x is on, or is taken to be on."""
    return _played.get() or ("cpu" if x.is_meta else x.device.type)


@contextmanager
def playing(device_type: str) -> Iterator[None]:
    """Compute inside the block as on a device of this type, wherever the tensors are."""
    token = _played.set(device_type)
    try:
        yield
    finally:
        _played.reset(token)


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Memory format of x, which has four dimensions.

    Images take that of the kernels: a convolution would convert those of another.
    """
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last
