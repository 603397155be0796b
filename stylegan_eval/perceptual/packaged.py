"""Weights files inside installed packages, found without importing these."""

from importlib.util import find_spec
from pathlib import Path

from stylegan_eval.errors import UserError
from stylegan_eval.files import sha256_of


def packaged_file(package: str, inner: str, sha256: str, extra: str) -> Path:
    """Path of a file of an installed package, its digest checked.

    The package is not imported: those that ship weights pull in much that is not needed, or lack
    what they import themselves.

    Parameters
    ----------
    package : str
        Import name.
    inner : str
        Path inside the package.
    sha256 : str
        Digest the file must have, in hexadecimal.
    extra : str
        The extra of this distribution that installs it.

    Raises
    ------
    UserError
        It is not installed, or is another version of the file.
    """
    advice = f'pip install ".[{extra}]" in the source folder'
    spec = find_spec(package)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    path = next((path for folder in folders if (path := Path(folder) / inner).is_file()), None)
    if path is None:
        raise UserError(f"{package} is not installed, whose {inner} is needed: {advice}")
    found = sha256_of(path)
    if found != sha256:
        raise UserError(f"{path}: sha256 is {found}, expected {sha256}: {advice}")
    return path
