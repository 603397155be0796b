"""The one folder in which prepared data are kept between runs."""

import os
from pathlib import Path

from stylegan_eval.errors import UserError
from stylegan_eval.files import check_writable


def cache_dir() -> Path:
    """Folder of everything that can be made again: rendered avatars, image pyramids.

    ``$STYLEGAN_CACHE``, else ``$XDG_CACHE_HOME/stylegan-bench``, else
    ``~/.cache/stylegan-bench``. The folder is not made here.

    Raises
    ------
    UserError
        No variable is set and there is no home folder.
    """
    if own := os.environ.get("STYLEGAN_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "stylegan-bench"
    try:
        return Path.home() / ".cache" / "stylegan-bench"
    except RuntimeError as error:
        raise UserError("no home folder for the cache: set STYLEGAN_CACHE to a folder") from error


def check_cache() -> None:
    """Check, before the work, that something can be kept.

    Raises
    ------
    UserError
        The folder can be neither made nor written; says how to name another.
    """
    try:
        check_writable(cache_dir() / "work" / "x")
    except UserError as error:
        raise UserError(f"{error}: set STYLEGAN_CACHE to a folder that can be written") from error
