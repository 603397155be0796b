"""Files that PyTorch wrote before 1.6: pickles one after the other, not a zip.

The published networks of rosinality and genforce are such files. ``torch.load`` still reads them,
with ``weights_only=True`` like all others.
"""

import struct
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from stylegan_eval.errors import UserError

# The number 0x1950a86a20f9469cfc6c as a pickle of protocol 2, with which each begins.
_BEGINNING = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")

# What PyTorch's reader raises at one wrong byte or another.
_DAMAGED = (
    *(RuntimeError, EOFError, OSError, MemoryError, OverflowError, AssertionError),
    *(ValueError, TypeError, LookupError, AttributeError, struct.error),
)


def is_legacy(path: Path) -> bool:
    """Whether a file begins as `torch.save` began its files before 1.6."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINNING)) == _BEGINNING


def read_legacy(path: Path) -> dict[Any, Any]:
    """Read such a file's dictionary onto the CPU; no code of it runs.

    Raises
    ------
    UserError
        It is damaged, or holds something else than tensors and plain values.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of storages that know their type: they did then
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UserError(
            f"{path}: damaged, or holds more than tensors and plain values, which is not read"
        ) from error
    except _DAMAGED as error:
        words = " ".join(str(error).split())[:120]
        said = words if words.isascii() and words.isprintable() and words else type(error).__name__
        raise UserError(f"{path}: damaged ({said})") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: holds {type(tree).__name__}, expected networks by name")
    return tree
