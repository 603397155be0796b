"""Damaged copies of files: changed bytes, and changed contents in containers that fit again."""

import csv
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylegan_eval.pickles.torch_files import read_torch

Mutate = Callable[[bytes, np.random.Generator], bytes]

_MOST_CHANGES = 4
_NEAR, _REACH = 0.5, 2000  # changes near the ends, where headers are
_LONGEST = 40
# Opcodes, sizes and signatures.
_PIECES = (
    *(b"\xff" * 4, b"\x00" * 8, b"cos\nsystem\n", b"R", b"b", b"\x81", b"(", b"t", b"h\x00", b"."),
    *(b"PK\5\6", b"PK\1\2", b"PK\3\4", b"ustar", b"IEND", b"{", b"[" * 2000, b"NaN", b"1e999"),
    *(b"-1", b"9" * 5000, b"\x1b[31m", b"\xed\xa0\x80", b"\x93NUMPY", b"'|O'", b"'<V8'"),
)
_SIZES = (0, 1, -1, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, -(2**63), 2**63 - 1)


def of_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Up to four bits, bytes, lengths or blocks changed, left out, repeated, swapped or put in."""
    copy = bytearray(data)
    for _ in range(int(rng.integers(1, _MOST_CHANGES + 1))):
        copy = copy or bytearray(b"\0")
        at = int(rng.integers(len(copy)))
        if rng.random() < _NEAR:
            at = at % _REACH if rng.random() < _NEAR else max(0, len(copy) - 1 - at % _REACH)
        at = min(at, len(copy) - 1)
        size = int(rng.integers(1, _LONGEST))
        other = int(rng.integers(len(copy)))
        match int(rng.integers(9)):
            case 0:
                copy[at] ^= 1 << int(rng.integers(8))
            case 1:
                copy[at] = int(rng.integers(256))
            case 2:
                del copy[at : at + size]
            case 3:
                copy[at:at] = copy[at : at + size]
            case 4:
                copy[at:at] = _PIECES[int(rng.integers(len(_PIECES)))]
            case 5:
                piece = _PIECES[int(rng.integers(len(_PIECES)))]
                copy[at : at + len(piece)] = piece
            case 6:
                del copy[at:]
            case 7:  # blocks swapped
                first, second = copy[at : at + size], copy[other : other + size]
                copy[other : other + size] = first
                copy[at : at + size] = second
            case _:
                length = _SIZES[int(rng.integers(len(_SIZES)))]
                raw = struct.pack("<q" if rng.random() < 0.5 else ">q", length)
                width = int(rng.choice([2, 4, 8]))
                copy[at : at + width] = raw[:width]
    return bytes(copy)


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2, 10**10, 10**30, 2**63, math.nan, math.inf, -math.inf, 1e308, 0.5),
    *("", "x", "0", "\0\x1b[31m", "a" * 5000, "../x", "/etc/passwd", "\ud800", "nan", "²"),
    *([], {}, [[]], [1, 2], [[4, 8], [8, 4]], {"a": 1}, {"": {}}, [None] * 3, _nested(30)),
)


def twisted(tree: Any, rng: np.random.Generator, odd: tuple[Any, ...] = _ODD) -> Any:
    """A tree with up to three values replaced, left out, renamed or put into each other's place."""
    for _ in range(int(rng.integers(1, 4))):
        places = [(None, None), *_places(tree)]
        holder, key = places[int(rng.integers(len(places)))]
        value = odd[int(rng.integers(len(odd)))]
        if holder is None:
            tree = value if rng.random() < 0.05 else tree
            continue
        match int(rng.integers(5)):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[odd[14 + int(rng.integers(9))]] = holder.pop(key)
            case 2:
                other, there = places[int(rng.integers(1, len(places)))]
                if other is not holder and there in (other if isinstance(other, dict) else ()):
                    holder[key] = other[there]
            case _:
                holder[key] = value
    return tree


def _places(tree: Any, depth: int = 0) -> list[tuple[Any, Any]]:
    """All (container, key) of dictionaries and lists."""
    if not isinstance(tree, dict | list) or depth > 20:
        return []
    keys = list(tree) if isinstance(tree, dict) else list(range(min(len(tree), 20)))
    own = [(tree, key) for key in keys]
    return own + [place for key in keys for place in _places(tree[key], depth + 1)]


def _dumped(tree: Any) -> bytes:
    try:
        return json.dumps(tree).encode()
    except (ValueError, RecursionError):  # a tree that became its own part
        return b"[" * 100_000


def of_json(data: bytes, rng: np.random.Generator) -> bytes:
    """JSON with other values."""
    return _dumped(twisted(json.loads(data), rng))


