"""Forward-mode directional derivatives of a network."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv2d, torch.conv_transpose2d)
Map = Callable[[Tensor], Tensor]


class NoDerivativeError(Exception):
    """A function cannot be differentiated in forward mode; the message says why."""


class _Affine(torch.autograd.Function):
    """An affine function with the linear part that is its derivative."""

    @staticmethod
    def forward(x: Tensor, affine: Map, _linear: Map) -> Tensor:
        return affine(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Map, Map], output: Tensor) -> None:
        del output
        ctx.linear = inputs[2]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return ctx.linear(tangents[0])


def _tangent(x: Tensor) -> Tensor | None:
    """The derivative that `x` carries, if any."""
    tangent: Tensor | None = forward_ad.unpack_dual(x).tangent  # type: ignore[no-untyped-call]
    return tangent


def _moves(x: object) -> bool:
    return isinstance(x, Tensor) and _tangent(x) is not None


class _ConstantWeights(TorchFunctionMode):
    """Treat convolutions whose weights do not move as affine functions of their input.

    PyTorch convolves for the derivative by the weights even where that is zero: three convolutions
    where two do.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        if func not in _CONVOLUTIONS or len(args) < 2:
            return func(*args, **named)
        x, weight, *rest = args
        if _moves(weight) or any(map(_moves, rest)) or any(map(_moves, named.values())):
            return func(*args, **named)
        linear = {key: value for key, value in named.items() if key != "bias"}
        return _Affine.apply(
            x,
            lambda x: func(x, weight, *rest, **named),
            lambda x: func(x, weight, None, *rest[1:], **linear),
        )


def derivative(
    function: Callable[[Tensor], Sequence[Tensor]], point: Tensor, direction: Tensor
) -> list[Tensor]:
    """Derivative of a function at a point along a direction, by forward-mode differentiation.

    Returns tensors like the function's value; zero where that does not depend on the point.

    Parameters
    ----------
    function : callable
        Tensor -> tensors; may change nothing in place.
    point, direction : Tensor
        Of one shape.

    Raises
    ------
    NoDerivativeError
        An operation knows no derivative, or the function hides all its work from differentiation.
    """
    with torch.no_grad(), forward_ad.dual_level(), warnings.catch_warnings():
        # PyTorch, on first use, compiles formulas in a way that it itself has deprecated.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.script.* is deprecated")
        moving = forward_ad.make_dual(point, direction)  # type: ignore[no-untyped-call]
        try:
            with _ConstantWeights():
                values = function(moving)
        except NotImplementedError as error:
            raise NoDerivativeError(" ".join(str(error).split())[:200]) from error
        tangents = [(_tangent(value), value) for value in values]
        if all(tangent is None for tangent, _ in tangents):
            # Else a generator under inference_mode would seem to stand still.
            raise NoDerivativeError("it detaches its input or runs under torch.inference_mode")
        return [
            torch.zeros_like(value) if tangent is None else tangent for tangent, value in tangents
        ]
