"""The cache folder: prepared data, kept between runs."""

import os
from pathlib import Path

from stylegan_eval.engine.command import tell
from stylegan_eval.engine.files import atomic_write, check_writable, copy_file, sha256_of
from stylegan_eval.errors import UserError


def cache_dir() -> Path:
    """Folder of everything that can be made again: rendered avatars, image pyramids.

    ``$STYLEGAN_CACHE``, else ``$XDG_CACHE_HOME/stylegan-bench``, else
    ``~/.cache/stylegan-bench``. The folder is not made here.
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
    """Check, before the work, that something can be kept."""
    try:
        check_writable(cache_dir() / "work" / "x")
    except UserError as error:
        raise UserError(f"{error}: set STYLEGAN_CACHE to a folder that can be written") from error


def keep_file(made: Path, cached: Path) -> None:
    """Keep a copy of a file, with its digest beside it; where that cannot be, say so and go on."""
    try:
        with atomic_write(cached) as temporary:
            digest = copy_file(made, temporary)
        with atomic_write(_digest_path(cached)) as temporary:
            temporary.write_text(f"{digest}  {cached.name}\n", encoding="utf-8")
    except UserError as error:
        tell(f"note: not kept for the next time: {error}")


def fetch_file(cached: Path, target: Path) -> bool:
    """Copy what `keep_file` kept into the file `target`, if it is there and still the same."""
    expected = kept_digest(cached)
    if expected is None or not cached.is_file():
        return False
    try:
        digest = copy_file(cached, target)
    except OSError as error:
        if error.filename != str(cached):  # the target's
            raise
        digest = str(error.strerror)
    if digest == expected:
        return True
    tell(f"note: {cached} has changed since it was made: it is made again")
    return False


def kept_in(folder: Path) -> list[Path]:
    """Files with a digest from `keep_file`."""
    return sorted(path.with_suffix("") for path in folder.glob("*.sha256"))


def is_kept(cached: Path) -> bool:
    """Whether a file is there and has the digest that `keep_file` noted."""
    return cached.is_file() and sha256_of(cached) == kept_digest(cached)


def kept_digest(cached: Path) -> str | None:
    """SHA-256 that `keep_file` noted; None where there is none, as in older caches."""
    try:
        digest, name = _digest_path(cached).read_text(encoding="utf-8").split(maxsplit=1)
    except (OSError, ValueError):
        return None
    return digest if name.strip() == cached.name else None


def _digest_path(cached: Path) -> Path:
    return cached.with_name(f"{cached.name}.sha256")
