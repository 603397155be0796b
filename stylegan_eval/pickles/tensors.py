"""Files of `torch.save` as data: zips since PyTorch 1.6, and the rows of pickles before.

Read by `machine.interpret` instead of ``torch.load``: what a file names is never run, its objects
are named where they are refused, and time and memory are bounded by the file's size.
"""

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.pickles.machine import Dialect, ForeignNamesError, interpret
from stylegan_eval.pickles.source import Source
from stylegan_eval.pickles.values import Maker, Name, Unknown
from stylegan_eval.untrusted import parsing
from stylegan_eval.zip_guard import check_entry, check_locator, open_zip

# The number 0x1950a86a20f9469cfc6c as a pickle of protocol 2: files before PyTorch 1.6 begin so.
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
_PICKLE = re.compile(r"[^/]+/data\.pkl")
_LARGEST_PICKLE = 2**27
_MOST_OPCODES = 2_000_000
_MOST_AXES = 16
_MOST_NUMBERS = 2**48
# No data are of these modules.
_DANGEROUS = frozenset(
    [
        "os",
        "posix",
        "nt",
        "sys",
        "subprocess",
        "builtins",
        "__builtin__",
        "shutil",
        "importlib",
        "runpy",
        "pty",
        "socket",
    ]
)
# Copies of all tensors, in sizes of the file: states of one network are saved twice, say.
_MOST_REPEATS = 16
_CHUNK = 2**18
_COUNT = struct.Struct("<q")
_HEADER = struct.Struct("<4s22xHH")  # of a zip's entry

_DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexFloat": torch.complex64,
        "ComplexDouble": torch.complex128,
    }
)


@dataclass(frozen=True, eq=False)
class _Storage:
    """Numbers of one type within raw bytes."""

    dtype: torch.dtype
    raw: Tensor  # uint8 [bytes]
    start: int  # of the first number, in numbers
    count: int


class _Opaque:
    """A harmless value that nothing here looks into: a type of numbers, a device, a set."""


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

    Returns
    -------
    object
        Plain values, dictionaries, lists, tuples and tensors.
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
    """Which objects a file holds, under which keys, and how to save it without them."""
    if any(name.module.startswith("__torch__") for name in error.names):
        return "a TorchScript archive, which holds code; give its state dictionary"
    names = ", ".join(dict.fromkeys(str(name) for name in error.names[:3]))
    told = f"holds other objects than tensors, which might run code: {names}"
    if any(name.module.partition(".")[0] in _DANGEROUS for name in error.names):
        return f"{told}; nothing of it was run: damaged, or made to do harm"
    trusted = "nothing of it was run; if you trust the file, save it without them:"
    load = "t = torch.load(FILE, map_location='cpu', weights_only=False)"
    tree = error.made if isinstance(error.made, dict) else {}
    keys = [key for key, value in tree.items() if _holds_unknown(value)]
    if not keys or len(keys) == len(tree):
        return f"{told}; {trusted} {load}; torch.save(t.state_dict(), OTHER) of each network"
    listed = ", ".join(repr(key)[:40] for key in keys[:5])
    return (
        f"{told}, under {listed}; {trusted} {load};"
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
                file.seek(_start_of(info, file))
                if _fill(storages[key], file) != info.CRC:
                    raise UserError(f"data/{key} has another checksum: damaged")
            return storages[key]

        made = interpret(Source(io.BytesIO(data), len(data)), len(data), _dialect(raw, total))
        for info in entries.values():  # nothing refers to them: their checksums are compared
            with archive.open(info) as entry:
                while entry.read(_CHUNK):
                    pass
    return made


def _start_of(info: zipfile.ZipInfo, file: IO[bytes]) -> int:
    """Where the bytes of a stored entry begin: behind its own header, a name and a padding."""
    file.seek(info.header_offset)
    signature, name, extra = _HEADER.unpack(file.read(_HEADER.size))
    if signature != b"PK\3\4":
        raise UserError(f"{info.filename} is not where the directory says: damaged")
    return info.header_offset + _HEADER.size + int(name) + int(extra)


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
        source = Source(file, left)
        dialect = _dialect(raw, left)
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


def _dialect(raw: Callable[[str, int], Tensor], size: int) -> Dialect:
    """Of a file of `size` bytes; `raw` gives those of a storage by its key and their number."""
    left = _MOST_REPEATS * size + 2**20

    def rebuilt(name: Name, args: tuple[Any, ...]) -> Tensor:
        nonlocal left
        made = _tensor(name, args)
        left -= made.nbytes
        if left < 0:
            raise UserError("repeats its numbers, and would take more than the file")
        return made

    def with_attributes(_name: Name, args: tuple[Any, ...]) -> Any:
        """Tensor of (maker, class, arguments, attributes)."""
        maker, _kind, inner, *_ = args if len(args) >= 3 else (None,) * 3
        if maker not in _REBUILT or not isinstance(inner, tuple):
            raise UserError("has a tensor of another class")
        return rebuilt(maker, inner)

    def stored(found: Any) -> _Storage:
        match found:
            case ("storage", Name() as kind, str(key), str(), int(count)):
                view = None
            case ("storage", Name() as kind, str(key), str(), int(count), view):
                pass
            case _:
                raise UserError("has a storage that is not described as one")
        if kind not in _STORAGES or not 0 <= count < _MOST_NUMBERS:
            raise UserError(f"has a storage of {count:.6g} numbers of an unknown kind ({kind})")
        dtype = _STORAGES[kind]
        numbers = raw(key, count * dtype.itemsize)
        if len(numbers) < count * dtype.itemsize:
            raise UserError(f"declares {count} numbers in data/{key}, which has fewer")
        start = 0
        if view is not None:
            match view:
                case (str(), int(start), int(length)) if 0 <= start <= start + length <= count:
                    count = length
                case _:
                    raise UserError("has a part of a storage that is not described as one")
        return _Storage(dtype=dtype, raw=numbers, start=start, count=count)

    return Dialect(
        makers={
            **_MAKERS,
            **dict.fromkeys(_REBUILT, rebuilt),
            _WITH_ATTRIBUTES: with_attributes,
        },
        fill=_state,
        keys=(str, int, float, bytes, type(None)),
        most=_MOST_OPCODES,
        stored=stored,
    )


def _state(made: Any, _state: Any) -> None:
    """Ordered dictionaries have one (the versions of modules), which nothing here needs."""
    if not isinstance(made, dict | Tensor | _Opaque):
        raise UserError("gives a state to what has none")


def _whole(values: Any) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) <= _MOST_AXES
        and all(type(n) is int and 0 <= n < _MOST_NUMBERS for n in values)
    )


