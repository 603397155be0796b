"""Content digest of a set of images, which detects changed files."""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

from stylegan_eval.engine.cache import cache_dir
from stylegan_eval.engine.files import Stamp, atomic_write, sha256_of, stamp_of
from stylegan_eval.engine.progress import follow
from stylegan_eval.errors import UserError
from stylegan_eval.images.files import ImageFiles
from stylegan_eval.images.source import ImageSet
from stylegan_eval.images.storage import CHANGED

# Hashing fewer files than this is over before a progress bar is of use.
_MANY = 2000
_TICK = 20_000_000  # nanoseconds: two changes within it may have one time
_COARSE_TICK = 2_000_000_000  # where a file system keeps whole seconds

_Index = dict[str, list[object]]  # of each file the stamp, then the SHA-256


def content_digest(files: ImageSet, cache: Path | None = None) -> str:
    """SHA-256 over name, size and digest of every file; equal for equal contents.

    A zip carries a CRC-32 of each entry, which is checked when the entry is read. Other files are
    read once; their SHA-256 are remembered in the cache (by default `cache_dir`) beside what the
    file system says of them (size, times of modification and of change, inode), so that only what
    has changed is read again. What is read of the images from then on has these digests: a file
    that changes later is refused by its reader.
    """
    folder = files.folder
    if folder is None:
        return files.digest
    known_path = _index_path(files.path, cache or cache_dir())
    _, known = _read_index(known_path)
    stamps = files.stamps
    newest = max(stamp[2] for _, stamp in stamps.items())
    if 0 <= time.time_ns() - newest < _TICK:
        time.sleep(_TICK / 1e9)  # from now on a change has another time
    index: _Index = {}
    digests: dict[str, str] = {}
    digest = hashlib.sha256()
    shown = len(stamps) >= _MANY
    what = f"digest of {files.path.name}"
    in_order = sorted(stamps.items())
    for name, stamp in follow(in_order, what, len(stamps), unit="file", shown=shown):
        entry = known.get(name)
        if entry is None or entry[:-1] != list(stamp):
            entry = [*stamp, _sha256(folder / name, stamp)]
        if _is_settled(stamp):
            index[name] = entry
        digests[name] = str(entry[-1])
        line = f"{name}\0{stamp[0]}\0{entry[-1]}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    if isinstance(files, ImageFiles):
        files.remember(digests)
    if index != known:
        with contextlib.suppress(UserError):  # the next command reads the files again
            _write_index(known_path, folder.resolve(), index)
    return digest.hexdigest()


def is_new(files: ImageSet, cache: Path | None = None) -> bool:
    """Whether `content_digest` would read all files of a folder that it has never seen."""
    return files.folder is not None and not _index_path(files.path, cache or cache_dir()).exists()


def _sha256(path: Path, stamp: Stamp) -> str:
    digest = sha256_of(path)
    if stamp_of(path.stat()) != stamp:
        raise UserError(f"{path}: {CHANGED}")
    return digest


def _is_settled(stamp: Stamp) -> bool:
    """Whether a change from now on shows in the stamp."""
    coarse = stamp[2] % 1_000_000_000 == 0
    return time.time_ns() - stamp[2] >= (_COARSE_TICK if coarse else _TICK)


def _index_path(folder: Path, cache: Path) -> Path:
    key = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache / "digests" / f"{key[:32]}.json"


def folders_remembered(cache: Path) -> list[Path]:
    """Files in which `content_digest` keeps what it knows of a folder."""
    return sorted((cache / "digests").glob("*.json"))


def changed_behind(remembered: Path) -> list[Path]:
    """Read all files of a folder that is remembered and name those that changed behind their times.

    Where there are such files, the folder is forgotten.
    """
    folder, known = _read_index(remembered)
    changed = []
    for name in follow(known, f"check of {folder.name}", len(known), unit="file"):
        path = folder / name
        with contextlib.suppress(OSError):  # moved or removed
            *stamp, digest = known[name]
            if list(stamp_of(path.stat())) == stamp and sha256_of(path) != digest:
                changed.append(path)
    if changed:
        remembered.unlink(missing_ok=True)
    return changed


def _write_index(path: Path, folder: Path, index: _Index) -> None:
    text = json.dumps({"folder": str(folder), "files": index})
    with atomic_write(path) as temporary:
        temporary.write_text(f"{_digest(text)}\n{text}", encoding="utf-8")


def _read_index(path: Path) -> tuple[Path, Mapping[str, list[object]]]:
    """A folder and what is known of its files: nothing, if damaged or of an older version."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        digest, text = path.read_text(encoding="utf-8").split("\n", 1)
        if digest == _digest(text):
            index = json.loads(text)
            return Path(index["folder"]), index["files"]
    return Path(), {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
