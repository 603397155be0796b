"""Derivatives along a direction against PyTorch's own."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from stylegan_eval.metrics.forward_mode import NoDerivativeError, derivative


def tensors(*shapes):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]


X, V, WEIGHT, TRANSPOSED, BIAS = tensors(
    (2, 3, 8, 8), (2, 3, 8, 8), (4, 3, 3, 3), (3, 4, 4, 4), (4,)
)

CASES = {
    "constant weights": lambda x: F.conv2d(x, WEIGHT, BIAS, padding=1),
    "named arguments": lambda x: F.conv2d(x, WEIGHT, bias=BIAS, stride=2),
    "all named": lambda x: F.conv2d(input=x, weight=WEIGHT, bias=BIAS),
    "no bias": lambda x: F.conv2d(x, WEIGHT),
    "transposed": lambda x: F.conv_transpose2d(x, TRANSPOSED, BIAS, stride=2, padding=1),
    "weights that move": lambda x: F.conv2d(x, WEIGHT * x.mean(), BIAS),
    "bias that moves": lambda x: F.conv2d(x, WEIGHT, BIAS * x.mean()),
    "named bias that moves": lambda x: F.conv2d(x, WEIGHT, bias=BIAS * x.mean()),
    "weights alone move": lambda x: F.conv2d(X, WEIGHT * x.mean(), BIAS),
    "nested": lambda x: F.conv2d(F.conv2d(x, WEIGHT, BIAS).relu(), WEIGHT.transpose(0, 1)),
}


@pytest.mark.parametrize("case", list(CASES))
def test_derivative_equals_pytorchs(case):
    function = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        _, expected = torch.func.jvp(function, (X,), (V,))
    (found,) = derivative(lambda x: [function(x)], X, V)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_modules_with_trainable_weights_leave_no_graph_behind():
    layer = torch.nn.Conv2d(3, 4, 3).double()
    (found,) = derivative(lambda x: [layer(x)], X, V)
    assert not found.requires_grad
    torch.testing.assert_close(found, F.conv2d(V, layer.weight.detach()))


def test_parts_that_do_not_move_have_derivative_zero():
    moving, still = derivative(lambda x: [2 * x, X], X, V)
    assert torch.equal(moving, 2 * V)
    assert torch.equal(still, torch.zeros_like(X))


class Opaque(torch.autograd.Function):
    """An operation without a forward-mode derivative."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (torch.inference_mode()(lambda x: [2 * x]), "inference_mode"),
        (lambda x: [2 * x.detach()], "detaches"),
        (lambda x: [Opaque.apply(x)], "jvp"),
    ],
)
def test_hidden_work_is_refused_instead_of_taken_for_zero(function, reason):
    with pytest.raises(NoDerivativeError, match=reason):
        derivative(function, X, V)
