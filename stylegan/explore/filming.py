"""Films that pages have written: one at a time, into a folder of the server, with an end."""

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from stylegan.explore.projecting import CancelledError
from stylegan.explore.turns import or_too_large
from stylegan_eval.errors import UserError

T = TypeVar("T")
MOST = 4  # films that are held


@dataclass(kw_only=True)
class FilmJob:
    """A film on its way; its thread writes how far it is."""

    total: int  # Frames
    done: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End it with its next frame."""
        self._end.set()

    def watched(self, frames: Iterable[T]) -> Iterator[T]:
        """The frames, counted; CancelledError once it is to end."""
        for frame in frames:
            if self._end.is_set():
                raise CancelledError
            yield frame
            self.done += 1


class Filmer:
    """Writes films; the last few of all tabs are held on disk, by random keys."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="film")
        self._folder: TemporaryDirectory[str] | None = None  # There from the first film on
        self._files: OrderedDict[str, Path] = OrderedDict()
        self._job: FilmJob | None = None

    async def write(self, ending: str, write: Callable[[Path], None], job: FilmJob) -> str:
        """Key of the film that `write` makes; CancelledError, or UserError where there is none."""
        if self._job is not None:
            raise UserError("another film is being written: wait for it, or cancel it")
        self._job = job
        try:
            if self._folder is None:
                self._folder = TemporaryDirectory(prefix="films-", ignore_cleanup_errors=True)
            key = secrets.token_hex(8)
            path = Path(self._folder.name) / f"{key}.{ending}"
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._worker, lambda: or_too_large(lambda: write(path)))
        finally:
            self._job = None
        self._files[key] = path
        while len(self._files) > MOST:
            self._files.popitem(last=False)[1].unlink(missing_ok=True)
        return key

    def file(self, key: str) -> Path:
        """A film that was written."""
        if key not in self._files:
            raise UserError("this film is not held here any more: write it again")
        return self._files[key]

    def close(self) -> None:
        """End what is being written, and remove all."""
        if self._job is not None:
            self._job.cancel()
        self._worker.shutdown(cancel_futures=True)
        if self._folder is not None:
            self._folder.cleanup()
