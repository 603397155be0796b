"""The one place where what a parser raises on untrusted bytes becomes a `UserError`."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from stylegan_eval.engine.names import printable
from stylegan_eval.errors import UserError

_LONGEST = 200
_OBJECT = re.compile(r" ?<[\w.]+( object at 0x[0-9a-f]+| name=.*)>")  # the text of an open file


@contextlib.contextmanager
def parsing(where: str | Path, expected: str = "", advice: str = "") -> Iterator[None]:
    """Refuse, as ``WHERE: EXPECTED (reason): ADVICE``, what the block cannot make sense of.

    Every exception is caught: parsers take the bytes at their word, and no list of what zipfile,
    NumPy, Pillow, safetensors, tarfile or json raise for damaged bytes has ever been complete. The
    block must therefore hold the parsing of one file and nothing else. A `UserError` that names the
    file passes, another one is the reason; signals and exits pass.
    """
    try:
        yield
    except UserError as error:
        named = str(where) in str(error)
        if named and len(str(error)) <= len(str(where)) + 5 * _LONGEST:
            raise
        if named:  # with a name of the file's own in it, as long as the file
            raise UserError(reason(error, len(str(where)) + 5 * _LONGEST)) from error
        if not expected:
            raise UserError(f"{where}: {reason(error, 5 * _LONGEST)}") from error
        raise UserError(_line(where, expected, reason(error), advice)) from error
    except MemoryError as error:
        raise UserError(f"{where}: takes more memory than there is") from error
    except Exception as error:
        raise UserError(_line(where, expected or "damaged", reason(error), advice)) from error


def _line(where: str | Path, expected: str, why: str, advice: str) -> str:
    colon = "" if expected.startswith("is ") else ":"
    return f"{where}{colon} {expected} ({why})" + (f": {advice}" if advice else "")


def reason(error: BaseException, longest: int = _LONGEST) -> str:
    """Message of an exception, as one printable line of bounded length."""
    if isinstance(error, KeyError) and error.args:
        text = f"no {error.args[0]!r:.60}"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = _OBJECT.sub("", str(error))
    words = printable(" ".join(text.split())[:longest])
    return words or type(error).__name__
