"""Generators that are no checkpoint of a known kind: factories, TorchScript, objects, functions.

All run the user's code; a checkpoint (`loading`) never does.
"""

import hashlib
import importlib
import inspect
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.protocols import ImageGenerator, LoadedGenerator
from stylegan_eval.engine.sampling import draw
from stylegan_eval.errors import UserError
from stylegan_eval.generators.guarded import guard
from stylegan_eval.generators.trial import change, mode_note
from stylegan_eval.generators.user_code import reason, seeded, user_errors
from stylegan_eval.images.memory import Range, Seen, batches_of, images_alone
from stylegan_eval.plugins import sources

# How deep in the attributes of an object its weights are looked for.
_DEEPEST = 5
_OF_CALLABLES = ("z_dim", "resolution")
_PARTS = (*_OF_CALLABLES, "noise_shapes", "mapping", "synthesis")
_ROUNDING = 0.01  # mean change of bytes that counts as rounding
_EXAMPLES = {"z_dim": "512", "resolution": "64", "noise_shapes": "()"}  # how they are given


@dataclass(frozen=True, eq=False)
class GivenGenerator:
    """A generator that a program holds."""

    made: Any  # As a factory would return it

    def __str__(self) -> str:
        return type(self.made).__name__


@dataclass(frozen=True, eq=False)
class ImageFunction:
    """A function ``(n, seed) -> images`` that draws `n` images: what `batches_of` takes."""

    draw: Callable[[int, int], Any]
    value_range: Range | None = None  # of its floats
    seen: Seen = field(default_factory=Seen)  # of all that it has drawn in this process

    def __str__(self) -> str:
        module = getattr(self.draw, "__module__", None) or "?"
        return f"{module}.{getattr(self.draw, '__qualname__', type(self.draw).__name__)}"

    def images(self, n: int, seed: int) -> NDArray[np.uint8]:
        """Draw uint8 [n, 3, H, W]."""
        with user_errors(str(self)):
            made = images_alone(self.draw(n, seed), str(self))
            drawn = list(batches_of(made, str(self), self.value_range, self.seen))
        count = sum(map(len, drawn))
        if count != n:
            raise UserError(f"{self}: asked for {n} images, drew {count}")
        if len({batch.shape[1:] for batch in drawn}) > 1:
            raise UserError(f"{self}: draws images of unlike sizes: draw all of one size")
        return np.concatenate(drawn)

    def trial(self) -> tuple[tuple[int, int], str]:
        """Height and width of the images; a note where the seed does not decide what is drawn."""
        first, again, other = (
            torch.from_numpy(self.images(2, seed)).float() for seed in (0, 0, 1)
        )  # [2, 3, H, W]
        size, note = (first.shape[2], first.shape[3]), ""
        if change(first, again) > _ROUNDING:
            note = (
                f"{self} draws other images for an equal seed: the same call gives other digits"
                " each time; make its random numbers of the seed"
            )
        elif torch.equal(first, other):
            note = (
                f"{self} draws the same images for seeds 0 and 1: if it ignores its seed, each"
                " batch holds the same ones and the value is of that few; make its random numbers"
                " of the seed, or hand in the images themselves"
            )
        return size, note


@dataclass(frozen=True, kw_only=True)
class PlainGenerator:
    """A generator without a mapping of its own: w is z, and no noise."""

    draw: Callable[[Tensor], Tensor]  # z [N, z_dim] -> images [N, 3, R, R] in about [-1, 1]
    z_dim: int  # Length of a latent
    resolution: int  # R

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


def generator_from(
    spec: str | GivenGenerator, device: torch.device, value_range: Range | None = None
) -> LoadedGenerator:
    """Make the generator that `spec` names, or take one. Runs the code it names.

    A name is ``package.module:factory``, a callable ``device -> generator``, or a TorchScript file.
    The generator has the parts of `protocols.ImageGenerator`, or is a callable z -> images with the
    attributes ``z_dim`` and ``resolution``. `value_range` is that of its images, if not about [-1,
    1].
    """
    where = f"--generator {spec}"
    if isinstance(spec, GivenGenerator):
        # What a package loads says itself what it is.
        made = getattr(spec.made, "loaded", spec.made)
        known = isinstance(made, LoadedGenerator)
        digest, where = "" if known else _digest(str(spec), None, made), str(spec)
    elif Path(spec).is_file():
        made, digest = _scripted(Path(spec), device), sha256_of(Path(spec))
    else:
        made, digest = _made(spec, device)
    if isinstance(made, LoadedGenerator):
        return guard(made, where, device, value_range)
    modes: dict[nn.Module, bool] = {}
    if isinstance(made, nn.Module):
        modes = {part: getattr(part, "training", False) for part in made.modules()}
        made.eval()
        for parameter in made.parameters():  # a scripted module lacks requires_grad_
            parameter.requires_grad = False
    generator = _as_generator(made, where)
    plain = isinstance(generator, PlainGenerator)
    unused = [part for part in ("mapping", "synthesis") if plain and hasattr(made, part)]
    note = f"taken as a callable z -> images: its {' and '.join(unused)} are not used, w is z"
    loaded = LoadedGenerator(
        generator=generator,
        description=str(spec),
        sha256=digest,
        mirrored=False,
        maps=not plain,
        notes=[f"{note} ({_missing(made, _PARTS)})"] if unused else [],
    )
    loaded = guard(loaded, where, device, value_range)
    if not any(modes.values()):
        return loaded

    def images() -> Tensor:
        with seeded(b"a", device):
            return draw(loaded.generator, 0, range(2), device)[2]

    note = mode_note(modes, images)
    return replace(loaded, notes=[*loaded.notes, note]) if note else loaded


