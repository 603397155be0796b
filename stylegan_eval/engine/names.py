"""Names from untrusted files: whether they leave a folder, and how to show and store them."""

import re
import unicodedata

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
    """What two names have in common that look the same: composed characters (NFC), no blanks.

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
