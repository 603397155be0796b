"""Memory formats: by device and precision, by option, and the same numbers in each."""

import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.speed import train_side
from stylegan.networks.devices import memory_format_of, playing
from stylegan.networks.layers import Blur
from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.loop import MicroBatch, Steps
from stylegan.training.partition import Execution, shares
from stylegan.training.rehearsal import Rehearsal
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState, load_state
from stylegan_eval.engine.device import LAYOUTS, Layout, layout_for, memory_format
from stylegan_eval.settings.common import Precision
from tests.train import golden

NAMES = get_args(Layout)
CONFIG = golden.small_config("F")


def test_every_precision_has_a_layout_on_every_device():
    on_cuda = {precision: layout_for("cuda", precision) for precision in get_args(Precision)}
    assert on_cuda == {"fp32": "contiguous", "tf32": "channels_last", "bf16": "channels_last"}
    assert {LAYOUTS["cpu", precision] for precision in ("fp32", "bf16")} == {"channels_last"}
    assert layout_for("mps", "bf16") == layout_for("cuda", "bf16")


def test_an_option_takes_precedence():
    assert Execution(precision="bf16").layout_on("cuda") == "channels_last"
    for name in NAMES:
        assert {Execution(layout=name).layout_on(kind) for kind in ("cpu", "cuda")} == {name}
        assert Execution(layout=name).name == "fp32"  # numbers do not depend on it


def state_of(execution):
    """The official networks: in fresh ones AdaIN multiplies by 1e4 what rounding leaves."""
    G, D = golden.generator("F"), golden.discriminator("F")
    layout = execution.memory_format("cpu")
    G, D = G.to(memory_format=layout), D.to(memory_format=layout)
    return TrainState.of(G, D, copy.deepcopy(G), CONFIG)


def kernels(network):
    return [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_all_maps_have_it(name):
    execution = Execution(layout=name)
    state = TrainState.fresh(CONFIG, Runtime(torch.device("cpu")), 0, execution)
    for network in state.networks.values():
        for kernel in kernels(network):
            assert kernel.is_contiguous(memory_format=memory_format(name))
            if kernel.requires_grad:
                assert kernel.grad.stride() == kernel.stride()
    maps = []

    def look(_module, _args, y):
        maps.append(memory_format_of(y))

    for network in (state.G, state.D):
        for module in network.modules():
            if type(module).__name__ in ("ConvLayer", "InputLayer", "ConvLReLU", "DownBlock"):
                module.register_forward_hook(look)
    step(state, execution)
    assert set(maps) == {memory_format(name)}


def step(state, execution, lod=0.5):
    runtime = Runtime(torch.device("cpu"))
    (share,) = shares(8, CONFIG.network.mbstd_group_size)
    rng = torch.Generator().manual_seed(1)
    size = CONFIG.resolution >> int(lod)
    batch = MicroBatch(share, torch.rand(share.size, 3, size, size, generator=rng) * 2 - 1)
    steps = Steps(state, CONFIG, runtime, execution)
    point = replace(training_point(0, CONFIG), lod=lod, minibatch=8)
    steps.begin(point)
    terms = steps.discriminator_step([batch])
    return terms | steps.generator_step([batch])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_gives_the_same_numbers_in_each(precision):
    results = []
    for name in NAMES:
        execution = Execution(layout=name, precision=precision)
        state = state_of(execution)
        terms = step(state, execution)
        gradients = [p.grad.contiguous().flatten() for p in state.G.parameters()]
        gradients += [p.grad.contiguous().flatten() for p in state.D.parameters()]
        results.append((torch.stack(list(terms.values())), torch.cat(gradients)))
    bound = 1e-4 if precision == "fp32" else 2**-4
    for one, other in zip(*results, strict=True):
        assert (one - other).norm() < bound * one.norm()


def test_a_checkpoint_goes_on_in_another():
    runtime = Runtime(torch.device("cpu"))
    state = state_of(Execution(layout="channels_last"))
    step(state, Execution())
    tree = state.snapshot(CONFIG, Provenance(seed=0, data="", version=""))
    other = load_state(tree, runtime, Execution(layout="contiguous"))
    for name, network in state.networks.items():
        for ours, theirs in zip(
            network.parameters(), other.networks[name].parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)
    moments = [state.optimizer_G.tree()["exp_avg_sq"], other.optimizer_G.tree()["exp_avg_sq"]]
    assert all(torch.equal(moments[0][key], moments[1][key]) for key in moments[0])


@pytest.mark.parametrize("name", NAMES)
def test_on_cuda_a_blur_is_the_same(name):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 6, generator=rng, dtype=torch.float64)
    x = x.contiguous(memory_format=memory_format(name)).requires_grad_()
    results = []
    for operation in (Blur(3).double(), train_side.blur):
        with playing("cuda"):
            y = operation(x)
            (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
            (second,) = torch.autograd.grad(slope.square().sum(), x)
        results.append((y, slope, second))
    torch.testing.assert_close(*results)
    assert results[0][0].is_contiguous(memory_format=memory_format(name))


class SingleChannels(TorchDispatchMode):
    """Memory formats of the maps that convolutions of single channels take."""

    def __init__(self):
        super().__init__()
        self.formats = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default and args[8] > 1:
            self.formats.add(memory_format_of(args[0]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("precision", "formats"),
    [("fp32", {torch.contiguous_format}), ("tf32", set()), ("bf16", set())],
)
def test_no_blur_on_cuda_is_a_convolution_with_channels_last(precision, formats):
    rehearsal = Rehearsal(CONFIG, Execution(precision=precision), "cuda")
    with SingleChannels() as seen:
        rehearsal.work(0.0, 8)
    assert seen.formats == formats
