"""What this machine can do at most: the rate of large matrix products and convolutions."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def matmul_peak(device: torch.device, dtype: torch.dtype, *, seconds: float = 1.0) -> float:
    """Best rate of a square matrix product, in operations per second."""
    n = 8192 if device.type == "cuda" else 2048
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(n, n, generator=rng).to(device, dtype)
    return _best(lambda: a @ a, 2 * n**3, seconds)


def convolution_peak(device: torch.device, dtype: torch.dtype, *, seconds: float = 1.0) -> float:
    """Best rate of a 3x3 convolution of 512 maps at 32x32, in operations per second."""
    N, C, size = (32 if device.type == "cuda" else 8), 512, 32
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(N, C, size, size, generator=rng).to(device, dtype)
    k = torch.randn(C, C, 3, 3, generator=rng).to(device, dtype)
    x, k = (t.contiguous(memory_format=torch.channels_last) for t in (x, k))
    return _best(lambda: F.conv2d(x, k, padding=1), 2 * N * size**2 * C * C * 9, seconds)


def _best(work: Callable[[], Tensor], flop: int, seconds: float) -> float:
    """The fastest call counts: whatever else runs can only slow it down."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        work().flatten()[0].item()
        best = min(best, time.perf_counter() - start)
    return flop / best
