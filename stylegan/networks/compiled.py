"""The parts of a step that need no second derivative, compiled by `torch.compile`.

D's own step differentiates D twice, which PyTorch's compiler cannot; drawing images and G's step
it can. There is one program for each level of detail with and without a fade, minibatch and type.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan.networks.discriminator import Discriminator
from stylegan.networks.generator import Generator
from stylegan.networks.synthesis import split_lod
from stylegan_eval.errors import UserError

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


class CompiledSynthesis:
    """Callable like `Generator.synthesis`, compiled.

    `generator`: Its weights are read at each call.
    """

    def __init__(self, generator: Generator) -> None:
        self.network = generator.g
        self._at_level = torch.compile(self.network.at_level, dynamic=False, fullgraph=True)

    def __call__(
        self,
        ws: Tensor,
        noise: Sequence[Tensor],
        lod: float = 0.0,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw images; see `Synthesis.forward`."""
        level, fade = split_lod(lod, self.network.resolution)
        maps = self.network.noise_maps(noise, lod)
        with torch._dynamo.config.patch(recompile_limit=_PROGRAMS):
            return self._at_level(ws, maps, level, _as_data(fade, ws), dtype)


class CompiledDiscriminator:
    """Callable like a `Discriminator`, compiled, for one derivative at most.

    `discriminator`: Its weights are read at each call.
    """

    def __init__(self, discriminator: Discriminator) -> None:
        self.network = discriminator
        self._at_level = torch.compile(discriminator.at_level, dynamic=False, fullgraph=True)

    def __call__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        lod: float = 0.0,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Score images; see `Discriminator.forward`."""
        level, fade = self.network.check(images, labels, lod)
        with torch._dynamo.config.patch(recompile_limit=_PROGRAMS):
            scores: Tensor = self._at_level(images, level, _as_data(fade, images), dtype)
        return self.network.pick(scores, labels)


def _as_data(fade: float, like: Tensor) -> Tensor | None:
    """The fade as a tensor on the device, so that its value is no part of the program."""
    return torch.full((), fade, device=like.device, dtype=like.dtype) if fade > 0 else None
