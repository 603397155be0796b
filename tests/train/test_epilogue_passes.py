"""The epilogue's arithmetic for devices other than the CPU: values, passes over memory, one graph.

No GPU is needed: its arithmetic runs on CPU tensors, and is counted on tensors without data.
"""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend
from torch._guards import detect_fake_mode
from torch._inductor.debug import DebugContext
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._inductor.virtualized import V
from torch.autograd import gradcheck, gradgradcheck

from benchmarks.speed import train_side
from stylegan.configs import CONFIGS
from stylegan.networks.devices import playing
from stylegan.networks.epilogue import adain, noise_bias_lrelu
from stylegan.networks.generator import Generator
from stylegan.networks.layers import Blur
from stylegan.presets import apply_preset
from stylegan.training.partition import Execution
from stylegan.training.rehearsal import Meter, Rehearsal
from tests.train import golden

LAYOUTS = (torch.contiguous_format, torch.channels_last)
SHAPE = (4, 8, 16, 16)


@pytest.fixture
def on_cuda():
    with playing("cuda"):
        yield


def inputs(shape, dtype=torch.float32, layout=torch.contiguous_format, device="cpu"):
    """x of type `dtype`; noise, noise weight, bias, scale, shift, cotangent."""
    N, C, H, W = shape
    shapes = [shape, (N, 1, H, W), (C,), (C,), (N, C), (N, C), shape]
    own = torch.float64 if dtype == torch.float64 else torch.float32
    rng = torch.Generator().manual_seed(0)
    if device == "cpu":
        values = [torch.randn(each, generator=rng, dtype=own) for each in shapes]
    else:
        values = [torch.empty(each, dtype=own, device=device) for each in shapes]
    for i in (0, 6):
        values[i] = values[i].to(dtype).contiguous(memory_format=layout)
    return [value.requires_grad_(i not in (1, 6)) for i, value in enumerate(values)]


def layer(lrelu, normalise, x, noise, weight, bias, scale, shift):
    return normalise(lrelu(x, noise, weight, bias), scale, shift)


def value_and_gradients(lrelu, normalise, values):
    *given, cotangent = values
    y = layer(lrelu, normalise, *given)
    wanted = [value for value in given if value.requires_grad]
    return [y.detach(), *torch.autograd.grad(y, wanted, cotangent)]


def exact(values):
    """By the obvious layer in float64."""
    wide = [value.detach().double().requires_grad_(value.requires_grad) for value in values]
    return value_and_gradients(train_side.noise_bias_lrelu, train_side.adain, wide)


