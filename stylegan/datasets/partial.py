"""Archives whose writing resumes after the process was killed.

Until it is whole, an archive `x.zip` is ``.x.zip.partial``. Beside it are ``.x.zip.partial.json``,
which says what it is made of, and ``.x.zip.partial.rows``, a `Journal` of what was done. Images are
written in order, so what is whole is a beginning. A journal of all images by which they are made a
second time, by another plan, is ``.x.zip.partial.first``.
"""

import contextlib
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from stylegan.datasets.archive import ImageFolder, ImageZip, Target
from stylegan.datasets.check import DIGEST_BYTES, NO_DIGEST, Fate
from stylegan_eval.engine.command import Terminated
from stylegan_eval.engine.files import check_free, check_writable, held, is_held, remove
from stylegan_eval.errors import UserError

_ROW = struct.Struct(f"<B{DIGEST_BYTES}sL")  # what became of it, digest, CRC-32 of both


class Journal:
    """The fates of N images, in order, in a file of rows; what is damaged ends it."""

    def __init__(self, path: Path, fates: np.ndarray) -> None:
        self.fates = fates  # uint8 [N], of `Fate`
        self.known = 0  # of which so many are known
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, taken: int) -> Iterator[tuple[Fate, bytes]]:
        """Records of an earlier process, up to `taken` images that were taken; forgets the rest."""
        with open(self._file.fileno(), "rb", closefd=False) as rows:
            while self.known < len(self.fates) and taken > 0:
                row = rows.read(_ROW.size)
                if len(row) < _ROW.size or zlib.crc32(row[:-4]) != _ROW.unpack(row)[2]:
                    break
                fate, digest = Fate(row[0]), row[1 : 1 + DIGEST_BYTES]
                self.fates[self.known] = fate
                self.known += 1
                taken -= fate == Fate.TAKEN
                yield fate, digest
        self._file.truncate(self.known * _ROW.size)
        self._file.seek(0, io.SEEK_END)

    def add(self, fate: Fate, digest: bytes = NO_DIGEST) -> None:
        """Note what became of the next image."""
        row = _ROW.pack(fate, digest, 0)[:-4]
        self._file.write(row + zlib.crc32(row).to_bytes(4, "little"))
        self.fates[self.known] = fate
        self.known += 1


class OtherPlanError(Exception):
    """Without the images that turned out to be left out, size or channels would be others."""


class Work(Protocol):
    """Makes the content of an archive."""

    def check(self, journal: Path | None = None) -> None:
        """Make another plan, by what was done or by the journal of an earlier process."""

    def begin(self, journal: Path, whole: int) -> int:
        """Read the journal of an earlier process; how many of its `whole` images are used."""

    def images(self) -> Iterator[bytes]:
        """PNG files of the images from there on."""

    def dataset_json(self) -> bytes:
        """Their labels, once all images are made."""


def write_resumable(out: Path, work: Work, made_of: Mapping[str, object]) -> int:
    """Write an archive as `write_encoded` does, from where a killed process left off.

    Interruption (Ctrl-C, SIGTERM, SIGKILL) leaves the beginning; on any error it is removed.
    `made_of` is what decides the images, as JSON: a beginning made of something else is not used.

    Returns the number of images that were there already.
    """
    check_target(out)
    out = out.resolve() if out.is_symlink() else out
    endings = ("", ".json", ".rows", ".first")
    partial, note, journal, first = (out.with_name(f".{out.name}.partial{e}") for e in endings)
    if is_held(note):
        raise UserError(f"{out}: another process is making it: wait for it, or choose another name")
    with held(note):
        try:
            about = json.dumps(made_of, sort_keys=True)
            if note.read_text(encoding="utf-8", errors="replace") != about:
                remove(partial, journal, first)
                note.write_text(about, encoding="utf-8")
            if first.exists():
                work.check(first)
            done = _write(partial, journal, first, work, zipped=_is_zip(out))
            if not _is_zip(out):
                check_free(out)
            partial.replace(out)
            remove(journal, first)
            note.unlink()
        except (KeyboardInterrupt, Terminated):
            raise
        except BaseException as error:
            remove(partial, journal, first, note)
            if isinstance(error, OSError) and _is_ours(error, out, partial, note, journal, first):
                raise UserError(f"cannot write {out}: {error.strerror or error}") from error
            raise
    return done


def _write(partial: Path, journal: Path, first: Path, work: Work, *, zipped: bool) -> int:
    """Write the beginning to its end; how many images were there already."""
    try:
        with _target(partial, zipped=zipped) as target:
            done = work.begin(journal, target.read())
            target.cut(done)
            for png in work.images():
                target.add(png)
            target.finish(work.dataset_json())
        return done
    except OtherPlanError:
        remove(partial)  # before there is a journal to go on by
        journal.replace(first)
        work.check()
        return _write(partial, journal, first, work, zipped=zipped)


def check_target(out: Path) -> None:
    """Check, before the work, what can be known of writing an archive; nothing is made."""
    (check_writable if _is_zip(out) else check_free)(out)


def _is_zip(out: Path) -> bool:
    return out.suffix.lower() == ".zip"


@contextlib.contextmanager
def _target(partial: Path, *, zipped: bool) -> Iterator[Target]:
    if not zipped:
        partial.mkdir(exist_ok=True)
        yield ImageFolder(partial)
        return
    with partial.open("r+b" if partial.exists() else "w+b") as stream:
        yield ImageZip(stream)
        stream.flush()
        os.fsync(stream.fileno())


def _is_ours(error: OSError, *paths: Path) -> bool:
    """Tell whether the error is about the archive, not about something that was read."""
    if error.filename is None:
        return True
    failed = Path(os.fsdecode(error.filename))
    return any(failed == path or path in failed.parents or failed in path.parents for path in paths)
