"""The variants that the benchmark compares train the same networks."""

import multiprocessing

import torch

from benchmarks.speed.plain import plain_layers
from benchmarks.speed.train_step import Setting, config_of, make_step, serve
from stylegan.configs import CONFIGS


def setting(variant, *, width=8, resolution=8):
    return Setting(
        variant=variant, width=width, resolution=resolution, minibatch=4, device="cpu", threads=1
    )


def test_width_512_is_the_papers_network():
    assert config_of(setting("fast", width=512, resolution=1024)).network == CONFIGS["F"].network


def test_plain_and_fast_steps_have_the_same_losses():
    fast = make_step(setting("fast"))
    found = [fast(), fast()]
    with plain_layers():
        plain = make_step(setting("plain"))
        expected = [plain(), plain()]
    # A step of Adam later, rounding has been divided by the root of small squares.
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=0.05, atol=0.01)
    rough = make_step(setting("bf16"))()
    torch.testing.assert_close(rough, expected[0], rtol=0.1, atol=0.1)


def test_a_served_variant_answers_with_seconds_then_memory_and_operations():
    here, there = multiprocessing.Pipe()
    for message in ("step", "step", "stop"):
        here.send(message)
    serve(there, setting("fast"))
    seconds = [here.recv(), here.recv()]
    memory, flop = here.recv()
    assert min(seconds) > 0
    assert memory >= 0
    assert flop > 1e6
