"""Pillow's bicubic resize of bytes, bit for bit, for batches on any device.

PyTorch's own antialiased bicubic differs: on floats by up to 30 levels at hard edges, because
Pillow clips and rounds between its two passes, on bytes by up to 2 in a percent of the pixels.
"""

import math
from functools import cache

import torch
from torch import Tensor

BITS = 22  # of Pillow's fixed-point weights for 8-bit images
SUPPORT = 2.0


def _bicubic(x: float) -> float:
    """Keys's kernel with a = -1/2."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    if x < SUPPORT:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0.0


@cache
def fixed_point_weights(source: int, target: int) -> Tensor:
    """Weights float64 [target, source] of one pass, whole numbers: 2^22 stands for 1."""
    weights = torch.zeros(target, source, dtype=torch.float64)
    scale = source / target
    wide = max(scale, 1.0)  # the kernel grows with the step where the image shrinks
    for place in range(target):
        centre = (place + 0.5) * scale
        low = max(int(centre - SUPPORT * wide + 0.5), 0)
        high = min(int(centre + SUPPORT * wide + 0.5), source)
        # The order of these roundings is Pillow's.
        taps = [_bicubic((x + low - centre + 0.5) * (1.0 / wide)) for x in range(high - low)]
        total = 0.0
        for tap in taps:
            total += tap
        for x, tap in enumerate(taps):
            fixed = tap / total * (1 << BITS)
            weights[place, low + x] = math.trunc(fixed - 0.5 if tap < 0 else fixed + 0.5)
    return weights


def _pass(x: Tensor, target: int) -> Tensor:
    """Resize the last dimension of whole numbers 0..255 in float64."""
    source = x.shape[-1]
    if source == target:
        return x
    weights = fixed_point_weights(source, target).to(x.device)
    # Sums of whole numbers below 2^53: exact, in any order.
    sums = x @ weights.T + (1 << (BITS - 1))
    return (sums / (1 << BITS)).floor_().clamp_(0, 255)


def pillow_bicubic(images: Tensor, size: int) -> Tensor:
    """Resize uint8 [N, 3, H, W] to float32 [N, 3, size, size] of whole numbers 0..255.

    Equals ``PIL.Image.resize((size, size), BICUBIC)`` of each image.
    """
    x = _pass(images.double(), size)  # [N, 3, H, size]: rows first
    return _pass(x.mT, size).mT.float()
