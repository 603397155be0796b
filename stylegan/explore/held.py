"""W that a server holds for its pages, by their digests."""

import hashlib
import io
from collections import OrderedDict
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stylegan.png import read_ws
from stylegan.sample.painter import Painter
from stylegan_eval.errors import UserError

MOST = 64  # w that are held
ENDINGS = (".npy", ".npz")  # of files of w

Ws = NDArray[np.float32]


def file_of_ws(ws: Ws) -> bytes:
    """What a .npy file of ws holds."""
    buffer = io.BytesIO()
    np.save(buffer, ws)
    return buffer.getvalue()


def digest_of(ws: Ws) -> str:
    """Digest of ws, as `Recipe.saved` has it: of the .npy file, whatever file they came from."""
    return hashlib.sha256(file_of_ws(ws)).hexdigest()[:16]


def file_name_of(digest: str) -> str:
    """Name that the file of a w is downloaded by, and that commands have."""
    return f"w-{digest}.npy"


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
