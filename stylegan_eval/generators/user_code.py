"""Calls of user code: one-line errors, controlled random numbers."""

import contextlib
import hashlib
import random
import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from stylegan_eval.errors import UserError, is_out_of_memory

# TorchScript names the place in its own words, and the reason after them.
_PLACE = re.compile(r'File "([^"]+)", line (\d+)')
_REASON = re.compile(r"(?:builtins\.)?\w+(?:Error|Exception|Exit|Iteration): .*")
_LONGEST = 300


@contextlib.contextmanager
def user_errors(where: str) -> Iterator[None]:
    """Re-raise exceptions of user code as a `UserError` that names the place.

    What says that memory is full, or that an operation lacks a derivative, passes: its caller knows
    better.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error) or "forward AD" in str(error):
            raise
        raise UserError(f"{where}: failed with {reason(error)} ({_place(error)})") from error
    except SystemExit as error:  # else the command ends without a word
        raise UserError(
            f"{where}: ends the program by itself, SystemExit({error.code!r:.60})"
        ) from error


def reason(error: Exception) -> str:
    """Type and message of an error, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if _is_script(error):
        named = [line for line in lines if _REASON.fullmatch(line)]
        return (named[-1] if named else lines[-1]).removeprefix("builtins.")[:_LONGEST]
    first = next((at for at, line in enumerate(lines) if not line.endswith(":")), len(lines))
    name, message = type(error).__name__, " ".join(lines[: first + 1])[:_LONGEST]
    return f"{name}: {message}" if message else name


def _is_script(error: Exception) -> bool:
    return "TorchScript interpreter" in str(error)


def _place(error: Exception) -> str:
    """File and line: of the script, or the last one outside of PyTorch."""
    if _is_script(error) and (found := _PLACE.findall(str(error))):
        file, line = found[-1]
        return f"{Path(file).name}, line {line}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = str(Path(torch.__file__).parent)
    last = next((f for f in reversed(frames) if not f.filename.startswith(inside)), frames[-1])
    return f"{Path(last.filename).name}, line {last.lineno}"


@contextlib.contextmanager
def seeded(key: bytes, device: torch.device) -> Iterator[None]:
    """Seed the global random numbers of torch, NumPy and Python in the block; then put them back.

    For the user's code: ours draws nothing from them.
    """
    words = np.frombuffer(hashlib.shake_256(key).digest(4 * 626), dtype=np.uint32)
    number = int(words[624:].view(np.uint64)[0] >> 1)
    devices = [device] if device.type == "cuda" else []
    numpy, python = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(number)
        for each in devices:
            torch.cuda.default_generators[each.index or 0].manual_seed(number)
        np.random.set_state(("MT19937", words[:624], 624, 0, 0.0))  # noqa: NPY002
        random.seed(number)
        try:
            yield
        finally:
            np.random.set_state(numpy)  # noqa: NPY002
            random.setstate(python)


@contextlib.contextmanager
def ordinary_mode() -> Iterator[None]:
    """Leave inference mode in the block, where gradients cannot be switched on: they are off."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(mode=False), torch.no_grad():
        yield
