"""Memory formats: by device and precision, by option, and the same numbers in each."""

import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch

from stylegan.runtime import Runtime
from stylegan.snapshot import Provenance
from stylegan.training.loop import MicroBatch, Steps
from stylegan.training.partition import Execution, shares
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState, load_state
from stylegan_eval.engine.layout import LAYOUTS, Layout, layout_for, memory_format
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
def test_weights_and_gradients_have_it(name):
    execution = Execution(layout=name)
    state = TrainState.fresh(CONFIG, Runtime(torch.device("cpu")), 0, execution)
    for network in state.networks.values():
        for kernel in kernels(network):
            assert kernel.is_contiguous(memory_format=memory_format(name))
            if kernel.requires_grad:
                assert kernel.grad.stride() == kernel.stride()


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
