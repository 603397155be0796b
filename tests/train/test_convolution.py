"""The discriminator's layer equals PyTorch's own, to the second derivative, in any shape."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from benchmarks.speed import train_side
from stylegan.networks import convolution
from stylegan.networks.layers import FourShifts, conv_downsample_lrelu, conv_lrelu


def randn(seed, *shape):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_()


def down(layer):
    """A layer that halves the size, with its constant."""
    shifts = FourShifts(0.25).double()
    return lambda x, weight, bias: layer(x, weight, bias, shifts)


def derivatives(layer, x, weight, bias):
    """Value, gradients, and the gradients of a penalty on the gradient by x, as in R1."""
    y = layer(x, weight, bias)
    cotangent = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    first = torch.autograd.grad((y * cotangent).sum(), (x, weight, bias), retain_graph=True)
    (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    second = torch.autograd.grad(slope.square().sum(), (x, weight, bias))
    return [y, *first, *second]


shapes = st.tuples(*[st.integers(1, 4)] * 5)  # N, in, out, H / 2, W / 2


@given(shape=shapes, seed=st.integers(0, 99), layout=st.sampled_from([True, False]))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize(
    ("fast", "obvious", "size"),
    [
        (conv_lrelu, train_side.conv_lrelu, 1),
        (conv_lrelu, train_side.conv_lrelu, 3),
        (down(conv_downsample_lrelu), down(train_side.conv_downsample_lrelu), 3),
    ],
)
def test_equals_the_obvious_layer(fast, obvious, size, shape, seed, layout):
    N, C, C_out, H, W = shape
    x, weight = randn(seed, N, C, 2 * H, 2 * W), randn(seed + 1, C_out, C, size, size)
    if layout:
        x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    inputs = x, weight, randn(seed + 2, C_out)
    for ours, expected in zip(
        derivatives(fast, *inputs), derivatives(obvious, *inputs), strict=True
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("stride", "size"), [(1, 1), (1, 3), (2, 4)])
def test_every_operation_has_two_derivatives(stride, size):
    x, g = randn(0, 2, 3, 4, 6), randn(1, 2, 5, 4 // stride, 6 // stride)
    kernel, bias = randn(2, 5, 3, size, size), randn(3, 5)
    for operation, inputs in (
        (lambda *a: convolution.convolve_lrelu(*a, stride=stride), (x, kernel, bias)),
        (lambda *a: convolution.convolve(*a, stride), (x, kernel)),
        (lambda *a: convolution.convolve_transposed(*a, stride), (g, kernel)),
        (lambda *a: convolution.kernel_gradient(*a, size, stride), (x, g)),
    ):
        assert gradcheck(operation, inputs)
        assert gradgradcheck(operation, inputs)


def test_the_gradient_by_the_images_alone_leaves_out_that_by_the_kernel(monkeypatch):
    calls = []
    wanted = convolution.kernel_gradient

    def counted(*args):
        calls.append(args)
        return wanted(*args)

    monkeypatch.setattr(convolution, "kernel_gradient", counted)
    x, kernel, bias = randn(0, 2, 3, 4, 6), randn(1, 5, 3, 3, 3), randn(2, 5)
    y = convolution.convolve_lrelu(
        convolution.convolve_lrelu(x, kernel[:3], bias[:3]), kernel, bias
    )
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    assert calls == []
    slope.square().sum().backward()
    assert len(calls) == 2  # of the gradient's two kernels


# PyTorch's own set-up of forward mode warns about torch.jit.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_forward_mode():
    x, kernel, bias = (
        t.detach() for t in (randn(0, 2, 3, 4, 6), randn(1, 5, 3, 3, 3), randn(2, 5))
    )
    direction = randn(3, *x.shape).detach()
    with forward_ad.dual_level():
        moving = convolution.convolve_lrelu(forward_ad.make_dual(x, direction), kernel, bias)
        found = forward_ad.unpack_dual(moving).tangent
    _, expected = torch.func.jvp(
        lambda x: train_side.conv_lrelu(x, kernel, bias), (x,), (direction,)
    )
    torch.testing.assert_close(found, expected)
