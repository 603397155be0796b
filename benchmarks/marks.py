"""Parts of the documentation that a command writes, between two marks."""

from collections.abc import Iterable
from pathlib import Path

from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write


def between(text: str, name: str, lines: Iterable[str]) -> str:
    """Text with these lines between the marks of a name.

    Raises
    ------
    UserError
        It has no such marks.
    """
    begin, end = f"<!-- {name}: written by a command -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"there is no place for {name}: expected {begin} and {end}")
    return "\n".join([before + begin, "", *lines, "", end + after])


def write_between(path: Path, name: str, lines: Iterable[str]) -> None:
    """Put lines between the marks of a file, whole or not at all; see `between`."""
    text = between(path.read_text(encoding="utf-8"), name, lines)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
