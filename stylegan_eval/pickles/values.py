"""Values of a pickle's opcodes: stand-ins that hold data, arrays of checked numbers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.errors import UserError

_DTYPES = ("f4", "f8", "i4", "i8")
_CODECS = ("latin1", "latin-1")
_MOST_AXES = 8


@dataclass(frozen=True, kw_only=True)
class Name:
    """A name that the file mentions: never looked up, only compared."""

    module: str  # As the file spells it
    name: str

    def __str__(self) -> str:
        """In printable characters, and not more than a line has room for."""
        return ascii(f"{self.module}.{self.name}")[1:-1][:80]


@dataclass(kw_only=True)
class Stub:
    """Stands for an object of a class that is not here."""

    made_by: Name  # Its class
    state: dict[str, Any] | None = None  # What the file says of it


@dataclass(kw_only=True)
class Dtype:
    """Type of an array's numbers."""

    code: str  # Kind and bytes of a number, as in "f4"


@dataclass(kw_only=True)
class Array:
    """An array that the file makes first and fills then."""

    value: NDArray[Any] | None = None  # Its numbers, a view of the file's bytes


@dataclass(frozen=True)
class Unknown:
    """Stands for whatever a refused name would have made."""

    name: Name


def _refused(*args: Any) -> UserError:
    return UserError(f"uses {' '.join(map(str, args))} in a way that no network needs")


def _numbers(dtype: Any, shape: Any, data: Any, *, fortran: bool) -> NDArray[Any]:
    """View `data` as an array; its length must be that of the shape."""
    if not isinstance(dtype, Dtype):
        raise _refused("an array without a dtype")
    if not isinstance(shape, tuple) or any(type(n) is not int or n < 0 for n in shape):
        raise _refused("an array whose shape is no tuple of sizes")
    if len(shape) > _MOST_AXES:
        raise _refused(f"an array of {len(shape)} axes")
    if isinstance(data, str):  # of Python 2
        data = data.encode("latin-1")
    if not isinstance(data, bytes | bytearray):
        raise _refused("an array whose data are no bytes")
    wanted = math.prod(shape) * np.dtype(dtype.code).itemsize
    if wanted != len(data):
        shown = "x".join(f"{n:.6g}" for n in shape)
        raise UserError(
            f"declares an array {shown} of {dtype.code}, which {len(data)} bytes do not fill"
        )
    flat = np.frombuffer(data, np.dtype(dtype.code).newbyteorder("<"))
    return flat.reshape(shape, order="F" if fortran else "C")


def _stub(name: Name, args: tuple[Any, ...]) -> Stub:
    if args:
        raise _refused(name, "with arguments")
    return Stub(made_by=name)


def _dict(name: Name, args: tuple[Any, ...]) -> dict[str, Any]:
    if args:
        raise _refused(name, "with arguments")
    return {}


def _dtype(_name: Name, args: tuple[Any, ...]) -> Dtype:
    code = args[0] if args else None
    if not isinstance(code, str) or code not in _DTYPES:
        shown = ascii(code)[:20] if isinstance(code, str) else "another kind"
        raise UserError(f"holds an array of dtype {shown}, expected one of {', '.join(_DTYPES)}")
    return Dtype(code=code)


def _empty_array(name: Name, args: tuple[Any, ...]) -> Array:
    if len(args) != 3 or args[0] != Name(module="numpy", name="ndarray"):
        raise _refused(name)
    return Array()


def _scalar(name: Name, args: tuple[Any, ...]) -> Array:
    if len(args) != 2:
        raise _refused(name)
    return Array(value=_numbers(args[0], (), args[1], fortran=False))


def _from_buffer(name: Name, args: tuple[Any, ...]) -> Array:
    if len(args) != 4 or not isinstance(args[3], str) or args[3] not in ("C", "F"):
        raise _refused(name)
    data, dtype, shape, order = args
    return Array(value=_numbers(dtype, shape, data, fortran=order == "F"))


def _encode(name: Name, args: tuple[Any, ...]) -> str:
    text, codec = args if len(args) == 2 else (None, None)
    if not isinstance(text, str) or codec not in _CODECS:
        raise _refused(name)
    return text  # and an array takes its bytes from it: many names of one text cost nothing


def _reconstructed(name: Name, args: tuple[Any, ...]) -> Stub:
    kind, base, state = args if len(args) == 3 else (None, None, None)
    if not isinstance(kind, Name) or MAKERS.get(kind) is not _stub or base not in _OBJECT or state:
        raise _refused(name)
    return Stub(made_by=kind)


def _never(name: Name, _args: tuple[Any, ...]) -> Any:
    raise _refused(name, "as a function")


def _named(*places: str) -> list[Name]:
    parted = [place.rpartition(".") for place in places]
    return [Name(module=module, name=name) for module, _, name in parted]


_OBJECT = _named("builtins.object", "__builtin__.object")

Maker = Callable[[Name, tuple[Any, ...]], Any]
NETWORKS = tuple(_named("dnnlib.tflib.network.Network", "tfutil.Network"))
# Everything that a file may name, and what is made instead of calling it.
MAKERS: Mapping[Name, Maker] = MappingProxyType(
    {
        **dict.fromkeys(NETWORKS, _stub),
        **dict.fromkeys(_named("dnnlib.util.EasyDict", "collections.OrderedDict"), _dict),
        **dict.fromkeys(
            _named("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
            _empty_array,
        ),
        **dict.fromkeys(
            _named("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"), _scalar
        ),
        **dict.fromkeys(
            _named("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"),
            _from_buffer,
        ),
        **dict.fromkeys(_named("numpy.dtype"), _dtype),
        **dict.fromkeys(_named("numpy.ndarray"), _never),
        **dict.fromkeys(_named("_codecs.encode"), _encode),
        **dict.fromkeys(
            _named("copyreg._reconstructor", "copy_reg._reconstructor"), _reconstructed
        ),
        **dict.fromkeys(_OBJECT, _never),
    }
)  # fmt: skip


def fill(made: Any, state: Any) -> None:
    """Give a stand-in the state that the file has for it."""
    if isinstance(made, Stub) and made.state is None and isinstance(state, dict):
        made.state = state
    elif isinstance(made, Dtype) and isinstance(state, tuple) and len(state) >= 2:
        if not isinstance(state[1], str) or state[1] not in ("<", "=", "|"):
            raise UserError("holds numbers of another byte order than little-endian")
    elif isinstance(made, Array) and made.value is None and isinstance(state, tuple):
        if len(state) != 5:
            raise _refused("an array's state")
        _, shape, dtype, fortran, data = state
        made.value = _numbers(dtype, shape, data, fortran=fortran is True or fortran == 1)
    else:
        raise UserError("gives a state to what has none")
