"""Tensors in the pickles of `torch.save`: views of storages, which must lie within them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.pickles.machine import Dialect
from stylegan_eval.pickles.values import Maker, Name

_MOST_OPCODES = 2_000_000
_MOST_AXES = 16
_MOST_NUMBERS = 2**48
# Copies of all tensors, in sizes of the file: states of one network are saved twice, say.
_MOST_REPEATS = 16
_KEYS = (str, int, float, bytes, type(None))

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


def tensors_of(raw: Callable[[str, int], Tensor], size: int) -> Dialect:
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
        keys=_KEYS,
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
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], _KEYS)
        for pair in pairs
    ):
        raise UserError("has an ordered dictionary of no pairs")
    return dict(pairs)


def _shape(_name: Name, args: tuple[Any, ...]) -> tuple[int, ...]:
    if len(args) != 1 or not _whole(args[0]):
        raise UserError("has a size that is none")
    return tuple(args[0])


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
      for n in ("set", "bytearray", "complex", "frozenset", "slice", "range",
                # Named by a defaultdict as what its values begin as.
                "list", "dict", "tuple", "int", "long", "float", "bool", "str", "unicode")),
    *_names("_codecs", "encode"),
    *_names("collections", "Counter"),
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
        # Their entries follow, as those of dictionaries and lists do.
        **dict.fromkeys(_names("collections", "defaultdict"), lambda _name, _args: {}),
        **dict.fromkeys(_names("collections", "deque"), lambda _name, _args: []),
        **dict.fromkeys(_HARMLESS, lambda _name, _args: _Opaque()),
    }
)