def _tensor(name: Name, args: tuple[Any, ...]) -> Tensor:
    """Tensor by (storage, offset, shape, strides, ...): a view, which must lie within."""
    storage, offset, shape, strides, *more = args if len(args) >= 4 else (None,) * 4
    if not isinstance(storage, _Storage) or not _whole((offset,)):
        raise UserError("has a tensor without numbers")
    if not _whole(shape) or not _whole(strides) or len(shape) != len(strides):
        raise UserError("has a tensor whose shape is none")
    dtype: torch.dtype | None = storage.dtype
    if name.name == "_rebuild_tensor_v3":
        dtype = _TYPES.get(more[2]) if len(more) > 2 and isinstance(more[2], Name) else None
    elif len(more) > 2 and more[2]:
        raise UserError("has a tensor with properties that are not known here")
    if dtype is None:
        raise UserError("has a tensor whose type is none")
    room = storage.count * storage.dtype.itemsize // dtype.itemsize
    last = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if math.prod(shape) >= _MOST_NUMBERS or (0 not in shape and offset + last >= room):
        raise UserError(f"has a tensor {list(shape)!s:.60} of {room} numbers")
    empty = torch.empty(0, dtype=dtype)
    if 0 in shape:
        return empty.new_empty(shape)
    return empty.set_(storage.raw.untyped_storage(), storage.start + offset, shape, strides)


def _parameter(_name: Name, args: tuple[Any, ...]) -> Tensor:
    if not args or not isinstance(args[0], Tensor):
        raise UserError("has a parameter without numbers")
    return args[0]


def _ordered(_name: Name, args: tuple[Any, ...]) -> dict[Any, Any]:
    pairs = args[0] if args else []
    kinds = (str, int, float, bytes, type(None))
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], kinds)
        for pair in pairs
    ):
        raise UserError("has an ordered dictionary of no pairs")
    return dict(pairs)


def _shape(_name: Name, args: tuple[Any, ...]) -> tuple[int, ...]:
    if len(args) != 1 or not _whole(args[0]):
        raise UserError("has a size that is none")
    return tuple(args[0])


def _opaque(_name: Name, _args: tuple[Any, ...]) -> _Opaque:
    return _Opaque()


def _never(name: Name, _args: tuple[Any, ...]) -> Any:
    raise UserError(f"uses {name} as a function")


def _names(module: str, *names: str) -> list[Name]:
    return [Name(module=module, name=name) for name in names]


_STORAGES: Mapping[Name, torch.dtype] = {
    **{Name(module="torch", name=f"{kind}Storage"): dtype for kind, dtype in _DTYPES.items()},
    Name(module="torch.storage", name="UntypedStorage"): torch.uint8,
}
_TYPES = {Name(module="torch", name=str(dtype)[6:]): dtype for dtype in _DTYPES.values()}
_WITH_ATTRIBUTES = Name(module="torch._tensor", name="_rebuild_from_type_v2")
_REBUILT = _names("torch._utils", *(f"_rebuild_tensor{v}" for v in ("", "_v2", "_v3")))
# What torch.load(weights_only=True) knows too, of which nothing here makes use.
_HARMLESS = [
    *_names("torch", "device", "Tensor", "float8_e4m3fn", "float8_e5m2", "uint16", "uint32"),
    *_names("torch.nn.parameter", "Parameter", "Buffer"),
    *_names("torch._tensor", "Tensor"),
    *_names("torch.serialization", "_get_layout"),
    *(Name(module=m, name=n) for m in ("builtins", "__builtin__")
      for n in ("set", "bytearray", "complex", "frozenset", "slice")),
    *_names("_codecs", "encode"),
    *_names("collections", "Counter", "defaultdict", "deque"),
    *_names("datetime", "datetime", "date", "timedelta"),
]  # fmt: skip
_MAKERS: Mapping[Name, Maker] = MappingProxyType(
    {
        **dict.fromkeys(_STORAGES, _never),
        **dict.fromkeys(_TYPES, _never),
        **dict.fromkeys(
            _names("torch._utils", "_rebuild_parameter", "_rebuild_parameter_with_state"),
            _parameter,
        ),
        **dict.fromkeys(_names("collections", "OrderedDict"), _ordered),
        **dict.fromkeys(_names("torch", "Size"), _shape),
        **dict.fromkeys(_HARMLESS, _opaque),
    }
)
