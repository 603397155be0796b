"""What a training will cost, against what real steps allocate and what can be counted by hand."""

from dataclasses import replace
from itertools import accumulate

import click
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from stylegan.configs import CONFIGS
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.training.cost import micro_batches, phase_costs, seconds_left
from stylegan.training.loop import MicroBatch, Steps
from stylegan.training.partition import Execution, shares
from stylegan.training.rehearsal import Meter, Rehearsal, _Results
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState
from stylegan_eval.engine.options import Parsed
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import duration, parse_size, size_text

CPU = torch.device("cpu")
BF16 = Execution(precision="bf16")


def step_cost(config, lod, minibatch, execution=None):
    """Operations of the whole minibatch, and memory, of one step in one pass."""
    flop, memory = Rehearsal(config, execution or Execution()).step(lod, minibatch, minibatch)
    return flop * minibatch, memory


def narrow(row, resolution=32, width=32):
    """A row at a scale where activations outweigh weights."""
    config = CONFIGS[row]
    network = replace(
        config.network,
        fmap_base=resolution * width // 4,
        fmap_max=width,
        z_dim=width,
        w_dim=width,
        mapping_fmaps=width,
    )
    return replace(config, resolution=resolution, network=network)


def take_step(config, lod, own, at_a_time, execution):
    state, runtime = TrainState.fresh(config, Runtime(CPU), 0), Runtime(CPU)
    size = config.resolution >> int(lod)
    parts = shares(own, config.network.mbstd_group_size, at_a_time=at_a_time)
    passes = [MicroBatch(part, torch.zeros(part.size, 3, size, size)) for part in parts]
    steps = Steps(state, config, runtime, execution)
    point = replace(training_point(0, config), lod=lod, minibatch=own)
    steps.begin(point)
    steps.discriminator_step(passes)
    steps.generator_step(passes)


def allocations(events):
    for event in events:
        if event.name == "[memory]":
            yield event.start_time_ns, event.extra_fields.alloc_size
        yield from allocations(event.children)


@pytest.mark.parametrize(
    ("row", "lod", "own", "at_a_time", "execution"),
    [
        ("F", 0.5, 16, 16, Execution()),
        ("A", 0.0, 16, 16, Execution()),
        ("F", 0.0, 32, 8, Execution()),
        pytest.param(
            *("F", 0.0, 32, 32, BF16),
            marks=pytest.mark.skipif(
                not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
                reason="this processor computes bfloat16 by way of float32, in other memory",
            ),
        ),
    ],
)
def test_memory_is_what_a_real_step_allocates(row, lod, own, at_a_time, execution):
    config = narrow(row)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        take_step(config, lod, own, at_a_time, execution)
    tree = prof.profiler.kineto_results.experimental_event_tree()
    peak = max(accumulate(size for _, size in sorted(allocations(tree))))
    # The profiler sees what tensors take, not what a convolution works on.
    _, estimate = Rehearsal(config, execution, copies=0).step(lod, own, at_a_time)
    assert estimate == pytest.approx(peak, rel=0.03)


def test_a_meter_counts_what_lives_and_what_is_multiplied():
    with Meter() as meter:
        layer = nn.Linear(8, 4, bias=False, device="meta")
        x = torch.empty(16, 8, device="meta")
        assert meter.live == 4 * (8 * 4 + 16 * 8)
        y = layer(x)
        assert meter.live == 4 * (8 * 4 + 16 * 8 + 16 * 4)
        assert meter.flop == 2 * 16 * 8 * 4
        y.sum().backward()
        assert meter.flop == 2 * (2 * 16 * 8 * 4)  # x needs no gradient
        highest = meter.peak
        del x, y
        assert meter.live == 4 * (8 * 4 + 8 * 4)  # the weight and its gradient
        assert meter.peak == highest > meter.live


def test_a_meter_counts_what_a_convolution_moves_forth_and_back():
    with Meter() as meter:
        layer = nn.Conv2d(8, 16, 3, padding=1, bias=False, device="meta")
        x = torch.empty(4, 8, 32, 32, device="meta", requires_grad=True)
        meter.moved = 0
        y = layer(x)
        image, weight, out = 4 * x.numel(), 4 * layer.weight.numel(), 4 * y.numel()
        assert meter.moved == image + weight + out
        y[:2].view(2, -1)  # only another look at it
        assert meter.moved == image + weight + out
        gradient = torch.empty(y.shape, device="meta")
        meter.moved = 0
        torch.autograd.grad(y, (x, layer.weight), gradient)
    assert meter.moved == (out + image + weight) + (image + weight)  # reads and writes


