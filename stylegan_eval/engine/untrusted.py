"""Untrusted bytes and names: what parsers raise becomes a `UserError`, names are harmless."""

import contextlib
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

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


# What begins a formula; a tab or line break before it is skipped by spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_DRIVE = re.compile(r"[A-Za-z]:")


def leaves_folder(name: str) -> bool:
    """Tell whether `name`, joined to a folder, might lead out of it on any system.

    >>> [leaves_folder(name) for name in ("a/b..png", "../b.png", "/b.png", "a\\\\..\\\\b.png")]
    [False, True, True, True]
    """
    plain = name.replace("\\", "/")
    return (
        plain.startswith("/")
        or _DRIVE.match(plain) is not None
        or "\0" in plain
        or ".." in plain.split("/")
    )


def printable(text: str) -> str:
    r"""Write what would command a terminal (escapes, control characters) as an escape.

    >>> printable("a\x1b[2Jb\u202ec"), printable("Bjørn\tβ")
    ('a\\x1b[2Jb\\u202ec', 'Bjørn\tβ')
    """
    return _escaped(text, "\n\t")


def one_line(text: str) -> str:
    r"""Write a name so that it stays in its line: also ends of lines and tabs as escapes.

    >>> one_line("a\nb"), one_line("caf\xe9")
    ('a\\nb', 'café')
    """
    return _escaped(text, "")


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


def as_listed(name: str) -> str:
    """Write a name so that it stands in a list with commas, as `--classes` reads it.

    >>> as_listed("cat"), as_listed("salt, pepper")
    ('cat', '"salt, pepper"')
    """
    plain = one_line(name)
    if not set(',"') & set(plain) and plain.strip() == plain:
        return plain
    return '"' + plain.replace('"', '""') + '"'


def name_form(name: str) -> str:
    """One form for names that look the same: composed characters (NFC), no blanks.

    >>> name_form("cafe\u0301 ") == name_form("caf\xe9")
    True
    """
    return unicodedata.normalize("NFC", name).strip()


def csv_text(text: str) -> str:
    """Keep a spreadsheet from running a name as a formula: a quote before it, as text has.

    >>> csv_text("=1+1"), csv_text("a=1"), csv_text("")
    ("'=1+1", 'a=1', '')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def from_csv_text(text: str) -> str:
    """Undo `csv_text`."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
