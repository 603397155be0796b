"""Building blocks of both networks.

Shapes: N batch, C channels, H W pixels, K kernel size, D features.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan.networks.convolution import LRELU_SLOPE, convolve_lrelu, plain_operations
from stylegan.networks.devices import device_type, memory_format_of

SQRT2 = math.sqrt(2)


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with the paper's slope of 0.2."""
    return F.leaky_relu(x, LRELU_SLOPE)


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale each pixel's (or latent's) vector over dimension 1 to unit root mean square."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + eps)


class EqualizedLinear(nn.Module):
    """Dense layer with equalized learning rate (Karras et al. 2018, Section 4.1).

    The stored weight is drawn from N(0, 1 / lrmul^2) and scaled by
    gain / sqrt(fan_in) * lrmul at run time; the bias, where there is one, by lrmul.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        gain: float = SQRT2,
        lrmul: float = 1.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))  # [out, in]
        self.bias = nn.Parameter(torch.zeros(out_features)) if bias else None
        self.lrmul = lrmul
        self.scale = gain / math.sqrt(in_features) * lrmul

    def reset_parameters(self, rng: torch.Generator) -> None:
        """Draw the weight; zero the bias."""
        nn.init.normal_(self.weight, std=1 / self.lrmul, generator=rng)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        bias = self.bias if self.bias is None or self.lrmul == 1 else self.bias * self.lrmul
        return F.linear(x, self.weight * self.scale, bias)


class EqualizedConv(nn.Module):
    """Weight of a KxK convolution with equalized learning rate, and its bias.

    `bias` is left to the caller where something comes between convolution and bias (G's layers).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        gain: float = SQRT2,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.scale = gain / math.sqrt(in_channels * kernel * kernel)

    def reset_parameters(self, rng: torch.Generator) -> None:
        """Draw the weight; zero the bias."""
        nn.init.normal_(self.weight, generator=rng)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def scaled_weight(self) -> Tensor:
        """Weight as applied, [out, in, K, K]."""
        return self.weight * self.scale

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W], zero padded, in the type of x."""
        weight = self.scaled_weight().to(x.dtype)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, weight, bias, padding=self.weight.shape[-1] // 2)


class Constant(nn.Module, ABC):
    """A tensor that is the same in every network of its kind: in no checkpoint, made once."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value, persistent=False)

    @abstractmethod
    def reset(self) -> None:
        """Compute the value where it is."""

    def _apply(  # PyTorch's own signature
        self,
        fn: Callable[[Tensor], Tensor],
        recurse: bool = True,  # noqa: FBT001, FBT002
    ) -> Self:
        # Moved, converted, or only allocated, as in networks that are made without data.
        del recurse
        try:
            value = fn(self.value)
        except NotImplementedError:  # nothing can be copied out of the device meta
            value = fn(torch.empty_like(self.value, device="cpu"))
        self.value = torch.empty_like(value)
        self.reset()
        return self


class FourShifts(Constant):
    """Sum of the four one-pixel shifts of the zero-padded kernel, [.., 3, 3] -> [.., 4, 4].

    As one product by a matrix, whose derivatives are such products too: cutting and padding would
    cost a sixth of a step where the kernels are large. `factor` multiplies the sum; `rotated` turns
    the kernel by 180 degrees.
    """

    def __init__(self, factor: float = 1.0, *, rotated: bool = False) -> None:
        super().__init__(torch.empty(16, 9))
        self.factor, self.rotated = factor, rotated
        self.reset()

    def reset(self) -> None:
        """Compute the matrix [16, 9]."""
        eye = torch.eye(3, dtype=self.value.dtype, device=self.value.device)
        one = F.pad(eye, (0, 1)) + F.pad(eye, (1, 0))  # [3, 4]: both shifts along one axis
        shifts = torch.kron(one, one).T * self.factor
        self.value.copy_(shifts.flip(1) if self.rotated else shifts)

    def forward(self, weight: Tensor) -> Tensor:
        """[A, B, 3, 3] -> [A, B, 4, 4]."""
        A, B, _, _ = weight.shape
        if weight.stride(3) == 1:  # contiguous, or transposed from that: so is the sum
            return (weight.reshape(A * B, 9) @ self.value.T).reshape(A, B, 4, 4)
        taps = weight.permute(0, 2, 3, 1).reshape(A, 9, B)  # a view where channels come last
        return (self.value @ taps).reshape(A, 4, 4, B).permute(0, 3, 1, 2)


def upsample_conv(x: Tensor, weight: Tensor, shifts: FourShifts) -> Tensor:
    """Double the size by nearest neighbour and convolve, in one 4x4 transposed convolution.

    [N, in, H, W], scaled weight [out, in, 3, 3] -> [N, out, 2H, 2W]. The official code runs this as
    a convolution below `fused_from` px and as a transposed convolution from there on, which applies
    the kernel rotated by 180 degrees: `shifts` are rotated for the orientation of the former.
    """
    # Summed before it is rounded to the type of x.
    kernel = shifts(weight.transpose(0, 1)).to(x.dtype)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1)


