"""Generators that are no checkpoint of a known kind: a factory in Python, or TorchScript.

Both run the code that the user names; a checkpoint (`loading`) never does.
"""

import hashlib
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_eval.errors import UserError
from stylegan_eval.files import sha256_of
from stylegan_eval.protocols import ImageGenerator, LoadedGenerator

_PARTS = ("z_dim", "resolution", "noise_shapes", "mapping", "synthesis")


@dataclass(frozen=True, kw_only=True)
class PlainGenerator:
    """A generator without a mapping of its own: w is z, and no noise.

    Attributes
    ----------
    draw : callable
        z [N, z_dim] -> images [N, 3, R, R] in about [-1, 1].
    z_dim : int
        Length of a latent.
    resolution : int
        R.
    """

    draw: Callable[[Tensor], Tensor]
    z_dim: int
    resolution: int

    @property
    def noise_shapes(self) -> Sequence[tuple[int, int]]:
        """None."""
        return ()

    def mapping(self, z: Tensor) -> Tensor:
        """Z [N, z_dim] -> ws [N, 1, z_dim], the same numbers."""
        return z[:, None]

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """Draw images [N, 3, R, R]."""
        return self.draw(ws[:, 0])


def generator_from(spec: str, device: torch.device) -> LoadedGenerator:
    """Make the generator that `spec` names. Runs the code it names.

    Parameters
    ----------
    spec : str
        ``package.module:factory``, a callable ``device -> generator``; or a TorchScript file. The
        generator has the parts of `protocols.ImageGenerator`, or is a callable z -> images with
        the attributes ``z_dim`` and ``resolution``.
    device : torch.device
        Where it shall be.

    Raises
    ------
    UserError
        It cannot be imported or read, or what comes is no generator.
    """
    if Path(spec).is_file():
        made, digest = _scripted(Path(spec), device), sha256_of(Path(spec))
    else:
        made, digest = _made(spec, device)
    if isinstance(made, LoadedGenerator):
        return made
    if isinstance(made, nn.Module):
        made.eval()
        for parameter in made.parameters():  # a scripted module lacks requires_grad_
            parameter.requires_grad = False
    return LoadedGenerator(
        generator=_as_generator(made, spec), description=spec, sha256=digest, mirrored=False
    )


def _made(spec: str, device: torch.device) -> tuple[Any, str]:
    """What the factory returns, and a digest of its code's file and of the weights."""
    module_name, colon, name = spec.partition(":")
    if not colon:
        raise UserError(
            f"--generator {spec}: neither a TorchScript file nor package.module:factory"
        )
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` has it; console scripts do not
        sys.path.insert(0, here)
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"--generator {spec}: cannot be imported ({error})") from error
    try:
        made = factory(device)
    except TypeError as error:
        raise UserError(
            f"--generator {spec}: must be a function of one argument, the torch.device ({error})"
        ) from error
    digest = hashlib.sha256(spec.encode())
    source = inspect.getsourcefile(inspect.unwrap(factory)) if callable(factory) else None
    if source is not None:
        digest.update(Path(source).read_bytes())
    if isinstance(made, nn.Module):
        for key, value in made.state_dict().items():
            digest.update(key.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return made, digest.hexdigest()


def _scripted(path: Path, device: torch.device) -> nn.Module:
    try:
        with warnings.catch_warnings():  # deprecated, and what people have
            warnings.simplefilter("ignore", FutureWarning)
            module: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                path, map_location=device
            )
    except (RuntimeError, ValueError, OSError) as error:
        first = next(iter(str(error).splitlines()), "")
        raise UserError(f"--generator {path}: not a TorchScript file ({first})") from error
    return module


def _as_generator(made: Any, spec: str) -> ImageGenerator:
    lacking = [part for part in _PARTS if not hasattr(made, part)]
    if not lacking:
        generator: ImageGenerator = made
        return generator
    if callable(made) and hasattr(made, "z_dim") and hasattr(made, "resolution"):
        return PlainGenerator(draw=made, z_dim=int(made.z_dim), resolution=int(made.resolution))
    raise UserError(
        f"--generator {spec}: gives {type(made).__name__}, which lacks {', '.join(lacking)};"
        " a callable z -> images with z_dim and resolution will do too"
    )
