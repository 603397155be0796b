"""Weights files from the net: fetched once, checked every time."""

import http.client
import struct
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from tqdm import tqdm

from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write, sha256_of

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20

# What reading a damaged or foreign file can raise: PyTorch's reader takes the bytes at their word.
_NOT_WEIGHTS = (
    OSError, UnpicklingError, EOFError, RuntimeError, ValueError, TypeError, LookupError,
    AttributeError, AssertionError, ArithmeticError, struct.error,
)  # fmt: skip


def checkpoints_folder() -> Path:
    """Where PyTorch keeps downloaded weights: ``$TORCH_HOME/hub/checkpoints``."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(url: str, sha256: str, *, advice: str = "", folder: Path | None = None) -> Path:
    """Path of a local copy of `url` with the given digest; downloaded when absent.

    Parameters
    ----------
    url : str
        Address; its last part is the file's name.
    sha256 : str
        Digest the file must have, in hexadecimal.
    advice : str
        What else the user may do without the file.
    folder : Path, optional
        Where the copy is kept; by default where PyTorch keeps its own.

    Raises
    ------
    UserError
        The file has another digest or cannot be downloaded; nothing is left behind.
    """
    path = (folder or checkpoints_folder()) / url.rpartition("/")[2]
    if path.exists():
        found = sha256_of(path)
        if found != sha256:
            raise UserError(
                f"{path}: sha256 is {found}, expected {sha256}: delete the file to fetch it again"
            )
        return path
    otherwise = f"put the file at {path}"
    if advice:
        otherwise += f", or {advice}"
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:
            for chunk in _download(url, f"(sha256 {sha256}): {otherwise}"):
                file.write(chunk)
        found = sha256_of(temporary)
        if found != sha256:
            raise UserError(f"{url}: sha256 is {found}, expected {sha256}: {otherwise}")
    return path


def read_weights(path: Path) -> dict[str, Any]:
    """Read a dictionary of tensors saved by PyTorch or as safetensors; runs no code of the file.

    Raises
    ------
    UserError
        It is something else, or damaged.
    """
    import torch

    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():
            # A TorchScript archive, which holds code, is announced before it is refused.
            warnings.filterwarnings("ignore", "'torch.load' received a zip file", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except _NOT_WEIGHTS as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{path}: not a weights file of PyTorch ({first_line})") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}, expected a dictionary of tensors")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a safetensors file ({error})") from error


def _download(url: str, otherwise: str) -> Iterator[bytes]:
    """Yield the bytes behind `url`, with a progress bar on stderr."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            length = response.headers.get("Content-Length")
            with tqdm(
                desc=url.rpartition("/")[2],
                total=int(length) if length else None,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
            ) as progress:
                while chunk := response.read(CHUNK_BYTES):
                    progress.update(len(chunk))
                    yield chunk
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UserError(f"cannot download {url} ({reason}) {otherwise}") from error
