"""The parts of a step that need no second derivative, compiled by `torch.compile`.

D's own step differentiates D twice, which PyTorch's compiler cannot; drawing images and G's step
it can. There is one program for each level of detail with and without a fade, minibatch and type.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from stylegan_eval.errors import UserError

# (ws, noise, level, fade) -> images; see `Synthesis.at_level`.
Draw = Callable[[Tensor, Sequence[Tensor | None], int, Tensor | None], Tensor]
# (images, level, fade) -> scores; see `Discriminator.at_level`.
Score = Callable[[Tensor, int, Tensor | None], Tensor]
# Programs that PyTorch may keep of one function: ten levels, each alone and fading, for G's step
# and for drawing, with some to spare. Beyond it would go on without compiling.
_PROGRAMS = 64


def check_toolchain(device: torch.device) -> None:
    """Make sure that something can compile for `device`, by compiling a sum."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except RuntimeError as error:
        needed = "Triton" if device.type == "cuda" else "a C++ compiler (g++, or the one CXX names)"
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise UserError(
            f"compiling for {device.type} needs {needed}; install it or leave compiling out "
            f"({reason})"
        ) from error


def compiled(at_level: Callable[..., Tensor], dtype: torch.dtype) -> Callable[..., Tensor]:
    """`at_level` of a network, compiled for one derivative at most; weights are read at each call.

    A `Draw` or a `Score`, in this type.
    """
    program = torch.compile(at_level, dynamic=False, fullgraph=True)

    def run(*args: Any) -> Tensor:
        with torch._dynamo.config.patch(recompile_limit=_PROGRAMS):
            return program(*args, dtype)

    return run