def _made(spec: str, device: torch.device) -> tuple[Any, str]:
    """Return value of the factory, and a digest of its code's file and of the weights."""
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
    except Exception as error:  # whatever the module does when it is imported
        raise UserError(f"--generator {spec}: cannot be imported ({reason(error)})") from error
    try:
        inspect.signature(factory).bind(device)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"--generator {spec}: must be a function of one argument, the torch.device ({error})"
        ) from error
    with user_errors(f"--generator {spec}"):
        made = factory(device)
        return made, _digest(spec, factory, made)


def _digest(spec: str, factory: Any, made: Any) -> str:
    digest = hashlib.sha256(spec.encode())
    source = inspect.getsourcefile(inspect.unwrap(factory)) if callable(factory) else None
    if source is not None:
        for path in _code(spec.partition(":")[0], Path(source)):
            digest.update(path.read_bytes())
    for key, value in _weights(made):
        digest.update(key.encode())
        flat = value.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _code(module: str, source: Path) -> Sequence[Path]:
    """Files of a factory: its own, its module's, and those beside that they import."""
    place = getattr(sys.modules[module], "__file__", None)
    if place is None:
        return [source]
    files = list(dict.fromkeys(path.resolve() for path in (source, Path(place))))
    depth = module.count(".") + (files[-1].name == "__init__.py")
    return [*files, *sources(files, files[-1].parents[depth])]


def _weights(made: Any) -> Iterator[tuple[str, Tensor]]:
    """Name and value of every tensor of a module, or of what another object holds.

    Without them unfinished work of other weights would be taken up again: the code of a factory
    that reads a checkpoint does not change with it.
    """
    todo: deque[tuple[str, Any, int]] = deque([("", made, 0)])
    seen: dict[int, Any] = {}  # holds what it has seen, or another object may get its number
    while todo:
        name, value, depth = todo.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            value = torch.from_numpy(np.ascontiguousarray(value))
        if isinstance(value, Tensor):
            yield name, value
        elif depth <= _DEEPEST and not isinstance(value, type | ModuleType):
            todo.extend((f"{name}.{key}", part, depth + 1) for key, part in _parts(value))


def _parts(value: Any) -> Sequence[tuple[str, Any]]:
    if isinstance(value, nn.Module):
        return list(value.state_dict().items())
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(str(number), part) for number, part in enumerate(value)]
    if inspect.ismethod(value):
        return [("self", value.__self__)]
    if inspect.isfunction(value):
        closure = inspect.getclosurevars(value).nonlocals
        return [*closure.items(), *vars(value).items()]
    if isinstance(value, partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    return list(vars(value).items()) if hasattr(value, "__dict__") else []


def _scripted(path: Path, device: torch.device) -> nn.Module:
    try:
        with warnings.catch_warnings():  # deprecated, and what people have
            warnings.simplefilter("ignore", FutureWarning)
            module: nn.Module = torch.jit.load(  # type: ignore[no-untyped-call]
                path, map_location=device
            )
    except (RuntimeError, ValueError, OSError) as error:
        first = next(iter(str(error).splitlines()), "").partition(". ")[0]
        if "constants.pkl" in first:
            first = (
                "weights without code: give what they are of as --ckpt, or a factory that builds it"
            )
        raise UserError(f"--generator {path}: not a TorchScript file ({first})") from error
    return module


def _as_generator(made: Any, where: str) -> ImageGenerator:
    if all(hasattr(made, part) for part in _PARTS):
        generator: ImageGenerator = made
        return generator
    if callable(made) and all(hasattr(made, part) for part in _OF_CALLABLES):
        return PlainGenerator(draw=made, z_dim=made.z_dim, resolution=made.resolution)
    mapped = hasattr(made, "mapping") and hasattr(made, "synthesis")
    wanted = _PARTS if mapped or not callable(made) else _OF_CALLABLES
    given = f"{where}: gives {type(made).__name__}"
    if not (mapped or callable(made)):
        raise UserError(
            f"{given}; expected a callable z -> images with z_dim and resolution, or an object with"
            f" {', '.join(_PARTS)}"
        )
    raise UserError(f"{given}, which {_missing(made, wanted)}")


def _missing(made: Any, wanted: Sequence[str]) -> str:
    """Missing attributes of an object, and how to add them."""
    lacking = [part for part in wanted if not hasattr(made, part)]
    given = ", ".join(f"g.{part} = {_EXAMPLES[part]}" for part in lacking)
    fix = "set"
    if isinstance(made, torch.jit.ScriptModule):  # tracing and freezing keep no numbers
        fix = "name a factory that loads the file and sets"
    return f"lacks {', '.join(lacking)}: {fix}, for example {given}"
