"""A generator of the user's own code, held to its word: what goes wrong in it is told in a line."""

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.protocols import ImageGenerator
from stylegan_eval.sampling import draw, to_uint8


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """Tell what the user's code raises as a `UserError` that names the place.

    What says that an operation lacks a derivative passes: its caller knows better.
    """
    try:
        yield
    except (UserError, NotImplementedError):
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{where}: failed with {type(error).__name__}: {said}"
            f" ({Path(last.filename).name}, line {last.lineno})"
        ) from error


def _whole(value: Any, name: str, where: str) -> int:
    # 32.0 would pass for a size until a shape is made of it.
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}: {name} must be a whole number from 1, got {value!r:.60}")
    return value


def _shapes(value: Any, where: str) -> tuple[tuple[int, int], ...]:
    try:
        return tuple((int(height), int(width)) for height, width in value)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where}: noise_shapes must be a list of (height, width), got {value!r:.60}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class GuardedGenerator:
    """A generator whose answers are checked; see `protocols.ImageGenerator`.

    Attributes
    ----------
    inner : ImageGenerator
        The user's.
    where : str
        What the command line calls it, for messages.
    z_dim, resolution : int
        As the user's generator says.
    noise_shapes : sequence of (int, int)
        Likewise.
    """

    inner: ImageGenerator
    where: str
    z_dim: int
    resolution: int
    noise_shapes: Sequence[tuple[int, int]]

    def mapping(self, z: Tensor) -> Tensor:
        """Map z [N, z_dim] to ws [N, L, w_dim]."""
        with told(self.where):
            ws = self.inner.mapping(z)
        self._check(ws, "mapping", z)
        if ws.ndim != 3 or len(ws) != len(z):
            raise UserError(
                f"{self.where}: mapping gives ws of shape {list(ws.shape)}, expected"
                f" [{len(z)}, layers, w_dim]"
            )
        return ws

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Draw images [N, 3, H, W]."""
        with told(self.where):
            images = self.inner.synthesis(ws, noise)
        self._check(images, "synthesis", ws)
        return images

    def _check(self, made: Any, part: str, given: Tensor) -> None:
        if not isinstance(made, Tensor):
            raise UserError(f"{self.where}: {part} gives {type(made).__name__}, expected a tensor")
        if not made.is_floating_point():
            raise UserError(
                f"{self.where}: {part} gives {made.dtype}; expected floats, images in about [-1, 1]"
            )
        if made.device != given.device:
            raise UserError(
                f"{self.where}: {part} gives a tensor on {made.device}, its input is on"
                f" {given.device}: make the generator on the device that the factory is given"
            )


def guard(generator: ImageGenerator, where: str, device: torch.device) -> GuardedGenerator:
    """Check what a generator says of itself, and draw one image with it before any other work.

    Raises
    ------
    UserError
        It does not keep to `protocols.ImageGenerator`, or fails.
    """
    with told(where):
        z_dim, resolution = generator.z_dim, generator.resolution
        noise_shapes = generator.noise_shapes
    guarded = GuardedGenerator(
        inner=generator,
        where=where,
        z_dim=_whole(z_dim, "z_dim", where),
        resolution=_whole(resolution, "resolution", where),
        noise_shapes=_shapes(noise_shapes, where),
    )
    to_uint8(draw(guarded, 0, range(1), device)[2])
    return guarded
