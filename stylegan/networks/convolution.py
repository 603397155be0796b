"""The discriminator's layer: a convolution and leaky ReLU with fast derivatives of every order.

A convolution is bilinear in its input x and kernel k. With y = F(x, k) and a cotangent g of y,

    F(x, k)                has the derivatives  T(g, k) in x  and  W(x, g) in k,
    T(g, k), cotangent h,  has                  F(h, k) in g  and  W(h, g) in k,
    W(x, g), cotangent v,  has                  T(g, v) in x  and  F(x, v) in g,

where T is the transposed convolution and W the gradient of the kernel: three operations, closed
under differentiation. For the second derivatives that R1 asks for PyTorch takes images for kernels
instead, in a layout that must be copied first, which takes many times as long as W.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function, forward_ad

from stylegan.networks.devices import memory_format_of

LRELU_SLOPE = 0.2


def plain_operations() -> bool:
    """Whether only PyTorch's own operations will do: what compiles or records knows no others."""
    if torch.compiler.is_compiling():
        return True
    return torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def convolve_lrelu(x: Tensor, kernel: Tensor, bias: Tensor, *, stride: int = 1) -> Tensor:
    """Zero-padded convolution to 1 / stride of the size, then leaky ReLU with the paper's slope.

    [N, in, H, W], kernel [out, in, K, K] with K - stride even, bias [out] -> [N, out, H / stride, W
    / stride]; `stride` is 1 or 2.
    """
    moves = forward_ad.unpack_dual(x).tangent is not None  # type: ignore[no-untyped-call]
    if moves or plain_operations():  # neither takes others
        y = F.conv2d(x, kernel, bias, stride, _padding(kernel.shape[-1], stride))
        return F.leaky_relu(y, LRELU_SLOPE)
    # R1 begins with the gradient by the images alone. A function of Python computes all its
    # gradients, so that by the kernel enters through a zero of its own, which autograd then skips:
    # the tuple hides x, or the zero would seem to lie on a path to the images.
    y = _OfInput.apply(x, kernel, bias, stride)
    zero = _OfKernel.apply((x,), kernel, bias, stride)
    return _LeakyReLU.apply(y, zero)


def convolve(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """F: [N, in, H, W], [out, in, K, K] -> [N, out, H / stride, W / stride]."""
    return _Convolve.apply(x, kernel, stride)


def convolve_transposed(g: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """T: [N, out, H, W], [out, in, K, K] -> [N, in, stride H, stride W]."""
    return _ConvolveTransposed.apply(g, kernel, stride)


def kernel_gradient(x: Tensor, g: Tensor, size: int, stride: int) -> Tensor:
    """W: [N, in, stride H, stride W], [N, out, H, W] -> [out, in, size, size]."""
    return _KernelGradient.apply(x, g, size, stride)


def mask_lrelu(g: Tensor, output: Tensor) -> Tensor:
    """Cotangent times the slope of leaky ReLU, which the sign of its output tells."""
    if torch.compiler.is_compiling():  # in the type of g: a sum of it then reads no wider map
        return torch.where(output > 0, g, g * LRELU_SLOPE)
    return _Masked.apply(g, output)


def _padding(size: int, stride: int) -> int:
    return (size - stride + 1) // 2


class _OfInput(Function):
    """F(x, k) + bias, differentiated by x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.stride = stride
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(kernel, x)  # x is for `_OfKernel`, and seen by autograd's hooks here
        return F.conv2d(x, kernel, bias, stride, _padding(kernel.shape[-1], stride))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        (kernel, _), (g,) = ctx.saved_tensors, grad_outputs
        if g is None or not ctx.needs_input_grad[0]:
            return None, None, None, None
        return convolve_transposed(g, kernel, ctx.stride), None, None, None


class _OfKernel(Function):
    """Stands for a zero, with the derivatives of F(x, k) + bias by kernel and bias."""

    @staticmethod
    def forward(
        ctx: Any, hidden: tuple[Tensor], kernel: Tensor, _bias: Tensor, stride: int
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        (x,) = hidden
        ctx.x, ctx.size, ctx.stride = x, kernel.shape[-1], stride
        N, _, H, W = x.shape
        # It is never read: no memory is taken, and not even its one number is set.
        return x.new_empty(()).expand(N, len(kernel), H // stride, W // stride)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        (g,) = grad_outputs
        if g is None:
            return None, None, None, None
        _, by_kernel, by_bias, _ = ctx.needs_input_grad
        dk = kernel_gradient(ctx.x, g, ctx.size, ctx.stride) if by_kernel else None
        return None, dk, g.sum(dim=(0, 2, 3)) if by_bias else None, None


class _LeakyReLU(Function):
    """Leaky ReLU of y + zero. PyTorch's own adds a tensor of zeros in the second derivative."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, _zero: Tensor) -> Tensor:
        output = F.leaky_relu(y, LRELU_SLOPE)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        (output,), (g,) = ctx.saved_tensors, grad_outputs
        if g is None:  # a penalty on the gradient alone never comes by here
            return None, None
        masked = mask_lrelu(g, output)
        return masked, masked


class _Masked(Function):
    """Linear in the cotangent; its own transpose."""

    @staticmethod
    def forward(g: Tensor, output: Tensor) -> Tensor:
        masked: Tensor = torch.ops.aten.leaky_relu_backward(
            g, output, LRELU_SLOPE, self_is_result=True
        )
        return masked

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (output,), (h,) = ctx.saved_tensors, grad_outputs
        return mask_lrelu(h, output), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (output,), (dg, _) = ctx.saved_tensors, tangents
        return None if dg is None else mask_lrelu(dg, output)


class _Convolve(Function):
    """F."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, stride: int) -> Tensor:
        ctx.stride = stride
        ctx.save_for_backward(x, kernel)
        return F.conv2d(x, kernel, None, stride, _padding(kernel.shape[-1], stride))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (x, kernel), (g,), stride = ctx.saved_tensors, grad_outputs, ctx.stride
        by_x, by_kernel, _ = ctx.needs_input_grad
        return (
            convolve_transposed(g, kernel, stride) if by_x else None,
            kernel_gradient(x, g, kernel.shape[-1], stride) if by_kernel else None,
            None,
        )


class _ConvolveTransposed(Function):
    """T."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, kernel: Tensor, stride: int) -> Tensor:
        ctx.stride = stride
        ctx.save_for_backward(g, kernel)
        return F.conv_transpose2d(g, kernel, None, stride, _padding(kernel.shape[-1], stride))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (g, kernel), (h,), stride = ctx.saved_tensors, grad_outputs, ctx.stride
        by_g, by_kernel, _ = ctx.needs_input_grad
        return (
            convolve(h, kernel, stride) if by_g else None,
            kernel_gradient(h, g, kernel.shape[-1], stride) if by_kernel else None,
            None,
        )


class _KernelGradient(Function):
    """W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, size: int, stride: int) -> Tensor:
        ctx.stride = stride
        ctx.save_for_backward(x, g)
        shape = (g.shape[1], x.shape[1], size, size)
        kernel = torch.empty(  # tells the shape
            shape, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x)
        )
        padding = _padding(size, stride)
        gradients: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            *(g, x, kernel, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1),
            [False, True, False],
        )
        return gradients[1]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (x, g), (v,), stride = ctx.saved_tensors, grad_outputs, ctx.stride
        by_x, by_g, _, _ = ctx.needs_input_grad
        return (
            convolve_transposed(g, v, stride) if by_x else None,
            convolve(x, v, stride) if by_g else None,
            None,
            None,
        )