def test_what_a_step_does_is_linear_in_its_images():
    rehearsal = Rehearsal(narrow("F"), Execution())
    four, eight, more = (rehearsal.work(0.0, images) for images in (4, 8, 32))
    for least, next_least, most in zip(four[:3], eight[:3], more[:3], strict=True):
        assert most == pytest.approx(least + 7 * (next_least - least), rel=1e-3)
    assert four[0] == rehearsal.step(0.0, 4, 4)[0] * 4
    assert four.launches == pytest.approx(more.launches, rel=0.01)


@pytest.mark.parametrize(
    ("row", "precision", "device_type"), [("A", "bf16", "cuda"), ("F", "fp32", "cpu")]
)
def test_what_is_remembered_of_operations_changes_no_count(
    row, precision, device_type, monkeypatch
):
    def counted():
        rehearsal = Rehearsal(narrow(row), Execution(precision=precision), device_type)
        return [(rehearsal.step(lod, 8, 4), rehearsal.work(lod, 4)) for lod in (0.0, 0.5)]

    remembered = counted()
    monkeypatch.setattr(_Results, "of", lambda _, func, args, kwargs: func(*args, **kwargs))
    assert counted() == remembered


def test_results_that_depend_on_more_than_forms_are_not_remembered():
    flat = torch.empty(6, device="meta")
    with Meter() as meter:
        for _ in range(2):
            flat.add_(1)  # in place
            same = torch.ops.aten._unsafe_view(flat, [2, 3])  # of the same storage
            assert same.untyped_storage()._cdata == flat.untyped_storage()._cdata
            assert (flat * 2).dtype == torch.float32
            assert (flat * 2.0).shape == (6,)
            assert (torch.ones(6) + 1).sum().item() == 12  # with data
    assert meter.launches == 2 * 7


def test_a_view_takes_no_memory():
    with Meter() as meter:
        x = torch.empty(16, 8, device="meta")
        views = [x.t(), x[:4], x.reshape(-1)]
        assert meter.live == 4 * 16 * 8
        del x
        assert meter.live == 4 * 16 * 8
        del views
        assert meter.live == 0


def test_passes_change_memory_and_not_operations():
    rehearsal = Rehearsal(narrow("F"), Execution())
    whole, halves, eighths = (rehearsal.step(0.0, 32, images) for images in (32, 16, 4))
    # Kernels are prepared once in each pass, which is little.
    assert whole[0] <= halves[0] <= eighths[0] <= 1.02 * whole[0]
    assert whole[1] > halves[1] > eighths[1]
    assert rehearsal.step(0.0, 32, 32) == whole  # nothing stays behind


def test_bfloat16_halves_the_activations():
    config = narrow("F", width=16)
    full, half = (step_cost(config, 0.0, 64, execution=e)[1] for e in (Execution(), BF16))
    assert 0.45 < half / full < 0.65


@pytest.mark.parametrize("kimg", [0.6, 1.0])
def test_phases_cover_the_training(tiny, kimg):
    """What is counted once serves schedules of any length."""
    tiny = replace(tiny, schedule=replace(tiny.schedule, total_kimg=kimg))
    costs = phase_costs(tiny)
    assert sum(cost.images for cost in costs) == tiny.schedule.total_kimg * 1000
    assert [cost.point.resolution for cost in costs] == sorted(c.point.resolution for c in costs)
    for cost in costs:
        flop, memory = step_cost(tiny, cost.point.lod, cost.point.minibatch)
        assert (cost.at_a_time, cost.memory) == (cost.point.minibatch, memory)
        assert cost.flop_per_image == pytest.approx(flop / cost.point.minibatch)


def test_processes_share_the_memory_of_a_minibatch(tiny):
    whole, half = phase_costs(tiny)[0], phase_costs(tiny, world=2)[0]
    assert half.at_a_time == whole.at_a_time / 2
    assert half.memory == step_cost(tiny, half.point.lod, half.at_a_time)[1] < whole.memory