def of_lines(data: bytes, rng: np.random.Generator) -> bytes:
    """JSON lines, one of them with other values."""
    lines = data.splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    lines[at] = of_json(lines[at], rng) + b"\n"
    return b"".join(lines)


def of_cells(data: bytes, rng: np.random.Generator) -> bytes:
    """A table with other cells."""
    rows = list(csv.reader(io.StringIO(data.decode())))
    row = rows[int(rng.integers(len(rows)))]
    row[int(rng.integers(len(row)))] = str(_ODD[int(rng.integers(len(_ODD)))])
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "replace")


def of_safetensors(data: bytes, rng: np.random.Generator) -> bytes:
    """Safetensors with another header, or with another record in it."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = header.get("__metadata__", {})
    if metadata and rng.random() < 0.7:
        key = next(iter(metadata))
        metadata[key] = of_json(metadata[key].encode(), rng).decode()
    else:
        header = twisted(header, rng)
    text = _dumped(header)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def of_zip(inner: Mutate) -> Mutate:
    """A zip in which a member is changed by `inner`, with all checksums right again."""

    def mutate(data: bytes, rng: np.random.Generator) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
            names = old.namelist()
            chosen = names[int(rng.integers(len(names)))]
            if rng.random() < 0.5:  # the one with all names and sizes
                chosen = next((n for n in names if n.endswith(("data.pkl", ".json"))), chosen)
            for name in names:
                content = old.read(name)
                new.writestr(name, inner(content, rng) if name == chosen else content)
        return out.getvalue()

    return mutate


def of_npy(data: bytes, rng: np.random.Generator) -> bytes:
    """An array under another header."""
    length = int.from_bytes(data[8:10], "little")
    kinds = (
        "<f8",
        "|O",
        "<U8",
        "|S0",
        "<c16",
        "|b1",
        ">f4",
        "<M8[s]",
        "|V8",
        [("a", "<f4")],
        3,
        "",
    )
    shapes = ((), (-1,), (2**62,), (2**31, 2**31), (0, 5), (1,) * 40, (3, "x"), None, (True,), 8)
    header = {
        "descr": kinds[int(rng.integers(len(kinds)))] if rng.random() < 0.5 else "<f4",
        "fortran_order": [False, True, None, "x"][int(rng.integers(4))],
        "shape": shapes[int(rng.integers(len(shapes)))],
    }
    text = repr(header).encode() if rng.random() < 0.8 else of_bytes(repr(header).encode(), rng)
    return data[:8] + len(text).to_bytes(2, "little") + text + data[10 + length :]


def of_chunks(data: bytes, rng: np.random.Generator) -> bytes:
    """A PNG with a chunk changed, left out or repeated, its checksum right again."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">L", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    where = int(rng.integers(len(chunks)))
    kind, content = chunks[where]
    match int(rng.integers(4)):
        case 0:
            del chunks[where]
        case 1:
            chunks.insert(int(rng.integers(len(chunks))), (kind, content))
        case _:
            chunks[where] = (kind, of_bytes(content, rng))
    out = data[:8]
    for kind, content in chunks:
        out += struct.pack(">L", len(content)) + kind + content
        out += struct.pack(">L", zlib.crc32(kind + content))
    return out


def of_members(data: bytes, rng: np.random.Generator) -> bytes:
    """A tar with one header changed, its checksum right again."""
    copy = bytearray(data)
    at = 512 * int(rng.integers(max(1, len(copy) // 512)))
    header = bytearray(of_bytes(bytes(copy[at : at + 512]), rng)[:512].ljust(512, b"\0"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    copy[at : at + 512] = header
    return bytes(copy)


# Tensors and containers that no checkpoint has.
_NO_VALUES: tuple[Any, ...] = (
    *_ODD,
    torch.zeros(()),
    torch.zeros(3),
    torch.zeros(1).expand(2**20),
    torch.full((2, 2), math.nan),
    torch.zeros(2, dtype=torch.int64),
    torch.zeros(0, 5),
    torch.zeros(2, 2).half(),
    (1, (2, (3,))),
    {(1, 2): 3},
    {1: 2, None: 3, 1.5: 4},
)


def of_saved(data: bytes, rng: np.random.Generator, folder: Path) -> bytes:
    """A file of `torch.save` with other values."""
    path = folder / "saved.pt"
    path.write_bytes(data)
    out = io.BytesIO()
    try:
        torch.save(twisted(read_torch(path), rng, _NO_VALUES), out)
    except (RecursionError, RuntimeError):
        return b""
    return out.getvalue()
