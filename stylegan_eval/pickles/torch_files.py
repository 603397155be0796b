"""Files of `torch.save` as data: zips since PyTorch 1.6, and the rows of pickles before.

Read by `machine.interpret` instead of ``torch.load``: what a file names is never run, its objects
are named where they are refused, and time and memory are bounded by the file's size.
"""

import io
import re
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from stylegan_eval.engine.safe_files import check_entry, check_locator, open_zip, read_at, start_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.pickles.machine import ForeignNamesError, interpret
from stylegan_eval.pickles.source import ByteSource
from stylegan_eval.pickles.tensors import tensors_of
from stylegan_eval.pickles.values import Unknown

# The number 0x1950a86a20f9469cfc6c as a pickle of protocol 2: files before PyTorch 1.6 begin so.
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_PICKLE = re.compile(r"[^/]+/data\.pkl")
_LARGEST_PICKLE = 2**27
# No data are of these modules.
_DANGEROUS = {
    *("os", "posix", "nt", "sys", "subprocess", "shutil", "importlib", "runpy", "pty", "socket"),
    *("builtins", "__builtin__"),
}
_TO_TENSORS = (
    "f = lambda x: {k: f(v) for k, v in x.items()} if isinstance(x, dict) else"
    " torch.as_tensor(x) if hasattr(x, 'dtype') else x; torch.save(f(t), OTHER)"
)
_CHUNK = 2**18
_COUNT = struct.Struct("<q")


def is_torch_zip(path: Path) -> bool:
    """Whether `path` is a zip of the kind that `torch.save` writes."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with open_zip(path) as archive:
            return any(map(_PICKLE.fullmatch, archive.namelist()))
    except UserError:
        return False


def is_torch_legacy(path: Path) -> bool:
    """Whether `path` begins as files of `torch.save` did before PyTorch 1.6."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(LEGACY)) == LEGACY


def read_torch(path: Path) -> Any:
    """Read what `torch.save` wrote, of either kind, onto the CPU; all checksums are compared.

    Returns plain values, dictionaries, lists, tuples and tensors.
    """
    with parsing(path):
        try:
            if is_torch_legacy(path):
                return _read_legacy(path)
            if zipfile.is_zipfile(path):
                return _read_zip(path)
        except ForeignNamesError as error:
            raise UserError(_advice(error)) from error
        raise UserError(f"{path} is damaged, or of another kind than torch.save writes")


def _advice(error: ForeignNamesError) -> str:
    """Objects that a file holds, their keys, and how to save it without them."""
    if any(name.module.startswith("__torch__") for name in error.names):
        return "a TorchScript archive, which holds code; give its state dictionary"
    names = ", ".join(dict.fromkeys(str(name) for name in error.names[:3]))
    message = f"holds other objects than tensors, which might run code: {names}"
    if any(name.module.partition(".")[0] in _DANGEROUS for name in error.names):
        return f"{message}; nothing of it was run: damaged, or made to do harm"
    trusted = "nothing of it was run; if you trust the file, save it without them:"
    load = "t = torch.load(FILE, map_location='cpu', weights_only=False)"
    tree = error.made if isinstance(error.made, dict) else {}
    keys = [key for key, value in tree.items() if _holds_unknown(value)]
    whole = not keys or len(keys) == len(tree)
    if all(name.module.partition(".")[0] == "numpy" for name in error.names) and (
        whole or any(isinstance(tree[key], dict) for key in keys)
    ):
        return f"{message}; {trusted} {load}; {_TO_TENSORS}"
    if whole:
        return f"{message}; {trusted} {load}; torch.save(t.state_dict(), OTHER) of each network"
    listed = ", ".join(repr(key)[:40] for key in keys[:5])
    return (
        f"{message}, under {listed}; {trusted} {load};"
        f" torch.save({{k: t[k] for k in t if k not in [{listed}]}}, OTHER)"
    )


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return any(map(_holds_unknown, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Unknown)


def _read_zip(path: Path) -> Any:
    total = path.stat().st_size
    check_locator(path)
    with open_zip(path) as archive, path.open("rb", buffering=0) as file:
        entries = {info.filename: info for info in archive.infolist()}
        for info in entries.values():
            check_entry(info, total, f"{path}: {info.filename}")
            if info.compress_type != zipfile.ZIP_STORED:
                raise UserError(f"{info.filename} is packed, which torch.save never does")
        pickles = [name for name in entries if _PICKLE.fullmatch(name)]
        if len(pickles) != 1 or sum(info.file_size for info in entries.values()) > total:
            raise UserError("not a file of torch.save")
        folder = pickles[0].rpartition("/")[0]
        if entries[pickles[0]].file_size > _LARGEST_PICKLE:
            raise UserError(f"{pickles[0]} has more than {_LARGEST_PICKLE >> 20} MiB")
        order = entries.pop(f"{folder}/byteorder", None)
        if order is not None and archive.read(order) != b"little":
            raise UserError("written on a machine of another byte order")
        data = archive.read(entries.pop(pickles[0]))

        storages: dict[str, Tensor] = {}

        def raw(key: str, _size: int) -> Tensor:
            if key not in storages:
                info = entries.pop(f"{folder}/data/{key}", None)
                if info is None:
                    raise UserError(f"lacks the numbers data/{key}")
                storages[key] = torch.empty(info.file_size, dtype=torch.uint8)
                file.seek(start_of(info, partial(read_at, file.fileno(), path)))
                if _fill(storages[key], file) != info.CRC:
                    raise UserError(f"data/{key} has another checksum: damaged")
            return storages[key]

        made = interpret(ByteSource(io.BytesIO(data), len(data)), len(data), tensors_of(raw, total))
        for info in entries.values():  # nothing refers to them: their checksums are compared
            with archive.open(info) as entry:
                while entry.read(_CHUNK):
                    pass
    return made


def _read_legacy(path: Path) -> Any:
    """Pickles of a number, a version, the machine, the content and the storages' keys; numbers."""
    left = path.stat().st_size
    storages: dict[str, tuple[Tensor, int]] = {}

    def raw(key: str, size: int) -> Tensor:
        nonlocal left
        if key not in storages:
            left -= size
            if left < 0:
                raise UserError("declares more numbers than it has")
            storages[key] = torch.zeros(size, dtype=torch.uint8), size
        return storages[key][0]

    with path.open("rb") as file:
        source = ByteSource(file, left)
        dialect = tensors_of(raw, left)
        *_, made, keys = (interpret(source, left, dialect) for _ in range(5))
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
            raise UserError("lists other storages than it uses")
        for key in keys:
            numbers, size = storages[key]
            (count,) = _COUNT.unpack(file.read(_COUNT.size))
            if count <= 0 < size or (count and size % count):
                raise UserError(f"declares {count} numbers, expected {size} bytes of them")
            _fill(numbers, file)
    return made


def _fill(numbers: Tensor, file: IO[bytes]) -> int:
    """Read as many bytes as there is room for, and return their checksum."""
    view, done, checksum = numbers.numpy().data, 0, 0
    while done < len(view):
        part = view[done : done + _CHUNK]  # its sum is taken while it is in the cache
        count = file.readinto(part)  # type: ignore[attr-defined]
        if not count:
            raise UserError("ends early: damaged")
        checksum = zlib.crc32(part[:count], checksum)
        done += count
    return checksum
