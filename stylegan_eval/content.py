"""A digest of what a set of images holds, so that a changed file is noticed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from stylegan_eval.cache import cache_dir
from stylegan_eval.files import atomic_write, sha256_of
from stylegan_eval.images import ImageFiles
from stylegan_eval.progress import follow

# Hashing fewer files than this is over before a progress bar is of use.
_MANY = 2000


def content_digest(files: ImageFiles) -> str:
    """SHA-256 over name, size and digest of every file; equal for equal contents.

    A zip carries a CRC-32 of each entry. The files of a folder are read once; their SHA-256 are
    remembered in the cache beside what the file system says of them (size, times of modification
    and of change, inode), so that only what has changed is read again.

    Parameters
    ----------
    files : ImageFiles
        An open folder or zip.

    Returns
    -------
    str
        Hexadecimal.
    """
    if not files.path.is_dir():
        return files.digest
    known_path = _index_path(files.path)
    known = _read_index(known_path)
    index: dict[str, list[object]] = {}
    digest = hashlib.sha256()
    names = files.file_names
    shown = len(names) >= _MANY
    for name in follow(names, f"digest of {files.path.name}", len(names), unit="file", shown=shown):
        path = files.path / name
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        entry = known.get(name)
        if entry is None or entry[:-1] != stamp:
            entry = [*stamp, sha256_of(path)]
        index[name] = entry
        line = f"{name}\0{status.st_size}\0{entry[-1]}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    if index != known:
        with atomic_write(known_path) as temporary:
            temporary.write_text(json.dumps(index), encoding="utf-8")
    return digest.hexdigest()


def _index_path(folder: Path) -> Path:
    key = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache_dir() / "digests" / f"{key[:32]}.json"


def _read_index(path: Path) -> Mapping[str, list[object]]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}
