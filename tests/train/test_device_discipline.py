"""A whole training step on a device that refuses CPU tensors and waits: no GPU is needed for it."""

import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from stylegan.configs import CONFIGS
from stylegan.datasets.reals import RawBatch
from stylegan.networks import discriminator, mapping
from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import DrawsLabels, Generator, GeneratorAtLod
from stylegan.presets import apply_preset
from stylegan.runtime import Runtime
from stylegan.training import losses
from stylegan.training.loop import Steps
from stylegan.training.partition import Execution
from stylegan.training.schedule import training_point
from stylegan.training.state import TrainState
from stylegan_eval.engine import sampling
from stylegan_eval.metrics import image_pass, path_length
from stylegan_eval.metrics.features import FeatureCollector
from stylegan_eval.metrics.image_pass import GeneratedImages
from stylegan_eval.metrics.path_length import measure_pairs
from stylegan_eval.networks import lpips
from stylegan_eval.networks.inception import InceptionV3
from stylegan_eval.networks.network import FeatureNetwork
from stylegan_eval.networks.preprocess import tf1_inception_input
from stylegan_eval.settings.others import PplSettings
from tests.train import fake_device


def fresh(config, device):
    with torch.device(device):
        G, G_ema = (Generator(config.network, config.resolution) for _ in range(2))
        D = Discriminator(config.network, config.resolution)
    return TrainState.of(G, D, G_ema, config)


def raw_batch(n, size, labels):
    return RawBatch(
        torch.empty(n, 3, size, size, dtype=torch.uint8),
        torch.empty(n, dtype=torch.bool),
        torch.empty(n, labels),
        torch.empty(n, labels),
    )


