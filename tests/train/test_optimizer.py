"""Flat weights, Adam and the moving average: the official arithmetic, one vector at a time."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stylegan.configs import CONFIGS, ScheduleConfig
from stylegan.networks.generator import build_discriminator
from stylegan.presets import apply_preset
from stylegan.training.optimizer import Adam, Flat, ema_beta, update_ema

GOLDEN = Path(__file__).parents[1] / "golden"
FLOAT64 = torch.float64


class Vectors(nn.Module):
    """Parameters and nothing else."""

    def __init__(self, *values):
        super().__init__()
        self.values = nn.ParameterList(nn.Parameter(torch.as_tensor(value)) for value in values)


def put_gradients(network, *values):
    for parameter, value in zip(network.parameters(), values, strict=True):
        parameter.grad.copy_(torch.as_tensor(value))


# --- flat weights


def test_a_network_works_as_before_on_flat_weights():
    """Values, gradients and their layouts; and what the vector holds."""
    config = apply_preset(CONFIGS["F"], "tiny-16")
    plain = build_discriminator(config, seed=0)
    network = copy.deepcopy(plain)
    flat = Flat(network, tail=3)
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for D in (plain, network):
        D(images).sum().backward()
    weights, gradients = flat.views(flat.weights), flat.views(flat.gradients)
    for (name, old), new in zip(plain.named_parameters(), network.parameters(), strict=True):
        assert new.data_ptr() == weights[name].data_ptr()
        assert new.grad.data_ptr() == gradients[name].data_ptr()
        assert new.stride() == old.stride() == new.grad.stride()
        assert torch.equal(new, old)
        # A weight that took no part has no gradient in one, and zeros in the other.
        torch.testing.assert_close(
            new.grad, torch.zeros_like(old) if old.grad is None else old.grad
        )
    norms = [p.grad.square().sum() for p in network.parameters()]
    torch.testing.assert_close(flat.gradients.square().sum(), sum(norms))
    assert torch.equal(flat.tail, torch.zeros(3))


def test_gradients_of_several_passes_add_up():
    network = Vectors([1.0, 2.0])
    flat = Flat(network)
    for factor in (2.0, 3.0):
        (factor * network.values[0].sum()).backward()
    assert flat.gradients[:2].tolist() == [5, 5]


# --- Adam


def test_adam_with_a_reset():
    """The official optimizer's state is forgotten before the fifth step."""
    with np.load(GOLDEN / "optimizer.npz") as numbers:
        network = Vectors(numbers["adam_init"])
        adam = Adam(Flat(network), ScheduleConfig())
        for step in range(6):
            if step == 4:
                adam.reset()
            put_gradients(network, numbers["adam_grads"][step])
            adam.update(float(numbers["adam_lrates"][step]))
            expected = torch.from_numpy(numbers["adam_values"][step])
            torch.testing.assert_close(network.values[0].data, expected, rtol=2e-6, atol=1e-8)
        assert adam.skipped == 0


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_adam_against_its_definition_in_float64(beta1):
    """Tiny gradients, where the place of epsilon decides."""
    rng = np.random.default_rng(0)
    x, m, v = rng.normal(size=5), np.zeros(5), np.zeros(5)
    network = Vectors(x.copy())
    adam = Adam(Flat(network), ScheduleConfig(beta1=beta1))
    for t in range(1, 20):
        gradient = rng.normal(size=5) * 1e-8
        put_gradients(network, gradient)
        adam.update(0.01)
        m = beta1 * m + (1 - beta1) * gradient
        v = 0.99 * v + 0.01 * gradient**2
        rate = 0.01 * np.sqrt(1 - 0.99**t) / (1 - beta1**t)
        x = x - rate * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(network.values[0].detach().numpy(), x, rtol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_not_finite_skips_the_step(bad):
    network = Vectors([1.0, 1.0, 1.0], [1.0, 1.0])
    adam = Adam(Flat(network), ScheduleConfig())
    put_gradients(network, [1.0, 2.0, 3.0], [1.0, 1.0])
    assert adam.update(0.1).item() == 4.0  # norm of all gradients
    before = copy.deepcopy([network.state_dict(), adam.tree()])
    put_gradients(network, [1.0, 2.0, 3.0], [bad, 1.0])
    assert not adam.update(0.1).isfinite()
    assert adam.skipped.item() == 1
    assert adam.tree()["t"].item() == 1
    assert all(torch.equal(value, before[0][key]) for key, value in network.state_dict().items())
    for key, value in adam.tree()["exp_avg_sq"].items():
        assert torch.equal(value, before[1]["exp_avg_sq"][key])
    put_gradients(network, [1.0, 2.0, 3.0], [1.0, 1.0])
    adam.update(0.1)
    assert (adam.skipped.item(), adam.tree()["t"].item()) == (1, 2)
    assert not torch.equal(network.values[1].data, before[0]["values.1"])


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_adam_state_travels(beta1):
    """Saved and loaded, it continues as if never stopped."""
    rng = torch.Generator().manual_seed(0)
    first = Vectors(torch.randn(4, generator=rng))
    second = Vectors(torch.zeros(4))
    schedule = ScheduleConfig(beta1=beta1)
    adam, again = Adam(Flat(first), schedule), Adam(Flat(second), schedule)
    put_gradients(first, torch.randn(4, generator=rng))
    adam.update(0.1)
    second.load_state_dict(first.state_dict())
    again.load_tree(copy.deepcopy(adam.tree()))
    gradient = torch.randn(4, generator=rng)
    for network, optimizer in ((first, adam), (second, again)):
        put_gradients(network, gradient)
        optimizer.update(0.1)
    assert torch.equal(first.values[0], second.values[0])


# --- the moving average


def test_ema():
    official = json.loads((GOLDEN / "schedule.json").read_text())
    for minibatch, beta in official["ema_beta"].items():
        assert ema_beta(int(minibatch), 10.0) == pytest.approx(beta["beta_float64"], rel=1e-15)
    with np.load(GOLDEN / "optimizer.npz") as numbers:
        average, network = Vectors(numbers["ema_init"]), Vectors(numbers["ema_src"])
        flat, source = Flat(average), Flat(network)
        for minibatch, expected in zip(
            numbers["ema_minibatches"], numbers["ema_values"], strict=True
        ):
            update_ema(flat, source, ema_beta(int(minibatch), 10.0))
            torch.testing.assert_close(
                average.values[0].data, torch.from_numpy(expected), rtol=1e-6, atol=1e-7
            )
