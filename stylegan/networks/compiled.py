"""The parts of a step that need no second derivative, compiled by `torch.compile`.

D's own step differentiates D twice, which PyTorch's compiler cannot; drawing images and G's step
it can. There is one program for each level of detail with and without a fade, minibatch and type.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from stylegan.networks.discriminator import Discriminator
from stylegan.networks.synthesis import Synthesis
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


def compiled_synthesis(network: Synthesis, dtype: torch.dtype = torch.float32) -> Draw:
    """`Synthesis.at_level`, compiled; weights are read at each call."""
    return _compiled(network.at_level, dtype)


def compiled_discriminator(D: Discriminator, dtype: torch.dtype = torch.float32) -> Score:
    """`Discriminator.at_level` for one derivative at most, compiled; as `compiled_synthesis`."""
    return _compiled(D.at_level, dtype)


def _compiled(function: Callable[..., Tensor], dtype: torch.dtype) -> Callable[..., Tensor]:
    program = torch.compile(function, dynamic=False, fullgraph=True)

    def run(*args: Any) -> Tensor:
        with torch._dynamo.config.patch(recompile_limit=_PROGRAMS):
            return program(*args, dtype)

    return run
