"""Fast layers agree with the obvious ones, to the second derivative."""

import copy

import pytest
import torch
from torch.autograd import forward_ad

from benchmarks.speed import train_side
from stylegan.networks.epilogue import adain
from stylegan.networks.layers import (
    Blur,
    EqualizedConv,
    EqualizedLinear,
    FourShifts,
    conv_downsample_lrelu,
    initialise,
    minibatch_stddev,
    upsample_conv,
)
from tests.train import golden

RNG_SEED = 0


def randn(*shape):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(RNG_SEED), dtype=torch.float64
    )


@pytest.mark.parametrize("rotated", [False, True])
def test_upsample_conv_in_both_orientations(rotated):
    x, weight = randn(2, 3, 5, 4), randn(6, 3, 3, 3)
    shifts = FourShifts(rotated=rotated).double()
    torch.testing.assert_close(
        upsample_conv(x, weight, shifts), train_side.upsample_conv(x, weight, shifts)
    )


def test_conv_downsample_lrelu():
    x, weight, bias = randn(2, 3, 6, 4), randn(5, 3, 3, 3), randn(5)
    shifts = FourShifts(0.25).double()
    expected = train_side.conv_downsample_lrelu(x, weight, bias, shifts)
    torch.testing.assert_close(conv_downsample_lrelu(x, weight, bias, shifts), expected)


# PyTorch's own set-up of forward mode warns about torch.jit.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_blur_and_its_derivatives(layout):
    x, blur = randn(2, 3, 5, 6).contiguous(memory_format=layout).requires_grad_(), Blur(3).double()
    torch.testing.assert_close(blur(x), train_side.blur(x))
    assert torch.autograd.gradcheck(blur, x)
    assert torch.autograd.gradgradcheck(blur, x)
    tangent = randn(2, 3, 5, 6) + 1
    with forward_ad.dual_level():
        derivative = forward_ad.unpack_dual(blur(forward_ad.make_dual(x.detach(), tangent)))
        torch.testing.assert_close(derivative.tangent, train_side.blur(tangent))


def test_constants_are_there_however_a_network_comes_by_its_memory():
    expected = Blur(3).value, FourShifts(0.25, rotated=True).value
    with torch.device("meta"):
        allocated, assigned = (
            torch.nn.Sequential(Blur(3), FourShifts(0.25, rotated=True)) for _ in range(2)
        )
    allocated = allocated.to_empty(device="cpu")
    assigned.load_state_dict({}, assign=True)
    for network in (allocated, assigned.to("cpu"), copy.deepcopy(allocated).double()):
        assert network.state_dict() == {}
        for constant, value in zip(network, expected, strict=True):
            assert torch.equal(constant.value.float(), value)
    assert network[0].value.dtype == torch.float64


def test_adain_sets_mean_and_deviation():
    x, scale, shift = randn(2, 4, 8, 8) * 3 + 7, randn(2, 4), randn(2, 4)
    y = adain(x, scale, shift)
    torch.testing.assert_close(y.mean(dim=(2, 3)), shift)
    torch.testing.assert_close(y.std(dim=(2, 3), correction=0), scale.abs(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(y, train_side.adain(x, scale, shift))


def test_minibatch_stddev_groups_are_strided():
    x = randn(8, 2, 4, 4)
    y = minibatch_stddev(x, 4)
    assert torch.equal(y[:, :2], x)
    for m in range(2):
        group = x[m::2]  # samples m, m + 2, m + 4, m + 6
        expected = (group.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[m::2, 2], expected.expand(4, 4, 4))
    assert torch.equal(minibatch_stddev(x[:3], 4)[0, 2], minibatch_stddev(x[:3], 4)[2, 2])


def test_equalized_layers_keep_unit_variance():
    layers = torch.nn.ModuleList(
        [EqualizedLinear(256, 256, gain=1.0, lrmul=0.01), EqualizedConv(64, 64, 3, gain=1.0)]
    )
    initialise(layers, torch.Generator().manual_seed(1))
    layers.double()
    assert layers[0](randn(64, 256)).std().item() == pytest.approx(1, abs=0.05)
    assert layers[1](randn(4, 64, 16, 16)).std().item() == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("row", ["A", "F"])
@torch.no_grad()
def test_networks_on_plain_layers_are_the_same_networks(row):
    """What the speed is measured against computes the same images and scores."""
    G, D = golden.generator(row, torch.float64), golden.discriminator(row, torch.float64)
    z, reals = (golden.tensor(row, key, torch.float64) for key in ("latents", "reals"))

    def results():
        return G.synthesis(G.mapping(z), G.g.fixed_noise()), D(reals)

    fast = results()
    with train_side.plain_layers():
        torch.testing.assert_close(results(), fast, rtol=1e-10, atol=1e-10)
    assert torch.channels_last is not torch.contiguous_format
