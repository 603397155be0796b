"""The parts of a step that need no second derivative, compiled by `torch.compile`.

D's own step differentiates D twice, which PyTorch's compiler cannot; drawing images and G's step
it can. There is one program for each level of detail with and without a fade, minibatch and type.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.networks.synthesis import split_lod
from stylegan_eval.errors import UserError

# (ws, noise, lod) -> images; see `Synthesis.forward`.
Draw = Callable[[Tensor, Sequence[Tensor], float], Tensor]
# (images, labels, lod) -> scores; see `Discriminator.forward`.
Score = Callable[[Tensor, Tensor | None, float], Tensor]
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


def compiled_synthesis(generator: Generator, dtype: torch.dtype = torch.float32) -> Draw:
    """`Generator.synthesis`, compiled; weights are read at each call."""
    network = generator.g
    at_level = torch.compile(network.at_level, dynamic=False, fullgraph=True)

    def draw(ws: Tensor, noise: Sequence[Tensor], lod: float) -> Tensor:
        level, fade = split_lod(lod, network.resolution)
        maps = network.noise_maps(noise, lod)
        with torch._dynamo.config.patch(recompile_limit=_PROGRAMS):
            return at_level(ws, maps, level, _as_data(fade, ws), dtype)

    return draw


def compiled_discriminator(D: Discriminator, dtype: torch.dtype = torch.float32) -> Score:
    """A discriminator, compiled, for one derivative at most; weights are read at each call."""
    at_level = torch.compile(D.at_level, dynamic=False, fullgraph=True)

    def score(images: Tensor, labels: Tensor | None, lod: float) -> Tensor:
        level, fade = D.check(images, labels, lod)
        with torch._dynamo.config.patch(recompile_limit=_PROGRAMS):
            return D.pick(at_level(images, level, _as_data(fade, images), dtype), labels)

    return score


def _as_data(fade: float, like: Tensor) -> Tensor | None:
    """The fade as a tensor on the device, so that its value is no part of the program."""
    return torch.full((), fade, device=like.device, dtype=like.dtype) if fade > 0 else None
