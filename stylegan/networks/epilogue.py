"""End of every layer of g: noise, bias, leaky ReLU, normalisation, style.

The elementwise chains bring their own derivatives: fewer passes over the maps than autograd makes
of them, and no `var_mean`, which takes fifteen times as long as the sums when channels come last.
Both compute in the type of their weights and give the type of their input.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from stylegan.configs import NetworkConfig
from stylegan.networks.convolution import LRELU_SLOPE, mask_lrelu, plain_operations
from stylegan.networks.layers import EqualizedLinear, pixel_norm

# Where a layer stands: at the start, first or second of a resolution.
Place = Literal["input", "upsampling", "second"]


def noise_bias_lrelu(
    x: Tensor, noise: Tensor | None, noise_weight: Tensor | None, bias: Tensor
) -> Tensor:
    """Leaky ReLU of x [N, C, H, W] + noise_weight [C] * noise [N or 1, 1, H, W] + bias [C]."""
    if plain_operations():  # a compiler fuses by itself
        return _noise_bias_lrelu(x, noise, noise_weight, bias)
    y: Tensor = _NoiseBiasLReLU.apply(x, noise, noise_weight, bias)
    return y


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-8) -> Tensor:
    """Adaptive instance normalisation (Equation 1): normalise each map, then scale and shift.

    x is [N, C, H, W]; scale and shift, y_s and y_b, are [N, C]; eps is added to the biased
    variance.
    """
    if plain_operations():
        return _adain(x, scale, shift, eps)[0]
    y: Tensor = _AdaIN.apply(x, scale, shift, eps)[0]
    return y


def _maps(values: Tensor) -> Tensor:
    """[..., C] -> [..., C, 1, 1]."""
    return values[..., None, None]


def _noise_bias_lrelu(
    x: Tensor, noise: Tensor | None, noise_weight: Tensor | None, bias: Tensor
) -> Tensor:
    y = x.to(bias.dtype) + _maps(bias)
    if noise is not None and noise_weight is not None:
        y = torch.addcmul(y, noise, _maps(noise_weight))
    return F.leaky_relu(y, LRELU_SLOPE).to(x.dtype)


class _NoiseBiasLReLU(Function):
    @staticmethod
    def forward(
        x: Tensor, noise: Tensor | None, noise_weight: Tensor | None, bias: Tensor
    ) -> Tensor:
        y = x.to(bias.dtype) + _maps(bias)
        if noise is not None and noise_weight is not None:
            y.addcmul_(noise, _maps(noise_weight))
        return F.leaky_relu_(y, LRELU_SLOPE).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, noise, noise_weight, bias = inputs
        ctx.save_for_backward(output, noise, noise_weight)
        ctx.save_for_forward(output, noise, noise_weight)
        ctx.own = bias.dtype

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (y, noise, noise_weight) = grad_outputs, ctx.saved_tensors
        by_x, by_noise, by_weight, by_bias = ctx.needs_input_grad
        g = mask_lrelu(g, y).to(ctx.own)
        return (
            g.to(y.dtype) if by_x else None,
            (g * _maps(noise_weight)).sum_to_size(noise.shape) if by_noise else None,
            (g * noise).sum(dim=(0, 2, 3)) if by_weight and noise is not None else None,
            g.sum(dim=(0, 2, 3)) if by_bias else None,
        )

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (y, noise, noise_weight), (dx, dn, dw, db) = ctx.saved_tensors, tangents
        moved = [] if dx is None else [dx]
        if dn is not None:
            moved.append(dn * _maps(noise_weight))
        if dw is not None and noise is not None:
            moved.append(noise * _maps(dw))
        if db is not None:
            moved.append(_maps(db))
        total = sum(moved[1:], start=moved[0]).to(y.dtype)
        return mask_lrelu(total.expand_as(y), y)


def _adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """AdaIN [N, C, H, W], the maps' means, and 1 / deviations, [N, C] each."""
    own = x.to(scale.dtype)
    mean = own.mean(dim=(2, 3))
    centred = own - _maps(mean)
    # From the centred maps: the mean square less the squared mean would lose a small deviation.
    rstd = (centred.square().mean(dim=(2, 3)) + eps).rsqrt()
    y = torch.addcmul(_maps(shift), centred, _maps(scale * rstd))
    return y.to(x.dtype), mean, rstd


