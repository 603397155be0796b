"""What a program hands in: as the fields of `settings.common.Inputs`."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.errors import UserError
from stylegan_eval.generators.factories import GivenGenerator
from stylegan_eval.generators.functions import ImageFunction
from stylegan_eval.generators.loading import carried_networks
from stylegan_eval.images.arrays import ArrayImages
from stylegan_eval.images.files import ImageFiles
from stylegan_eval.images.memory import MemoryImages, Range, batches_of
from stylegan_eval.images.source import ContainerImages

_OPENED = (MemoryImages, ImageFiles, ArrayImages, ContainerImages, StoredStats)
_NETWORKS = (".pt", ".pth", ".pkl", ".safetensors", ".ckpt")
_WORDS = {"ckpt": "fake", "generator": "fake", "images": "fake", "data": "real"}
_OPTION = re.compile(r"--([a-z][a-z-]*)(?: (-?\d[\d.,]*\d|-?\d))?")


def fake_side(fake: Any, value_range: Range | None) -> dict[str, Any]:
    """Generated images, or what draws them: one of ``ckpt``, ``generator`` and ``images``.

    A path is a checkpoint by its ending, by the checkpoints in a folder, or as a carried network's
    name. What has `z_dim` and `resolution` is a generator; another callable is a function
    ``(n, seed) -> images``.
    """
    if isinstance(fake, str | Path):
        return _named(fake, value_range)
    if hasattr(fake, "z_dim") and hasattr(fake, "resolution"):
        return {"generator": GivenGenerator(fake), "range": value_range}
    if isinstance(fake, nn.Module):
        raise UserError(
            f"fake: a {type(fake).__name__} without z_dim or resolution: set both, for example"
            " G.z_dim = 512 and G.resolution = 64"
        )
    if callable(fake):
        return {"images": ImageFunction(fake, value_range)}
    return {"images": _images(fake, "fake", value_range)}


def real_side(real: Any, value_range: Range | None) -> Any:
    """Real images, or their statistics, for ``data``."""
    if isinstance(real, str | Path):
        _no_range(value_range, "real")
        return Path(real)
    if callable(real):
        raise UserError(
            f"real: got a {type(real).__name__}; expected images or statistics: draw images first"
        )
    return _images(real, "real", value_range)


def _named(name: str | Path, value_range: Range | None) -> dict[str, Any]:
    path = Path(name)
    if isinstance(name, str) and ":" in name and not path.exists():
        return {"generator": name, "range": value_range}  # module:factory
    carried = str(name) in carried_networks()
    of_networks = path.suffix.lower() in _NETWORKS or any(path.glob("checkpoint-*.pt"))
    _no_range(value_range, "fake")
    return {"ckpt": path} if carried or of_networks else {"images": path}


def _no_range(value_range: Range | None, side: str) -> None:
    if value_range is not None:
        raise UserError(f"{side}: a file says itself what its values are: leave out the range")


def _images(given: Any, side: str, value_range: Range | None) -> Any:
    if isinstance(given, _OPENED):
        return given
    return MemoryImages(batches_of(given, side, value_range), side)


@contextlib.contextmanager
def in_python() -> Iterator[None]:
    """Say in errors the arguments of Python's functions where a command's options are named."""
    try:
        yield
    except UserError as error:
        reason, command, rest = str(error).partition("stylegan-")  # which has options of its own
        text = _OPTION.sub(_argument, reason) + command + rest
        if text == str(error):
            raise
        raise type(error)(text) from error.__cause__


def _argument(option: re.Match[str]) -> str:
    name, value = _WORDS.get(option[1], option[1].replace("-", "_")), option[2]
    if value is None:
        return name
    return f"{name}=({value.replace(',', ', ')})" if "," in value else f"{name}={value}"


@contextlib.contextmanager
def as_it_was(given: Any) -> Iterator[None]:
    """Give a module back as it came: in training mode, and with gradients, where it was."""
    if not isinstance(given, nn.Module):
        yield
        return
    modes: Mapping[nn.Module, bool] = {part: part.training for part in given.modules()}
    gradients = {weight: weight.requires_grad for weight in given.parameters()}
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for weight, wanted in gradients.items():
            weight.requires_grad = wanted
