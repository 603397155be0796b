"""The bytes of a pickle, handed out within limits that hold before anything is allocated."""

import struct
from typing import Any, BinaryIO

from stylegan_eval.errors import UserError

# The largest networks of this kind (two generators and a discriminator of 1024x1024) have 310 MB.
LARGEST = 2**30
# Opcodes: those networks have some 15,000.
MOST = 200_000
# Bytes of text in all; the source code of the networks, which is dropped, has some 100 kB.
_TEXT = 2**24
_LINE = 2**20
_NUMBER = 64
_OF_TEXT = {"UNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "STRING", "GLOBAL"}
_OF_NUMBERS = {"INT", "LONG", "LONG1", "LONG4", "FLOAT", "GET", "PUT"}

# What reading an argument can raise: pickletools takes the bytes at their word.
DAMAGED = (ValueError, OverflowError, struct.error, EOFError)


class ByteSource:
    """A file that `pickletools` reads the arguments of opcodes from."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self._text = 0
        self._limit = 1

    def code(self) -> str:
        """Take the next opcode's character."""
        self._limit = 1
        return self.read(1).decode("latin-1")

    def argument(self, opcode: Any) -> Any:
        """Take the argument of a `pickletools.OpcodeInfo`; None where it has none."""
        if opcode.arg is None:
            return None
        of_text, before = opcode.name in _OF_TEXT, self._left
        self._limit = _NUMBER if opcode.name in _OF_NUMBERS else self._left
        if of_text:
            self._limit = min(self._left, _TEXT - self._text)
        value = opcode.arg.reader(self)
        if of_text:
            self._text += before - self._left
        return value

    def read(self, n: int) -> bytes:
        """Take n bytes; UserError where that is more than there are or may be."""
        if n > self._left:
            raise UserError(f"ends early: {n} bytes are declared, {self._left} are left")
        if n > self._limit:
            raise UserError(f"declares {n} bytes where a network has at most {self._limit}")
        self._left -= n
        return self._file.read(n)

    def readline(self) -> bytes:
        """Take a line, its end included; UserError where it is too long."""
        limit = min(self._limit, _LINE)
        line = self._file.readline(limit + 1)
        if len(line) > limit and self._left > limit:
            raise UserError(f"has a line of more than {limit} bytes")
        self._left -= len(line)
        return line