class _AdaIN(Function):
    @staticmethod
    def forward(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, ...]:
        return _adain(x, scale, shift, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        (x, scale, _, ctx.eps), (_, mean, rstd) = inputs, output
        ctx.mark_non_differentiable(mean, rstd)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, scale, mean, rstd)
        ctx.save_for_forward(x, scale, mean, rstd)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        (g, _, _), (x, scale, mean, rstd) = grad_outputs, ctx.saved_tensors
        if g is None:
            return None, None, None, None
        if torch.is_grad_enabled():  # a second derivative goes through the statistics too
            _, mean, rstd = _adain(x, scale, scale, ctx.eps)
        g, centred = g.to(scale.dtype), x.to(scale.dtype) - _maps(mean)
        by_shift = g.sum(dim=(2, 3))
        by_scale = (g * centred).sum(dim=(2, 3)) * rstd
        # factor * (g - mean(g) - normalised * mean(g * normalised)), as two passes.
        factor, pixels = scale * rstd, x.shape[2] * x.shape[3]
        constant, slope = -factor * by_shift / pixels, -factor * rstd * by_scale / pixels
        by_x = torch.addcmul(_maps(constant), centred, _maps(slope))
        by_x = torch.addcmul(by_x, g, _maps(factor))
        return by_x.to(x.dtype), by_scale, by_shift, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (x, scale, mean, rstd), (dx, ds, db, _) = ctx.saved_tensors, tangents
        normalised = (x.to(scale.dtype) - _maps(mean)) * _maps(rstd)
        moved = torch.zeros_like(normalised)
        if dx is not None:
            dx = dx.to(scale.dtype)
            inner = (dx * normalised).mean(dim=(2, 3))
            along = dx - _maps(dx.mean(dim=(2, 3))) - normalised * _maps(inner)
            moved = along * _maps(scale * rstd)
        if ds is not None:
            moved = torch.addcmul(moved, normalised, _maps(ds))
        if db is not None:
            moved = moved + _maps(db)
        return moved.to(x.dtype), None, None


class Epilogue(nn.Module):
    """Noise, bias, leaky ReLU, normalisation, style."""

    fixed_noise: Tensor | None  # [1, 1, H, W]

    def __init__(self, config: NetworkConfig, resolution: int, place: Place) -> None:
        super().__init__()
        C = config.fmaps(resolution)
        self.resolution = resolution
        self.normalization = config.normalization
        self.eps = config.instance_eps
        self.adds_bias = not (config.bias_before_blur and place == "upsampling")
        self.bias = nn.Parameter(torch.zeros(C))
        self.noise_weight = nn.Parameter(torch.zeros(C)) if config.noise else None
        stores = config.noise and not (config.shared_noise and place == "second")
        noise = torch.empty(1, 1, resolution, resolution) if stores else None
        self.register_buffer("fixed_noise", noise)
        self.style = EqualizedLinear(config.w_dim, 2 * C, gain=1.0) if config.styles else None

    def reset_parameters(self, rng: torch.Generator) -> None:
        """Draw the fixed noise; bias and noise weight start at zero."""
        nn.init.zeros_(self.bias)
        if self.noise_weight is not None:
            nn.init.zeros_(self.noise_weight)
        if self.fixed_noise is not None:
            self.fixed_noise.normal_(generator=rng)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x [N, C, H, W], w [N, w_dim], noise [N or 1, 1, H, W] or None -> [N, C, H, W]."""
        bias = self.bias if self.adds_bias else torch.zeros_like(self.bias)
        x = noise_bias_lrelu(x, noise, self.noise_weight, bias)
        if self.normalization == "pixel":
            x = pixel_norm(x)
        if self.style is None:
            if self.normalization == "instance":
                ones = self.bias.new_ones(x.shape[:2])
                x = adain(x, ones, torch.zeros_like(ones), self.eps)
            return x
        y_s, y_b = self.style(w).chunk(2, dim=1)  # [N, C] each
        if self.normalization == "instance":
            return adain(x, y_s + 1, y_b, self.eps)
        return torch.addcmul(_maps(y_b.to(x.dtype)), x, _maps((y_s + 1).to(x.dtype)))
