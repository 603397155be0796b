"""An interpreter for the opcodes of a pickle that holds networks.

Not Python's own: no opcode here imports or calls what the file names. Names become `values.Name`,
and only those of a `Dialect` have a meaning, which is code of this package; what the others would
have made is unknown, and the file is refused with their names. Nothing recurses, no key takes long
to hash, and what is made has a bounded depth and a bounded size when it is written out.

References
----------
The opcodes are those of the standard library's `pickletools`, protocols 0 to 5, without extension
codes, buffers out of band, sets, and classes called with arguments of the file.
"""

import pickletools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stylegan_eval.errors import UserError
from stylegan_eval.pickles.source import DAMAGED, LARGEST, MOST, ByteSource
from stylegan_eval.pickles.values import MAKERS, Array, Maker, Name, Unknown, fill

# Opcodes whose argument is the object that they make.
_LITERALS = frozenset(
    [
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE"),
        *("BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    ]
)
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_PROTOCOL = 5
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_DEEPEST = 50
_MOST_VALUES = 2**22  # written out, with what is shared once for each place


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Rules for the pickles of a kind of file."""

    makers: Mapping[Name, Maker]
    fill: Callable[[Any, Any], None]  # what a state does to what was made
    keys: tuple[type, ...]  # of dictionaries; their hash must be cheap, so no tuples
    most: int  # opcodes
    stored: Callable[[Any], Any] | None = None  # what a persistent id stands for


_NETWORKS = Dialect(makers=MAKERS, fill=fill, keys=(str,), most=MOST)


class ForeignNamesError(UserError):
    """The pickle names what its dialect does not know."""

    def __init__(self, names: list[Name], made: Any) -> None:
        shown = ", ".join(map(str, names[:3])) + (
            f" and {len(names) - 3} more" if len(names) > 3 else ""
        )
        super().__init__(f"names {shown}, which no network needs; nothing of it was run")
        self.names = names
        self.made = made
        """With `Unknown` in the places of what the names would have made; None where damaged."""


class _Machine:
    """Stack, marks and memo of one pickle of `size` bytes."""

    def __init__(self, size: int, dialect: Dialect) -> None:
        self.left = size  # for numbers of arrays
        self.dialect = dialect
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.refused: dict[Name, None] = {}  # in the order of the file

    def pop(self) -> Any:
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) <= floor:
            raise UserError("takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        floor = self.marks[-1] if self.marks else 0
        if len(self.stack) <= floor:
            raise UserError("takes from an empty stack")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise UserError("takes from an empty stack")
        mark = self.marks.pop()
        taken = self.stack[mark:]
        del self.stack[mark:]
        return taken

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UserError("gives a name that is no text")
        found = Name(module=module, name=name)
        if found not in self.dialect.makers:
            self.refused[found] = None
        self.stack.append(found)

    def load_stored(self) -> None:
        if self.dialect.stored is None:
            raise UserError("uses BINPERSID, which no network needs")
        self.stack.append(self.dialect.stored(self.pop()))

    def make(self, args: Any, maker: Any) -> None:
        makers = self.dialect.makers
        if isinstance(maker, Unknown) or (isinstance(maker, Name) and maker not in makers):
            name = maker if isinstance(maker, Name) else maker.name
            self.stack.append(Unknown(name))
        elif not isinstance(maker, Name) or not isinstance(args, tuple):
            raise UserError("calls something that is no function")
        else:
            self.stack.append(self.counted(makers[maker](maker, args)))

    def build(self, state: Any) -> None:
        made = self.top()
        if not isinstance(made, Unknown):
            self.dialect.fill(made, state)
            self.counted(made)

    def counted(self, made: Any) -> Any:
        """Hold the arrays to the file's bytes: many may view the same, and are copied later."""
        if isinstance(made, Array) and made.value is not None:
            self.left -= made.value.nbytes
            if self.left < 0:
                raise UserError("makes more numbers of its bytes than they are")
        return made

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Unknown):
            raise UserError("appends to what is no list")

    def set_items(self, flat: list[Any]) -> None:
        target = self.top()
        if isinstance(target, dict):
            target.update(self.pairs(flat))
        elif not isinstance(target, Unknown):
            raise UserError("sets an item of what is no dictionary")

    def remember(self, number: int) -> None:
        self.memo[number] = self.top()

    def recall(self, number: int) -> None:
        if number not in self.memo:
            raise UserError(f"refers to object {number:.6g}, which it has not made")
        self.stack.append(self.memo[number])

    def pairs(self, flat: list[Any]) -> dict[Any, Any]:
        # A tuple of tuples as a key could take forever to hash.
        if len(flat) % 2 or not all(isinstance(key, self.dialect.keys) for key in flat[::2]):
            raise UserError("has a dictionary whose keys are no names")
        return dict(zip(flat[::2], flat[1::2], strict=True))


def _tuple(machine: _Machine, size: int) -> None:
    machine.stack.append(tuple(reversed([machine.pop() for _ in range(size)])))


def _pop(machine: _Machine, _argument: Any) -> None:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.pop()


def _protocol(_machine: _Machine, number: int) -> None:
    if number > _PROTOCOL:
        raise UserError(f"is of protocol {number}, expected at most {_PROTOCOL}")


_Step = Callable[[_Machine, Any], object]
_STEPS: Mapping[str, _Step] = MappingProxyType(
    {
        "MARK": lambda m, _: m.marks.append(len(m.stack)),
        "POP": _pop,
        "POP_MARK": lambda m, _: m.since_mark(),
        "TUPLE": lambda m, _: m.stack.append(tuple(m.since_mark())),
        "EMPTY_LIST": lambda m, _: m.stack.append([]),
        "LIST": lambda m, _: m.stack.append(m.since_mark()),
        "EMPTY_DICT": lambda m, _: m.stack.append({}),
        "DICT": lambda m, _: m.stack.append(m.pairs(m.since_mark())),
        "APPEND": lambda m, _: m.append([m.pop()]),
        "APPENDS": lambda m, _: m.append(m.since_mark()),
        "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
        "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
        "PUT": lambda m, number: m.remember(number),
        "BINPUT": lambda m, number: m.remember(number),
        "LONG_BINPUT": lambda m, number: m.remember(number),
        "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
        "GET": lambda m, number: m.recall(number),
        "BINGET": lambda m, number: m.recall(number),
        "LONG_BINGET": lambda m, number: m.recall(number),
        # Names with dots are told apart by the space between module and name.
        "GLOBAL": lambda m, both: m.name(*both.split(" ", 1)),
        "STACK_GLOBAL": lambda m, _: m.name(*reversed((m.pop(), m.pop()))),
        "REDUCE": lambda m, _: m.make(m.pop(), m.pop()),
        "NEWOBJ": lambda m, _: m.make(m.pop(), m.pop()),
        "BUILD": lambda m, _: m.build(m.pop()),
        "BINPERSID": lambda m, _: m.load_stored(),
        "PROTO": _protocol,
        "FRAME": lambda _m, _: None,
    }
)


def _run(machine: _Machine, source: ByteSource) -> Any:
    most = machine.dialect.most
    for _ in range(most):
        opcode = _OPCODES.get(source.code())
        if opcode is None:
            raise UserError("has an opcode that does not exist")
        argument = source.argument(opcode)
        if opcode.name == "STOP":
            return machine.pop()
        if opcode.name in _LITERALS:
            machine.stack.append(argument)
        elif opcode.name in _CONSTANTS:
            machine.stack.append(_CONSTANTS[opcode.name])
        elif opcode.name in _TUPLES:
            _tuple(machine, _TUPLES[opcode.name])
        elif opcode.name in _STEPS:
            _STEPS[opcode.name](machine, argument)
        else:
            raise UserError(f"uses {opcode.name}, which no network needs")
    raise UserError(f"has more than {most} opcodes")


def _check_extent(made: Any) -> None:
    """Refuse what is nested too deep, or refers to itself or to its parts too often.

    Whoever prints, compares or walks through what was made meets each part once for each place.
    """
    measured: dict[int, tuple[int, int]] = {}  # by id: depth, values
    stack: list[tuple[Any, Iterator[Any]]] = []

    def enter(value: Any) -> None:
        if len(stack) >= _DEEPEST:
            raise UserError(f"nests its values more than {_DEEPEST} deep")
        stack.append((value, iter(parts(value))))

    def parts(value: Any) -> Any:
        return value.values() if isinstance(value, dict) else value

    if isinstance(made, dict | list | tuple):
        enter(made)
    while stack:
        value, rest = stack[-1]
        inner = next((v for v in rest if isinstance(v, dict | list | tuple)), None)
        if inner is not None and id(inner) not in measured:
            enter(inner)
        elif inner is None:
            stack.pop()
            found = [measured[id(v)] for v in parts(value) if id(v) in measured]
            depth = 1 + max((depth for depth, _ in found), default=0)
            values = len(value) + sum(values for _, values in found)
            measured[id(value)] = (depth, values)
            if depth + len(stack) > _DEEPEST or values > _MOST_VALUES:
                raise UserError("nests its values too deep, or repeats them too often")


def interpret(source: ByteSource, size: int, dialect: Dialect = _NETWORKS) -> Any:
    """Read one pickle of at most `size` bytes as plain values, containers, dialect's values.

    ForeignNamesError where it names what the dialect does not know.
    """
    machine = _Machine(size, dialect)
    made = None
    try:
        with warnings.catch_warnings():
            # What pickletools has to say of odd escapes is not for users.
            warnings.simplefilter("ignore", DeprecationWarning)
            made = _run(machine, source)
        _check_extent(made)
    except (UserError, *DAMAGED) as error:
        if not machine.refused:
            message = f"is damaged ({error})" if isinstance(error, DAMAGED) else str(error)
            raise UserError(message) from error
    if machine.refused:
        raise ForeignNamesError(list(machine.refused), made)
    return made


def read_pickle(path: Path, expected: str = "a pickle of networks") -> Any:
    """Read a pickle of NVIDIA's as data; what is made of names is in `values`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    size = path.stat().st_size
    if size > LARGEST:
        raise UserError(f"{path}: has {size} bytes, a pickle of networks at most {LARGEST}")
    with path.open("rb") as file:
        try:
            return interpret(ByteSource(file, size), size)
        except UserError as error:
            raise UserError(f"{path}: not {expected}: {error}") from error