def errors(found, expected):
    return [
        ((ours.double() - theirs).norm() / theirs.norm()).item()
        for ours, theirs in zip(found, expected, strict=True)
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_values_and_gradients_are_those_of_the_obvious_layer(on_cuda, dtype, bound, layout):
    values = inputs(SHAPE, dtype, layout)
    found = value_and_gradients(noise_bias_lrelu, adain, values)
    assert max(errors(found, exact(values))) < bound
    for map_ in found[:2]:  # y, and the gradient by x
        assert map_.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bfloat16_is_as_near_as_its_rounded_input_allows(layout):
    """The CPU rounds x and y; each of two roundings between them adds as much as that of x.

    Most of it is a pixel near zero on the other side of the leaky ReLU.
    """
    shape = (8, 32, 32, 32)
    values, expected = inputs(shape, torch.bfloat16, layout), exact(inputs(shape))
    on_cpu = value_and_gradients(noise_bias_lrelu, adain, values)
    with playing("cuda"):
        found = value_and_gradients(noise_bias_lrelu, adain, values)
    assert [each.dtype for each in found] == [each.dtype for each in on_cpu]
    for ours, theirs in zip(errors(found, expected), errors(on_cpu, expected), strict=True):
        assert ours < min(3 * theirs, 2**-4)
    for map_ in found[:2]:
        assert map_.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_float32_is_that_of_the_cpu(layout):
    values = inputs(SHAPE, layout=layout)
    expected = value_and_gradients(noise_bias_lrelu, adain, values)
    with playing("cuda"):
        found = value_and_gradients(noise_bias_lrelu, adain, values)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# PyTorch's own set-up of forward mode warns about torch.jit.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:FutureWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_two_derivatives_and_forward_mode(on_cuda, layout):
    *values, _ = inputs((2, 3, 4, 2), torch.float64, layout)
    whole = partial(layer, noise_bias_lrelu, adain)
    assert gradcheck(whole, values, check_forward_ad=True)
    assert gradgradcheck(whole, values)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_constant_map_normalises_to_its_shift(on_cuda, layout):
    """Scaled by 1e4: from a mean taken off after the scale, as many roundings are left."""
    x = torch.full((2, 3, 4, 4), 1.0).contiguous(memory_format=layout)
    y = adain(x, torch.ones(2, 3), torch.full((2, 3), 0.5))
    torch.testing.assert_close(y, torch.full_like(y, 0.5), rtol=0, atol=1e4 * 2**-23)


@cache
def passes(kind, dtype, layout):
    """Bytes that a layer's forward and backward move, as multiples of those of its float32 map."""
    shape = (4, 16, 256, 256)
    values = inputs(shape, dtype, layout, device="meta")
    counts = []
    with playing(kind), Meter() as meter:
        y = layer(noise_bias_lrelu, adain, *values[:-1])
        counts.append(meter.moved)
        torch.autograd.grad(y, [v for v in values if v.requires_grad], values[-1])
    one = 4 * values[0].numel()
    return counts[0] / one, (meter.moved - counts[0]) / one


@pytest.mark.parametrize(
    ("dtype", "layout", "forward", "backward"),
    [
        # Bias, noise, leaky ReLU: 6; the statistics: 1; scale and shift: 2. PyTorch has no
        # operation that adds two products or knows a leaky ReLU of a sum.
        (torch.float32, torch.contiguous_format, 9, 12),
        (torch.float32, torch.channels_last, 9, 17),
        # Halves; variance and mean are two operations.
        (torch.bfloat16, torch.channels_last, 10 / 2, 17 / 2),
        (torch.bfloat16, torch.contiguous_format, 9 / 2, 12 / 2),
    ],
)
def test_a_layer_passes_over_its_map_so_often(dtype, layout, forward, backward):
    found = passes("cuda", dtype, layout)
    assert found == pytest.approx((forward, backward), rel=0.03)  # the noise comes on top
    before = passes("cpu", dtype, layout)
    assert all(now < once for now, once in zip(found, before, strict=True))


def fused_bytes(function, parameters, *values):
    """Bytes that a compiled function's forward and backward move outside convolutions.

    PyTorch's compiler plans the kernels of a CPU, which are counted and not built.
    """
    counts = []

    def count(module, examples):
        graph = GraphLowering(module)
        mode = detect_fake_mode(examples)
        with V.set_graph_handler(graph), V.set_debug_handler(DebugContext()), V.set_fake_mode(mode):
            graph.run(*examples)
            graph.init_wrapper_code()
            graph._update_scheduler()
            kernels = graph.count_bytes()[1]  # in words of four bytes
        counts.append(4 * sum(words for node, words in kernels if not node.is_extern()))
        outputs = next(iter(reversed(module.graph.nodes))).args[0]
        kinds = [None if node is None else node.meta["val"] for node in outputs]
        return make_boxed_func(lambda *_: [_zeros(kind) for kind in kinds])

    counting = aot_autograd(
        fw_compiler=count,
        bw_compiler=count,
        decompositions=select_decomp_table,
        partition_fn=partial(min_cut_rematerialization_partition, compiler="inductor"),
    )
    torch._dynamo.reset()
    with playing("cuda"):
        compiled = torch.compile(function, backend=counting, dynamic=False, fullgraph=True)
        y = compiled(*values)
        torch.autograd.grad(y, parameters, torch.zeros_like(y), allow_unused=True)
    torch._dynamo.reset()
    return counts


def _zeros(kind):
    if not isinstance(kind, torch.Tensor):
        return kind
    return torch.empty_strided(kind.shape, kind.stride(), dtype=kind.dtype).zero_()


# The first set-up of PyTorch's compiler warns about its own parts.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("dtype", "layout", "forward", "backward"),
    [
        # Read for the statistics, and read and written again: nothing between them is kept.
        (torch.float32, torch.contiguous_format, 3, 5),
        (torch.bfloat16, torch.contiguous_format, 3 / 2, 5 / 2),
        # Of one loop over [N, HW, C] and one over [NHW, C], kernels of a CPU do not become one.
        (torch.bfloat16, torch.channels_last, 3 / 2, 9 / 2),
    ],
)
def test_a_compiled_layer_passes_over_its_map_three_times(dtype, layout, forward, backward):
    *values, _ = inputs((4, 16, 256, 256), dtype, layout)
    whole = partial(layer, noise_bias_lrelu, adain)
    found = fused_bytes(whole, [v for v in values if v.requires_grad], *values)
    one = 4 * values[0].numel()
    assert [size / one for size in found] == pytest.approx([forward, backward], abs=0.3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_compiled_blur_reads_and_writes_its_map_once(dtype, layout):
    x = torch.zeros((4, 16, 64, 64), dtype=dtype).contiguous(memory_format=layout)
    x.requires_grad_()
    assert fused_bytes(Blur(16), [x], x) == [2 * x.nbytes] * 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("layout", "most"), [(torch.contiguous_format, 0.55), (torch.channels_last, 0.64)]
)
def test_a_compiled_generator_in_bfloat16_moves_half_the_bytes(layout, most):
    """Weights stay float32 and are converted."""
    full = sum(generator_bytes(torch.float32, torch.contiguous_format))
    half = sum(generator_bytes(torch.bfloat16, layout))
    assert most - 0.08 < half / full <= most


