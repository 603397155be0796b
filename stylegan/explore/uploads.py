"""Files that visitors of the page hand in: photographs to project, and w to start from."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from starlette.requests import ClientDisconnect

from stylegan.explore.held import ENDINGS, HeldWs, read_uploaded
from stylegan.explore.projecting import Projector
from stylegan.png import png_of
from stylegan.sample.drawing import OpenedGenerator
from stylegan.sample.projection import Pixels
from stylegan_eval.errors import UserError

LARGEST = 32 << 20  # bytes of a file
_TARGETS = 8  # photographs that are held
_NAME = 255  # characters of a file's name: as long as file systems have them


@dataclass(frozen=True, kw_only=True)
class Target:
    """A photograph in the size of the network's images."""

    name: str  # Of its file
    pixels: Pixels  # [C, S, S]
    note: str  # What was done to fit it; empty where nothing was

    def png(self) -> bytes:
        """The picture as a file."""
        return png_of(self.pixels.transpose(1, 2, 0), "")


async def received(stream: AsyncIterator[bytes]) -> bytes:
    """All bytes of a stream; UserError as soon as they are too many."""
    parts, total = [], 0
    try:
        async for part in stream:
            total += len(part)
            if total > LARGEST:
                raise UserError(f"the file is larger than {LARGEST >> 20} MiB: use a smaller one")
            parts.append(part)
    except ClientDisconnect as error:
        raise UserError("the page was left before all of the file had come") from error
    return b"".join(parts)


class Uploads:
    """The last few uploads, by random keys."""

    def __init__(self, subject: OpenedGenerator, held: HeldWs, projector: Projector) -> None:
        self._subject, self._held, self._projector = subject, held, projector
        self._targets: OrderedDict[str, Target] = OrderedDict()

    async def take(self, data: bytes, name: str) -> dict[str, Any]:
        """Read a file; what the page is told of it: `w`, a digest, or `target`, a photograph."""
        name = PurePath(name).name[:_NAME] or "the file"
        if PurePath(name).suffix.lower() in ENDINGS:
            ws = await asyncio.to_thread(read_uploaded, data, name, self._subject.painter)
            note = "" if len(ws) == 1 else f"{name} holds {len(ws)} rows: this is the first"
            return {"w": self._held.add(ws[:1].copy()), "note": note}  # a view keeps all rows
        pixels, note = await self._projector.target(data, name)
        key = secrets.token_hex(8)
        self._targets[key] = Target(name=name, pixels=pixels, note=note)
        while len(self._targets) > _TARGETS:
            self._targets.popitem(last=False)
        return {"target": key}

    def target(self, key: str) -> Target:
        """A photograph that was handed in."""
        if key not in self._targets:
            raise UserError("this photograph is not held here any more: choose it again")
        return self._targets[key]
