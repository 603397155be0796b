"""`--deterministic`: written down, and of operations that have a deterministic form on a GPU."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stylegan.checkpoint import newest_checkpoint, read_checkpoint
from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.training.partition import Execution
from stylegan.training.rehearsal import Rehearsal
from stylegan.training.settings import RunSettings
from tests.fresh import start_run

# For which PyTorch says "throws a RuntimeError" of CUDA tensors (`use_deterministic_algorithms`).
REFUSED = {
    *("_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "avg_pool3d_backward"),
    *("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "max_pool3d_backward"),
    *("max_unpool2d", "max_unpool3d", "grid_sampler_2d_backward", "grid_sampler_3d_backward"),
    *("upsample_linear1d_backward", "upsample_bicubic2d_backward", "upsample_trilinear3d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward"),
    *("replication_pad1d_backward", "replication_pad3d_backward", "nll_loss2d_forward"),
    *("_ctc_loss_backward", "_embedding_bag", "put_", "histc", "bincount", "kthvalue", "median"),
    *("resize_", "cumsum", "scatter_reduce"),
}


@pytest.mark.parametrize(
    "execution",
    [Execution(precision=p, compile=c, deterministic=d) for p, c, d in [
        ("fp32", False, False), ("fp32", False, True), ("bf16", True, False), ("tf32", True, True),
    ]],
)  # fmt: skip
def test_names_are_read_as_they_were_written(execution):
    assert Execution.named(execution.name) == execution


class Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.add(func._overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("row", ["A", "F"])
def test_a_step_has_no_operation_that_is_refused_on_a_gpu(row):
    config = apply_preset(CONFIGS[row], "tiny-16")
    with Names() as names:
        Rehearsal(config, Execution()).step(0.5, 8, 8)
    assert "convolution_backward" in names.seen
    assert names.seen & REFUSED == set()


def test_a_deterministic_run_says_so_and_on_a_cpu_is_the_same(
    tiny, data, cache, runtime, tmp_path, monkeypatch
):
    short = replace(tiny, schedule=replace(tiny.schedule, total_kimg=0.06))
    ends = []
    for deterministic in (False, True):
        settings = RunSettings(
            out=tmp_path / str(deterministic),
            data=data,
            cache=cache,
            execution=Execution(deterministic=deterministic),
            tensorboard=False,
        )
        start_run(short, settings, runtime)
        ends.append(read_checkpoint(newest_checkpoint(settings.out)))
    usual, same = ends
    assert same.provenance.execution == ((0, "fp32+deterministic"),)
    assert not torch.are_deterministic_algorithms_enabled()
    for name, value in usual.networks["G"].items():
        assert torch.equal(value, same.networks["G"][name])