def step(row, lod, labels, precision):
    """Take a step in two passes; where its results lie, or what went wrong."""
    config = apply_preset(CONFIGS[row], "tiny-16")
    config = replace(config, network=replace(config.network, label_size=labels))
    runtime, execution = Runtime(fake_device.device()), Execution(grad_accum=2, precision=precision)
    size = config.resolution >> int(lod)
    point = replace(training_point(0, config), lod=lod, resolution=size)
    with fake_device.setting_up():
        state = fresh(config, runtime.device)
        shares = execution.shares(point, config, runtime)
        batches = iter([raw_batch(share.size, size, labels) for share in shares])
        steps = Steps(state, config, runtime, execution)
        try:
            with fake_device.stepping():
                terms = steps.both(point, shares, batches)
        except (RuntimeError, fake_device.WaitError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return {key: str(term.device) for key, term in terms.items()}


CASES = [
    ("A", 0.0, 0, "fp32"),
    ("A", 0.5, 0, "fp32"),
    ("B", 0.5, 0, "fp32"),
    ("F", 0.0, 0, "fp32"),
    ("F", 1.0, 0, "fp32"),
    ("F", 0.5, 0, "fp32"),
    ("F", 0.5, 3, "fp32"),
    ("A", 0.5, 0, "bf16"),
    ("F", 0.5, 0, "bf16"),
]


@pytest.mark.parametrize(("row", "lod", "labels", "precision"), CASES)
def test_a_step_stays_on_the_device_and_never_waits_for_it(apart, row, lod, labels, precision):
    result = apart(step, row, lod, labels, precision)
    assert isinstance(result, dict), result
    penalty = "gp" if row == "A" else "r1"
    assert {"loss_D", "loss_G", penalty, "grad_norm_D", "grad_norm_G"} <= set(result)
    assert set(result.values()) == {"fakegpu:0"}


def look_at_a_block(batches, kinds, precision, *, counting, labels=0):
    """Draw a block of so many batches of 2 and show it to Inception.

    How often it was asked whether all pixels are finite, which is `counting` instead of asked; or
    what went wrong.
    """
    device = fake_device.device()
    config = apply_preset(CONFIGS["F"], "tiny-16")
    config = replace(config, network=replace(config.network, label_size=labels))
    # Latents are NumPy's, which has no data here.
    sampling.latents = lambda _seed, indices, width: torch.empty(len(indices), width)
    with fake_device.setting_up(), torch.inference_mode():
        with torch.device(device):
            generator = Generator(config.network, config.resolution)
            network = InceptionV3()
            head = torch.empty(1008, 2048)
        detector = FeatureNetwork(
            name="inception",
            resize="tf1",
            weights_sha256="",
            feature_dim=2048,
            preprocess=tf1_inception_input,
            network=network,
            device=device,
            head=head,
        )
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        drawn = GeneratorAtLod(generator, 0.0, dtype)
        images = GeneratedImages(
            generator=DrawsLabels(drawn, torch.empty(9, labels)) if labels else drawn,
            seed=0,
            batch=2,
            device=device,
        )
        collector = FeatureCollector(detector=detector, kinds=kinds, num=2 * batches).begin()
        asked = []
        image_pass.check_finite = asked.append if counting else sampling.check_finite
        try:
            with fake_device.stepping():
                for samples in images.batches(range(2 * batches)):
                    collector.add(samples)
        except (RuntimeError, fake_device.WaitError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return len(asked)


KINDS = [("moments",), ("moments", "vectors", "classes")]


@pytest.mark.parametrize(
    ("kinds", "precision", "labels"),
    [*((kinds, each, 0) for kinds in KINDS for each in ("fp32", "bf16")), (KINDS[0], "fp32", 3)],
)
def test_a_block_of_images_is_measured_without_waiting_but_for_one_check(
    apart, kinds, precision, labels
):
    """That all pixels are finite is asked before the last batch, whatever their number."""
    counted, asked = (
        apart(partial(look_at_a_block, counting=counting, labels=labels), 3, kinds, precision)
        for counting in (True, False)
    )
    assert counted == 1
    assert "_local_scalar_dense" in asked  # the check is a read, which is refused


def look_at_pairs(trunk):
    """Measure the paths of three pairs; the shapes of their lengths, or what went wrong."""
    device = fake_device.device()
    config = apply_preset(CONFIGS["F"], "tiny-16")
    settings = PplSettings(num=3, crop="none", sampling="both")
    # NumPy's numbers have no data here.
    path_length.latents = lambda _seed, indices, width: torch.empty(len(indices), width)
    path_length.path_positions = lambda _seed, pairs: torch.empty(len(pairs))
    with fake_device.setting_up():
        with torch.device(device):
            generator = GeneratorAtLod(Generator(config.network, 32), 0.0)
            network = lpips.AlexTrunk() if trunk == "alex" else lpips.VggTrunk(lpips._pool2)
            channels = lpips.AlexTrunk.channels if trunk == "alex" else lpips.CHANNELS
            roots = [torch.empty(width) for width in channels]
        network.requires_grad_(requires_grad=False)
        distance = lpips.PerceptualDistance(
            name=trunk, mark="", weights_sha256="", trunk=network, roots=roots, device=device
        )
        try:
            with fake_device.stepping():
                lengths = measure_pairs(generator, distance, settings, range(3), device)
        except (RuntimeError, fake_device.WaitError) as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0]}"
        return {name: list(length.shape) for name, length in lengths.items()}


@pytest.mark.parametrize("trunk", ["vgg", "alex"])
def test_path_lengths_are_measured_without_waiting(apart, trunk):
    """Finite differences: the device has no forward mode."""
    lengths = apart(look_at_pairs, trunk)
    assert lengths == {f"{space}{part}-finite": [3] for space in "zw" for part in ("full", "end")}