@pytest.mark.parametrize("part", [0.0, 0.6])
def test_micro_batches_are_the_largest_that_fit(tiny, part):
    config = replace(tiny, schedule=replace(tiny.schedule, minibatch_base=16))
    rehearsal = Rehearsal(config, Execution())
    memory = {
        images: rehearsal.step(0.5, 16, images)[1] for images in (4, 8, 16)
    }  # fading in 16x16
    limit = int(memory[4] + part * (memory[16] - memory[4]))
    table = dict(micro_batches(config, limit))
    assert table[16] == max(images for images in memory if memory[images] <= limit)
    costs = phase_costs(config, Execution(at_a_time=tuple(table.items())))
    assert max(cost.memory for cost in costs) <= limit
    assert {cost.point.resolution: cost.at_a_time for cost in costs} == table


def test_a_group_that_does_not_fit_is_refused_in_one_line():
    config = apply_preset(CONFIGS["F"], "quick-32")
    with pytest.raises(UserError) as caught:
        micro_batches(config, 2**20)
    message = str(caught.value)
    assert message.startswith("a memory limit of 1.0 MiB is too small: 4 images at a time of 8x8")
    assert "\n" not in message


def test_time_left_follows_the_operations_left(tiny):
    costs = phase_costs(tiny)
    total = sum(cost.images * cost.flop_per_image for cost in costs)
    assert seconds_left(costs, 0, 10.0) == pytest.approx(total / costs[0].flop_per_image / 10)
    last = costs[-1]
    assert seconds_left(costs, last.point.nimg, 10.0) == pytest.approx(last.images / 10)
    assert seconds_left(costs, 600, 10.0) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        *[("10GiB", 10 * 2**30), ("500 MB", 5 * 10**8), ("1.5g", 15 * 10**8), (".5KiB", 512)],
        *[("4096", 4096), ("2 tib", 2**41), ("7B", 7)],
    ],
)
def test_sizes_are_read(text, count):
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text", ["", "GiB", "10 GB/s", "-1GiB", "1e9", "0", "0.1B", "10XB", "5i", 400 * "9"]
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UserError, match="10GiB or 500MB"):
        parse_size(text)


def test_an_option_takes_a_size():
    @click.command()
    @click.option("--limit", type=Parsed("size", parse_size))
    def command(limit):
        click.echo(limit)

    assert CliRunner().invoke(command, ["--limit", "2KiB"]).output == "2048\n"
    assert CliRunner().invoke(command, []).output == "\n"
    refused = CliRunner().invoke(command, ["--limit", "much"])
    assert refused.exit_code == 2
    assert "not 'much'" in refused.output


def test_sizes_and_durations_are_written_shortly():
    sizes = [size_text(n) for n in (512, 3.4 * 2**20, 12.3 * 2**30, 2**40)]
    assert sizes == ["512 B", "3.4 MiB", "12 GiB", "1.0 TiB"]
    times = [duration(n) for n in (45, 720, 12240, 708480)]
    assert times == ["45 s", "12 min", "3.4 h", "8.2 d"]


def test_a_meter_tells_dense_bytes_and_launches():
    with Meter() as meter:
        x = torch.empty(4, 8, 32, 32, device="meta")
        dense = torch.empty(16, 8, 3, 3, device="meta")
        single = torch.empty(16, 1, 3, 3, device="meta")
        assert (meter.launches, meter.dense) == (0, 0)
        y = functional.conv2d(x, dense, padding=1)
        moved = meter.dense
        assert moved == 4 * (x.numel() + dense.numel() + y.numel())
        z = functional.conv2d(y, single, padding=1, groups=16)  # a blur
        assert (meter.launches, meter.dense) == (2, moved)
        rows = (z + 1).view(4, -1)
        assert meter.launches == 3
        product = rows @ rows.t()
        assert meter.launches == 4
        assert meter.dense == moved + 4 * (2 * rows.numel() + product.numel())
        weight = dense.requires_grad_()
        out = functional.conv2d(x.requires_grad_(), weight, padding=1)
        gradient = torch.empty_like(out)
        meter.launches = 0
        torch.autograd.grad(out, (x, weight), gradient)
    assert meter.launches == 2  # a kernel for each gradient
