"""Files that visitors of the page hand in, and the w that a server holds for its pages."""

import asyncio
import hashlib
import io
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from stylegan.png import png_of, read_ws
from stylegan.sample import projection
from stylegan.sample.painter import Painter
from stylegan.sample.recipe import Recipe
from stylegan.sample.settings import ProjectionSettings
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import read_header

MOST = 64  # w that are held
ENDINGS = (".npy", ".npz")  # of files of w

Ws = NDArray[np.float32]


def file_of_ws(ws: Ws) -> bytes:
    """Content of a .npy file of ws."""
    buffer = io.BytesIO()
    np.save(buffer, ws)
    return buffer.getvalue()


def digest_of(ws: Ws) -> str:
    """Digest of ws, as `Recipe.saved` has it: of the .npy file, whatever file they came from."""
    return hashlib.sha256(file_of_ws(ws)).hexdigest()[:16]


def file_name_of(digest: str) -> str:
    """Name that the file of a w is downloaded by, and that commands have."""
    return f"w-{digest}.npy"


def typed_words(recipe: Recipe) -> list[str]:
    """Words of a recipe for a command, which names the file of a w."""
    words = recipe.effective.words()
    if recipe.saved:
        words[1] = file_name_of(recipe.saved)
    return words


class HeldWs:
    """The last w of all tabs; who holds a digest finds its w, until it is forgotten."""

    def __init__(self) -> None:
        self._ws: OrderedDict[str, Ws] = OrderedDict()

    def add(self, ws: Ws) -> str:
        """Hold ws [1, L, D]; their digest."""
        digest = digest_of(ws)
        self._ws[digest] = ws
        self._ws.move_to_end(digest)
        while len(self._ws) > MOST:
            self._ws.popitem(last=False)
        return digest

    def get(self, digest: str) -> Ws:
        """Ws [1, L, D] of a digest."""
        if digest not in self._ws:
            raise UserError(
                f"the w {digest} is not held here (any more): give its file again,"
                f" {file_name_of(digest)}, in the view Project"
            )
        return self._ws[digest]


def read_uploaded(data: bytes, name: str, painter: Painter) -> Ws:
    """Ws [N, L, D] of the content of a .npy or .npz file; a path may be long, so it is not told."""
    network = painter.network
    ending = PurePath(name).suffix.lower()
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"w{ending}"
        path.write_bytes(data)
        try:
            return read_ws(path, network.num_ws, network.config.w_dim)
        except UserError as error:
            raise UserError(str(error).replace(str(path), name[:60])) from error


LARGEST = 32 << 20  # bytes of a file
LARGEST_SIDE = 6400
"""Pixels of a photograph each way: decoded, those of a small file may fill the memory."""
_TARGETS = 8  # photographs that are held
_NAME = 255  # characters of a file's name: as long as file systems have them


@dataclass(frozen=True, kw_only=True)
class Target:
    """A photograph in the size of the network's images."""

    name: str  # Of its file
    pixels: projection.Pixels  # [C, S, S]
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


def photograph(data: bytes, name: str, painter: Painter) -> Target:
    """The content of an image file as the target of a projection."""
    size = projection.drawn_size(painter, ProjectionSettings().distance)
    if not painter.maps:
        raise UserError("there is no W to project into: this network has no mapping network")
    header = read_header(io.BytesIO(data), name)
    if max(header.width, header.height) > LARGEST_SIDE:
        raise UserError(
            f"{name} is {header.width}x{header.height}: photographs of up to"
            f" {LARGEST_SIDE}x{LARGEST_SIDE} pixels are taken: make it smaller"
        )
    pixels = projection.square_of(data, name, painter.network.config.num_channels)
    note = projection.fit_note(pixels, size)
    return Target(name=name, pixels=projection.fitted(pixels, size), note=note)


class Uploads:
    """The last few uploads, by random keys."""

    def __init__(self, painter: Painter, held: HeldWs) -> None:
        self._painter, self._held = painter, held
        self._targets: OrderedDict[str, Target] = OrderedDict()

    async def take(self, data: bytes, name: str) -> dict[str, Any]:
        """Read a file; what the page is told of it: `w`, a digest, or `target`, a photograph."""
        name = PurePath(name).name[:_NAME] or "the file"
        if PurePath(name).suffix.lower() in ENDINGS:
            ws = await asyncio.to_thread(read_uploaded, data, name, self._painter)
            note = "" if len(ws) == 1 else f"{name} holds {len(ws)} rows: this is the first"
            return {"w": self._held.add(ws[:1].copy()), "note": note}  # a view keeps all rows
        target = await asyncio.to_thread(photograph, data, name, self._painter)
        key = secrets.token_hex(8)
        self._targets[key] = target
        while len(self._targets) > _TARGETS:
            self._targets.popitem(last=False)
        return {"target": key}

    def target(self, key: str) -> Target:
        """A photograph that was handed in."""
        if key not in self._targets:
            raise UserError("this photograph is not held here any more: choose it again")
        return self._targets[key]
