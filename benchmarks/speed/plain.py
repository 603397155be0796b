"""The layers as one would write them first; what the fast ones are measured against."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan.networks import discriminator, epilogue, layers, synthesis


def upsample_conv(x: Tensor, weight: Tensor, *, transposed: bool) -> Tensor:
    """Nearest neighbour, then a 3x3 convolution."""
    kernel = weight.flip(2, 3) if transposed else weight
    return F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), kernel, padding=1)


def conv_lrelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution that autograd differentiates, then leaky ReLU."""
    return F.leaky_relu(F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2), 0.2)


def conv_downsample_lrelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution, then the mean of 2x2 pixels, then leaky ReLU."""
    return F.leaky_relu(F.avg_pool2d(F.conv2d(x, weight, bias, padding=1), 2), 0.2)


def blur(x: Tensor) -> Tensor:
    """A depthwise convolution that autograd differentiates."""
    taps = x.new_tensor([1.0, 2.0, 1.0]) / 4
    kernel = (taps[:, None] * taps[None, :]).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def noise_bias_lrelu(
    x: Tensor, noise: Tensor | None, noise_weight: Tensor | None, bias: Tensor
) -> Tensor:
    """Noise, bias, leaky ReLU, one after the other."""
    if noise is not None and noise_weight is not None:
        x = x + noise * noise_weight[:, None, None]
    return F.leaky_relu(x + bias[:, None, None], 0.2)


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-8) -> Tensor:
    """PyTorch's instance norm, then scale and shift."""
    return F.instance_norm(x, eps=eps) * scale[:, :, None, None] + shift[:, :, None, None]


_REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (synthesis, "upsample_conv", upsample_conv),
    (synthesis, "blur", blur),
    (epilogue, "noise_bias_lrelu", noise_bias_lrelu),
    (epilogue, "adain", adain),
    (layers, "conv_downsample_lrelu", conv_downsample_lrelu),
    (layers, "conv_lrelu", conv_lrelu),
    (discriminator, "blur", blur),
    # The networks ask for channels_last by this name.
    (torch, "channels_last", torch.contiguous_format),
)


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Let the networks run on the plain layers inside the block."""
    saved = [(module, name, getattr(module, name)) for module, name, _ in _REPLACED]
    try:
        for module, name, value in _REPLACED:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in saved:
            setattr(module, name, value)
