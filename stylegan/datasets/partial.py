"""Archives whose writing resumes after the process was killed.

Until it is whole, an archive `x.zip` is ``.x.zip.partial``. Beside it are ``.x.zip.partial.json``,
which says what it is made of, and ``.x.zip.partial.rows``, a `Journal` of what was done. Images are
written in order, so what is whole is a beginning. A journal of all images by which they are made a
second time, by another plan, is ``.x.zip.partial.first``.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from stylegan.datasets.targets import ImageFolder, ImageZip, Target
from stylegan_eval.engine.command import Terminated
from stylegan_eval.engine.files import check_free, check_writable, held, is_held
from stylegan_eval.errors import UserError


class OtherPlanError(Exception):
    """Without the images that turned out to be left out, size or channels would be others."""


class Work(Protocol):
    """What makes the content of an archive."""

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
                _remove(partial, journal, first)
                note.write_text(about, encoding="utf-8")
            if first.exists():
                work.check(first)
            done = _write(partial, journal, first, work, zipped=_is_zip(out))
            if not _is_zip(out):
                check_free(out)
            partial.replace(out)
            _remove(journal, first)
            note.unlink()
        except (KeyboardInterrupt, Terminated):
            raise
        except BaseException as error:
            _remove(partial, journal, first, note)
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
        _remove(partial)  # before there is a journal to go on by
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


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _is_ours(error: OSError, *paths: Path) -> bool:
    """Tell whether the error is about the archive, not about something that was read."""
    if error.filename is None:
        return True
    failed = Path(os.fsdecode(error.filename))
    return any(failed == path or path in failed.parents or failed in path.parents for path in paths)