@cache
def generator_bytes(dtype, layout):
    """Of a compiled G, forward and back, at 16 px with 64 images."""
    config = apply_preset(CONFIGS["F"], "demo-32")
    G = Generator(config.network, config.resolution).to(memory_format=layout)
    ws = torch.zeros(64, G.g.num_layers, config.network.w_dim)
    noise = [n.expand(64, -1, -1, -1).contiguous() for n in G.g.fixed_noise(1.0)]
    draw = partial(G.g.at_level, level=1, fade=None, dtype=dtype)
    return fused_bytes(draw, list(G.g.parameters()), ws, noise)


@cache
def step(precision, kind):
    config = replace(CONFIGS["F"], resolution=32)
    return Rehearsal(config, Execution(precision=precision), kind).work(0.0, 64)


@pytest.mark.parametrize(("precision", "most"), [("fp32", 0.85), ("bf16", 0.62)])
def test_a_step_passes_over_memory_less_often_than_with_the_arithmetic_of_a_cpu(precision, most):
    now, before = step(precision, "cuda"), step(precision, "cpu")
    assert now.moved - now.dense < most * (before.moved - before.dense)
    assert now.launches < before.launches


def test_bfloat16_moves_less_than_float32():
    """Not half as much: weights, their gradients and sums stay float32."""
    full, half = step("fp32", "cuda"), step("bf16", "cuda")
    assert half.dense < 0.6 * full.dense
    assert half.moved - half.dense < 0.75 * (full.moved - full.dense)


# The first set-up of PyTorch's compiler warns about its own parts.
@pytest.mark.filterwarnings("ignore")
def test_the_generator_compiles_to_one_graph_forward_and_back(on_cuda):
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    G = golden.generator("F")
    ws, noise = G.mapping(golden.tensor("F", "latents")).detach(), G.g.fixed_noise(2.0)
    draw = torch.compile(G.g.at_level, backend=counter, dynamic=False, fullgraph=True)
    results = []
    for function in (draw, G.g.at_level):
        G.zero_grad()
        images = function(ws, noise, 2, None, torch.float32)
        images.square().mean().backward()
        gradients = [p.grad.flatten() for p in G.g.parameters() if p.grad is not None]
        results.append([images.detach(), torch.cat(gradients)])
    assert counter.frame_count == 1
    torch._dynamo.reset()
    for compiled, eager in zip(*results, strict=True):
        assert (compiled - eager).norm() < 1e-4 * eager.norm()
