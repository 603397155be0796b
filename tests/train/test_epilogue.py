"""The epilogue's operations equal the obvious ones, in value and in every derivative."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from benchmarks.speed import train_side
from stylegan.networks import epilogue
from stylegan.networks.epilogue import adain, noise_bias_lrelu

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def randn(seed, *shape, layout=torch.contiguous_format):
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, generator=rng, dtype=torch.float64)
    return (values.contiguous(memory_format=layout) if len(shape) == 4 else values).requires_grad_()


def value_and_gradients(operation, *inputs):
    y = operation(*inputs)
    cotangent = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    wanted = [t for t in inputs if isinstance(t, torch.Tensor)]
    return [y, *torch.autograd.grad((y * cotangent).sum(), wanted)]


def activation_inputs(N, C, H, W, *, layout=torch.contiguous_format, shared=False):
    x, noise = randn(0, N, C, H, W, layout=layout), randn(1, 1 if shared else N, 1, H, W)
    return x, noise, randn(2, C), randn(3, C)


shapes = st.tuples(*[st.integers(1, 5)] * 4)
any_shape = given(shape=shapes, layout=st.sampled_from(LAYOUTS), shared=st.booleans())


@any_shape
@settings(max_examples=30, deadline=None)
def test_noise_bias_lrelu_equals_the_three_steps(shape, layout, shared):
    x, noise, weight, bias = activation_inputs(*shape, layout=layout, shared=shared)
    for chosen in ((x, noise, weight, bias), (x, None, None, bias)):
        ours = value_and_gradients(noise_bias_lrelu, *chosen)
        expected = value_and_gradients(train_side.noise_bias_lrelu, *chosen)
        torch.testing.assert_close(ours, expected)


@any_shape
@settings(max_examples=30, deadline=None)
def test_adain_equals_instance_norm(shape, layout, shared):
    N, C, H, W = shape
    x, scale, shift = randn(0, N, C, H + 1, W, layout=layout), randn(1, N, C), randn(2, N, C)
    with torch.no_grad():
        x += 3 * shared  # a mean beside the deviation
    ours = value_and_gradients(adain, x, scale, shift)
    torch.testing.assert_close(ours, value_and_gradients(train_side.adain, x, scale, shift))


# PyTorch's own set-up of forward mode warns about torch.jit.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_derivatives_and_forward_mode(layout):
    x, scale, shift = randn(0, 2, 3, 4, 2, layout=layout), randn(1, 2, 3), randn(2, 2, 3)
    assert gradcheck(adain, (x, scale, shift), check_forward_ad=True)
    assert gradgradcheck(adain, (x, scale, shift))
    inputs = activation_inputs(2, 3, 4, 2, layout=layout)
    assert gradcheck(noise_bias_lrelu, inputs, check_forward_ad=True)
    assert gradgradcheck(noise_bias_lrelu, inputs)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
def test_forward_mode_along_a_part_of_the_inputs():
    x, noise, weight, bias = (t.detach() for t in activation_inputs(2, 3, 4, 2))
    scale, shift = randn(4, 2, 3).detach(), randn(5, 2, 3).detach()
    cases = [
        (lambda f, b: f.noise_bias_lrelu(x, noise, weight, b), bias),
        (lambda f, w: f.noise_bias_lrelu(x, noise, w, bias), weight),
        (lambda f, y_s: f.adain(x, y_s, shift), scale),
        (lambda f, y_b: f.adain(x, scale, y_b), shift),
    ]
    for function, point in cases:
        found, expected = (
            torch.func.jvp(partial(function, module), (point,), (torch.ones_like(point),))
            for module in (epilogue, train_side)
        )
        torch.testing.assert_close(found, expected)


def test_a_constant_map_normalises_to_its_shift():
    """Its deviation is 0, and of a mean square less a squared mean nothing but rounding is left."""
    x = torch.full((1, 1, 4, 4), 123.456).requires_grad_()
    scale, shift = torch.ones(1, 1, requires_grad=True), torch.full((1, 1), 0.5, requires_grad=True)
    y = adain(x, scale, shift)
    torch.testing.assert_close(y, torch.full_like(y, 0.5))
    (by_scale,) = torch.autograd.grad(y.sum(), scale)
    assert by_scale.abs().max() < 1e-3


def test_bfloat16_is_rounded_once():
    x, noise, weight, bias = (t.detach().float() for t in activation_inputs(2, 3, 8, 8))
    rough = x.bfloat16()
    exact = noise_bias_lrelu(rough.float(), noise, weight, bias)
    assert torch.equal(noise_bias_lrelu(rough, noise, weight, bias), exact.bfloat16())
    scale, shift = randn(4, 2, 3).detach().float(), randn(5, 2, 3).detach().float()
    assert torch.equal(adain(rough, scale, shift), adain(rough.float(), scale, shift).bfloat16())