class Recorder(TorchDispatchMode):
    """Lists operations with the shapes and types of what they get, and with all numbers."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        flat, _ = tree_flatten((args, kwargs))
        self.operations.append((str(func), *map(described, flat)))
        return func(*args, **(kwargs or {}))


def described(value):
    if isinstance(value, torch.Tensor):
        return (tuple(value.shape), value.stride(), str(value.dtype))
    return str(value)


def two_steps(row, lods, label_size):
    """Operations of two steps at `lods`, with other images and another learning rate."""
    config = apply_preset(CONFIGS[row], "tiny-16")
    config = replace(config, network=replace(config.network, label_size=label_size))
    runtime, execution = Runtime(fake_device.device()), Execution()
    size, recorded = config.resolution >> int(lods[0]), []
    with fake_device.setting_up():
        state = fresh(config, runtime.device)
        steps = Steps(state, config, runtime, execution)
        for lod, lrate in zip((lods[0], *lods), (0.1, 0.1, 0.2), strict=True):
            point = replace(training_point(0, config), lod=lod, resolution=size, lrate=lrate)
            shares = execution.shares(point, config, runtime)
            batches = [raw_batch(share.size, size, label_size) for share in shares]
            with fake_device.stepping(), Recorder() as recorder:
                steps.both(point, shares, iter(batches))
            recorded.append(recorder.operations)
    return recorded[1:]  # the first step makes what the others keep


@pytest.mark.parametrize(
    ("row", "lods", "labels"),
    [("F", (0.75, 0.25), 0), ("F", (1.0, 1.0), 3), ("A", (0.75, 0.25), 0)],
)
def test_two_steps_of_a_phase_are_the_same_operations(apart, row, lods, labels):
    """So that they can be captured once and played again."""
    first, second = apart(two_steps, row, lods, labels)
    told = 1 + 1 + (lods[0] % 1 > 0) + 2 * (row == "F")  # images shown, rate, fade, two cutoffs
    assert [name for name, *_ in first[:told]] == ["aten.fill_.Scalar"] * told
    assert first[:told] != second[:told]
    assert len(first) > 300
    assert first[told:] == second[told:]


def broken_step(module_name, name, wrong):
    """A step of F in which `wrong(original)` stands for a function: what it is refused for."""
    module = sys.modules[module_name]
    original = getattr(module, name)
    setattr(module, name, wrong(original))
    try:
        return step("F", 0.5, 0, "fp32")
    finally:
        setattr(module, name, original)


def adds_a_cpu_tensor(original):
    return lambda x, *args, **kwargs: original(x, *args, **kwargs) + torch.zeros(2)[0:1]


def reads_a_value(original):
    def wrong(x, *args, **kwargs):
        y = original(x, *args, **kwargs)
        return y * 1 if y.detach().mean().item() > 0 else y

    return wrong


def copies_a_constant(original):
    return lambda x, *args: original(x, *args) * torch.tensor([2.0]).to(x.device)


def reads_in_backward(original):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return grad * 1 if grad.detach().sum().item() else grad

    return lambda *args: Wrong.apply(original(*args))


def mixes_in_double_backward(original):
    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, grad):
            return grad * 1

        @staticmethod
        def backward(ctx, grad):
            return grad + torch.zeros(2)[0:1]

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            return Backward.apply(grad)

    return lambda *args: Wrong.apply(original(*args))


@pytest.mark.parametrize(
    ("module", "name", "wrong", "message"),
    [
        (mapping, "pixel_norm", adds_a_cpu_tensor, "same device"),
        (losses, "d_logistic", reads_a_value, "WaitError: a value is read"),
        (losses, "g_logistic_nonsaturating", copies_a_constant, "WaitError: a blocking copy"),
        (losses, "d_logistic", reads_in_backward, "WaitError: a value is read"),
        (discriminator, "mean_pool", mixes_in_double_backward, "same device"),
    ],
)
def test_what_a_gpu_would_refuse_is_refused(apart, module, name, wrong, message):
    result = apart(broken_step, module.__name__, name, wrong)
    assert isinstance(result, str)
    assert message in result


def moments_on_the_cpu():
    """Step an optimizer whose moments were left behind."""
    with fake_device.setting_up():
        state = fresh(apply_preset(CONFIGS["F"], "tiny-16"), fake_device.device())
        optimizer = state.optimizer_G
        (kept,) = optimizer.state.values()
        kept["exp_avg"] = torch.zeros(len(state.flat_G.weights), device="cpu")
        try:
            with fake_device.stepping():
                optimizer.update(0.001)
        except RuntimeError as error:
            return str(error)
    return None


def test_an_optimizer_with_moments_elsewhere_is_refused(apart):
    assert apart(moments_on_the_cpu) == "fused Adam on ['cpu', 'fakegpu:0']"
