"""Archives whose writing resumes after the process was killed.

Until it is whole, an archive `x.zip` is ``.x.zip.partial``, beside ``.x.zip.partial.json``, which
says what it is made of. Images are written in order, so what is whole is a beginning.
"""

import contextlib
import functools
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from stylegan.datasets.archive import Label, add_file, dataset_json, image_name, zip_entry
from stylegan_eval.engine.files import check_free, check_writable, held
from stylegan_eval.engine.signals import Terminated
from stylegan_eval.errors import UserError
from stylegan_eval.images.labels import DATASET_JSON

_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_BROKEN_PNG = (OSError, SyntaxError, ValueError, EOFError)


def write_resumable(
    out: Path,
    images: Callable[[int], Iterator[bytes]],
    labels: Sequence[Label],
    *,
    attributes: Sequence[str],
    channels: int = 3,
    classes: Sequence[str] = (),
    made_of: Mapping[str, object],
) -> int:
    """Write an archive as `write_encoded` does, from where a killed process left off.

    Interruption (Ctrl-C, SIGTERM, SIGKILL) leaves the beginning; on any error it is removed.

    Parameters
    ----------
    images : callable
        Given a number, the PNG files of the images from that number on.
    made_of : mapping
        What decides the images, as JSON: a beginning made of something else is not used.

    Returns the number of images that were there already.
    """
    check_target(out)
    out = out.resolve() if out.is_symlink() else out
    zipped = _is_zip(out)
    partial = out.with_name(f".{out.name}.partial")
    note = out.with_name(f".{out.name}.partial.json")
    with held(note):
        try:
            about = json.dumps(made_of, sort_keys=True)
            if note.read_text(encoding="utf-8") != about:
                _remove(partial)
                note.write_text(about, encoding="utf-8")
            with (_zip_sink if zipped else _folder_sink)(partial, len(labels)) as (done, add):
                for index, png in enumerate(images(done), start=done):
                    add(image_name(index), png)
                add(DATASET_JSON, dataset_json(labels, attributes, channels, classes))
            if not zipped:
                check_free(out)
            partial.replace(out)
            note.unlink()
        except (KeyboardInterrupt, Terminated):
            raise
        except BaseException as error:
            _remove(partial, note)
            if isinstance(error, OSError) and _is_ours(error, out, partial, note):
                raise UserError(f"cannot write {out}: {error.strerror or error}") from error
            raise
    return done


def check_target(out: Path) -> None:
    """Check, before the work, what can be known of writing an archive; nothing is made."""
    (check_writable if _is_zip(out) else check_free)(out)


def _is_zip(out: Path) -> bool:
    return out.suffix.lower() == ".zip"


_Sink = tuple[int, Callable[[str, bytes], None]]  # images that are there already; adds a file


@contextlib.contextmanager
def _zip_sink(partial: Path, most: int) -> Iterator[_Sink]:
    with partial.open("r+b" if partial.exists() else "w+b") as stream:
        entries, end = _whole_entries(stream, most)
        stream.truncate(end)
        stream.seek(end)
        with zipfile.ZipFile(stream, "w") as file:
            file.filelist.extend(entries)
            file.NameToInfo.update({entry.filename: entry for entry in entries})

            def add(name: str, data: bytes) -> None:
                file.writestr(zip_entry(name), data, zipfile.ZIP_STORED)

            yield len(entries), add
        stream.flush()
        os.fsync(stream.fileno())


def _whole_entries(stream: BinaryIO, most: int) -> tuple[list[zipfile.ZipInfo], int]:
    """The images at the beginning that are whole, at most `most`, and where they end."""
    entries: list[zipfile.ZipInfo] = []
    place = 0
    while len(entries) < most:
        stream.seek(place)
        header = stream.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            break
        signature, *_, crc, size, _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        name = stream.read(name_size)
        data = stream.read(size)
        entry = zip_entry(image_name(len(entries)))
        ours = signature == _LOCAL_SIGNATURE and extra_size == 0
        if not ours or name != entry.filename.encode() or zlib.crc32(data) != crc:
            break
        entry.header_offset, entry.CRC = place, crc
        entry.file_size = entry.compress_size = size
        entries.append(entry)
        place = stream.tell()
    return entries, place


@contextlib.contextmanager
def _folder_sink(partial: Path, most: int) -> Iterator[_Sink]:
    partial.mkdir(exist_ok=True)
    done = 0
    while done < most and _is_whole(partial / image_name(done)):
        done += 1
    yield done, functools.partial(add_file, partial)


def _is_whole(path: Path) -> bool:
    """Whether it is a PNG whose checksums are right, the last one included."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()
    except _BROKEN_PNG:
        return False
    return True


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