def conv_lrelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolution by [out, in, K, K], bias, leaky ReLU: [N, in, H, W] -> [N, out, H, W]."""
    return convolve_lrelu(x, weight.to(x.dtype), bias.to(x.dtype))


def conv_downsample_lrelu(x: Tensor, weight: Tensor, bias: Tensor, shifts: FourShifts) -> Tensor:
    """Convolve with [out, in, 3, 3] and average 2x2 pixels, in one 4x4 convolution; leaky ReLU.

    [N, in, H, W] -> [N, out, H/2, W/2]. The same function as the three steps, where the factor of
    `shifts` is a quarter.
    """
    return convolve_lrelu(x, shifts(weight).to(x.dtype), bias.to(x.dtype), stride=2)


class ConvLReLU(EqualizedConv):
    """Convolution, down-sampling after it where asked, bias and leaky ReLU: a layer of D."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, downsample: bool = False
    ) -> None:
        super().__init__(in_channels, out_channels, kernel)
        self.shifts = FourShifts(0.25) if downsample else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H, W], or half the size, in the type of x."""
        assert self.bias is not None
        if self.shifts is None:
            return conv_lrelu(x, self.scaled_weight(), self.bias)
        return conv_downsample_lrelu(x, self.scaled_weight(), self.bias, self.shifts)


class Blur(Constant):
    """Smooth by [1, 2, 1] x [1, 2, 1] / 16 with zero padding."""

    def __init__(self, channels: int) -> None:
        super().__init__(torch.empty(channels, 1, 3, 3))
        self.reset()

    def reset(self) -> None:
        """Compute the kernel [C, 1, 3, 3]."""
        offsets = torch.arange(-1, 2, dtype=self.value.dtype, device=self.value.device)
        taps = (2 - offsets.abs()) / 4  # [1, 2, 1] / 4
        self.value.copy_(taps[:, None] * taps)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H, W]."""
        return _blur(x, self.value)


def _blur(x: Tensor, kernel: Tensor) -> Tensor:
    if torch.compiler.is_compiling():  # the compiler accepts no function that has a `jvp`
        return _FusableBlur.apply(x, kernel)
    return _smoothed(x, kernel) if plain_operations() else _Blur.apply(x, kernel)


def _smoothed(x: Tensor, kernel: Tensor) -> Tensor:
    if device_type(x) != "cpu":
        if torch.compiler.is_compiling():  # one kernel that reads each pixel's neighbours
            return _smoothed_along(_smoothed_along(x, 2), 3)
        if plain_operations() or memory_format_of(x) == torch.channels_last:
            # Two means of 2x2, [1, 1] * [1, 1] = [1, 2, 1]: twice the passes of a convolution, but
            # no convolution of single channels with channels last.
            return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1, padding=1), 2, stride=1)
    # The kernel is exact in every type.
    return F.conv2d(x, kernel.to(x.dtype), padding=1, groups=x.shape[1])


def _smoothed_along(x: Tensor, dim: int) -> Tensor:
    """[1, 2, 1] / 4 along a dimension."""
    size = x.shape[dim]
    padded = F.pad(x, (0, 0, 1, 1) if dim == 2 else (1, 1))
    before, at, after = (padded.narrow(dim, i, size) for i in range(3))
    return (before + 2 * at + after) / 4


class _FusableBlur(torch.autograd.Function):
    """The blur is linear and equal to its own transpose, so it is its own derivative.

    Saying so spares autograd the slow backward pass of a depthwise convolution, at every order.
    """

    @staticmethod
    def forward(x: Tensor, kernel: Tensor) -> Tensor:
        return _smoothed(x, kernel)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        del output
        ctx.kernel = inputs[1]
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, None]:
        (grad,) = grad_outputs
        return None if grad is None else _blur(grad, ctx.kernel), None


class _Blur(_FusableBlur):
    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _blur(tangents[0], ctx.kernel)


def cross_fade(fine: Tensor, coarse: Tensor, fade: float | Tensor) -> Tensor:
    """Blend two resolutions of one shape: fine at fade 0, coarse at fade 1.

    A `fade` without dimensions is data to a compiler, a number part of the program.
    """
    if isinstance(fade, Tensor):
        fade = fade.to(fine.dtype)
    return torch.lerp(fine, coarse, fade)


def compute_type(weight: Tensor, dtype: torch.dtype) -> torch.dtype:
    """Type to compute in when asked for `dtype`: float32 stands for the weights' own type."""
    return weight.dtype if dtype == torch.float32 else dtype


def upsample_nearest(x: Tensor, factor: int = 2) -> Tensor:
    """[N, C, H, W] -> [N, C, factor * H, factor * W] by repetition."""
    return F.interpolate(x, scale_factor=factor, mode="nearest") if factor > 1 else x


def mean_pool(x: Tensor, factor: int = 2) -> Tensor:
    """[N, C, H, W] -> [N, C, H / factor, W / factor] by averaging."""
    return F.avg_pool2d(x, factor) if factor > 1 else x


def minibatch_stddev(x: Tensor, group_size: int) -> Tensor:
    """Append the standard deviation over groups of the minibatch as one feature map.

    [N, C, H, W] -> [N, C + 1, H, W]. Groups of up to `group_size` are strided: with M groups, group
    m holds samples m, m + M, m + 2M, ... ValueError where N is no multiple of the group.
    """
    N, C, H, W = x.shape
    G = min(group_size, N)
    if N % G:
        raise ValueError(f"minibatch of {N} does not divide into groups of {G}")
    y = x.reshape(G, N // G, C, H, W)  # [G, M, C, H, W]
    y = y - y.mean(dim=0, keepdim=True)
    y = (y.square().mean(dim=0) + 1e-8).sqrt()  # [M, C, H, W]
    y = y.mean(dim=(1, 2, 3)).reshape(-1, 1, 1, 1)  # [M, 1, 1, 1]
    y = y.repeat(G, 1, H, W)  # [N, 1, H, W]
    return torch.cat([x, y], dim=1)


def initialise(network: nn.Module, rng: torch.Generator) -> None:
    """Draw every weight of a new network from `rng`, in the order of its modules."""
    with torch.no_grad():
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset(rng)
