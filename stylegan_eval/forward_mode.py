"""Derivatives along a direction, in one pass and without differences."""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def derivative(
    function: Callable[[Tensor], Sequence[Tensor]], point: Tensor, direction: Tensor
) -> Sequence[Tensor]:
    """Derivative of a function at a point along a direction, by forward-mode differentiation.

    Parameters
    ----------
    function : callable
        Tensor -> tensors; may change nothing in place.
    point, direction : Tensor
        Of one shape.

    Returns
    -------
    sequence of Tensor
        Like the function's value.
    """
    with torch.no_grad(), warnings.catch_warnings():
        # PyTorch, on first use, compiles formulas in a way that it itself has deprecated.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.* is deprecated")
        _, tangents, *_ = torch.func.jvp(function, (point,), (direction,))
    return tangents
