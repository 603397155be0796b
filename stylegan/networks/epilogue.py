"""End of every layer of g: noise, bias, leaky ReLU, normalisation, style.

The elementwise chains bring their own derivatives: fewer passes over the maps than autograd makes
of them. Both compute in the type of their weights and give the type of their input. What lies
between two passes is chosen by device, in `_kept_type` and `adain` alone. On a CPU it is in the
type of the weights, and the statistics are sums: elementwise operations are slower in bfloat16, and
`var_mean` takes fifteen times as long when channels come last. On other devices it is in the type
of the maps, as time goes with bytes; kernels convert what they read and write at no cost, and
PyTorch has kernels of the statistics that read the maps once.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from stylegan.configs import NetworkConfig
from stylegan.networks.convolution import LRELU_SLOPE, mask_lrelu, plain_operations
from stylegan.networks.devices import device_type
from stylegan.networks.layers import EqualizedLinear, pixel_norm

# Where a layer stands: at the start, first or second of a resolution.
Place = Literal["input", "upsampling", "second"]


def noise_bias_lrelu(
    x: Tensor, noise: Tensor | None, noise_weight: Tensor | None, bias: Tensor
) -> Tensor:
    """Leaky ReLU of x [N, C, H, W] + noise_weight [C] * noise [N or 1, 1, H, W] + bias [C]."""
    compiled = torch.compiler.is_compiling()
    if not compiled and plain_operations():
        return _noise_bias_lrelu(x, noise, noise_weight, bias)
    layer = _FusableNoiseBiasLReLU if compiled else _NoiseBiasLReLU
    y: Tensor = layer.apply(x, noise, noise_weight, bias, _kept_type(x, bias))
    return y


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-8) -> Tensor:
    """Adaptive instance normalisation (Equation 1): normalise each map, then scale and shift.

    x is [N, C, H, W]; scale and shift, y_s and y_b, are [N, C]; eps is added to the biased
    variance.
    """
    on_cpu = device_type(x) == "cpu"
    if plain_operations():
        return _adain(x, scale, shift, eps)[0] if on_cpu else _fusable_adain(x, scale, shift, eps)
    if not on_cpu and x.is_contiguous():
        return _adain_of_batch_norm(x, scale, shift, eps)
    y: Tensor = (_AdaIN if on_cpu else _NarrowAdaIN).apply(x, scale, shift, eps)[0]
    return y


def _kept_type(x: Tensor, weight: Tensor) -> torch.dtype:
    """Type of what lies between the passes over x."""
    return weight.dtype if device_type(x) == "cpu" else x.dtype


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


class _FusableNoiseBiasLReLU(Function):
    """For PyTorch's compiler, which accepts no function that has a `jvp`."""

    @staticmethod
    def forward(
        x: Tensor,
        noise: Tensor | None,
        noise_weight: Tensor | None,
        bias: Tensor,
        kept: torch.dtype,
    ) -> Tensor:
        y = x.to(kept) + _maps(bias.to(kept))
        if noise is not None and noise_weight is not None:
            y.addcmul_(noise, _maps(noise_weight))
        return F.leaky_relu_(y, LRELU_SLOPE).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, noise, noise_weight, bias, ctx.kept = inputs
        ctx.save_for_backward(output, noise, noise_weight)
        ctx.own = bias.dtype

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (y, noise, noise_weight) = grad_outputs, ctx.saved_tensors
        by_x, by_noise, by_weight, by_bias, _ = ctx.needs_input_grad
        g, own = mask_lrelu(g, y).to(ctx.kept), ctx.own
        at_noise = g * noise.to(ctx.kept) if by_weight and noise is not None else None
        return (
            g.to(y.dtype) if by_x else None,
            (g * _maps(noise_weight)).sum_to_size(noise.shape) if by_noise else None,
            None if at_noise is None else at_noise.sum(dim=(0, 2, 3), dtype=own),
            g.sum(dim=(0, 2, 3), dtype=own) if by_bias else None,
            None,
        )


class _NoiseBiasLReLU(_FusableNoiseBiasLReLU):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _FusableNoiseBiasLReLU.setup_context(ctx, inputs, output)
        ctx.save_for_forward(output, *inputs[1:3])

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (y, noise, noise_weight), (dx, dn, dw, db, _) = ctx.saved_tensors, tangents
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


class _NarrowAdaIN(_AdaIN):
    """Two passes (three in bfloat16) and five, in the type of x."""

    @staticmethod
    def forward(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> tuple[Tensor, ...]:
        var, mean = _var_mean(x, scale.dtype)
        rstd = (var + eps).rsqrt()
        factor = scale * rstd
        constant = torch.addcmul(shift, mean, factor, value=-1)
        y = torch.addcmul(_maps(constant), x, _maps(factor), out=torch.empty_like(x))
        return y, mean, rstd

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        (g, _, _), (x, scale, mean, rstd) = grad_outputs, ctx.saved_tensors
        if g is None or torch.is_grad_enabled():  # for a second derivative
            return _AdaIN.backward(ctx, *grad_outputs)
        own, pixels = scale.dtype, x.shape[2] * x.shape[3]
        g_mean = g.mean(dim=(2, 3), dtype=own)
        covariance = (g * x).mean(dim=(2, 3), dtype=own).addcmul_(g_mean, mean, value=-1)
        along = covariance * rstd  # mean of g times the normalised maps
        # factor * (g - g_mean - normalised * along), as two passes.
        factor = scale * rstd
        slope = factor * rstd * along
        constant = torch.addcmul(mean * slope, factor, g_mean, value=-1)
        by_x = torch.addcmul(_maps(constant), x, _maps(slope), value=-1, out=torch.empty_like(x))
        by_x.addcmul_(g, _maps(factor))
        return by_x, along * pixels, g_mean * pixels, None


def _var_mean(x: Tensor, own: torch.dtype) -> tuple[Tensor, Tensor]:
    """Biased variances and means of maps, [N, C] of type `own`."""
    if x.dtype == own:
        return torch.var_mean(x, dim=(2, 3), correction=0)
    # `var_mean` would round both to the type of x.
    var = torch.empty(x.shape[:2], dtype=own, device=x.device)
    torch.var(x, dim=(2, 3), correction=0, out=var)
    return var, x.mean(dim=(2, 3), dtype=own)


def _adain_of_batch_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """The maps of a contiguous x as the channels of one image, which takes no copy there."""
    maps, weight, bias = x.reshape(1, -1, *x.shape[2:]), scale.reshape(-1), shift.reshape(-1)
    y: Tensor = torch.native_batch_norm(
        maps, weight, bias, None, None, training=True, momentum=0.0, eps=eps
    )[0]
    return y.reshape(x.shape)


def _fusable_adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """One reduction, whose result one elementwise chain uses: what a compiler fuses whole."""
    own = x.to(scale.dtype)
    var, mean = torch.var_mean(own, dim=(2, 3), correction=0, keepdim=True)
    y = (own - mean) * ((var + eps).rsqrt() * _maps(scale)) + _maps(shift)
    return y.to(x.dtype)


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
