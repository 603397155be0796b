"""Names of files on a page that is mailed: none tells of the machine that wrote it."""

import re
import tempfile
from pathlib import Path

_HOME = r"(?:/home|/Users|/var/home)/[^/\s'\"<>&;]+|/root(?![\w.-])"
_TEMPORARY = r"/tmp|/var/tmp|/dev/shm|/(?:private/)?var/folders/[^/\s]+/[^/\s]+/T"
_REST = r"(?:/[^\s'\"<>&;,:)]*)?"
_PATH = re.compile(r"(?<![\w.~…/:-])/(?:[^\s/'\",;]+/)+[^\s/'\",;:)]+")
# Pictures are within the page, and may hold any letters.
_PICTURE = r"data:image/[^\"]*"


def place(path: Path | str, base: Path) -> str:
    """A path as a page in the folder `base` names it.

    What is written from the folder where a command ran stays; what lies in `base` is named from
    there; of anything else the last two parts.

    >>> place("runs/F", Path("/a")), place("/a/runs/F", Path("/a")), place("/b/c/d.csv", Path("/a"))
    ('runs/F', 'runs/F', '…/c/d.csv')
    """
    path = Path(path)
    if not path.is_absolute() and ".." not in path.parts:
        return str(path)
    if path.is_relative_to(base):
        return str(path.relative_to(base))
    names = [part for part in path.parts if part not in ("/", "..")]
    return "/".join(["…", *names[-2:]])


def sentence(words: str, base: Path) -> str:
    """A sentence whose absolute paths are named as by `place`.

    >>> sentence("/a/b/c.pt is not there: name it", Path("/x"))
    '…/b/c.pt is not there: name it'
    """
    return _PATH.sub(lambda match: place(match[0], base), words)


def mailable(words: str) -> str:
    """A text or a page without the home folder, which becomes ~, and without temporary folders.

    Of a file in a temporary folder its name is left. The rest of a command stays as it was typed.

    >>> mailable("stylegan-eval report /home/me/a.csv -o /tmp/x1/b.html --data /data/c.zip")
    'stylegan-eval report ~/a.csv -o …/b.html --data /data/c.zip'
    """
    home, temporary = (
        re.escape(folder) + r"(?![\w.-])" if len(folder) > 1 else r"(?!)"
        for folder in (str(Path.home()), tempfile.gettempdir())
    )
    pattern = re.compile(
        rf"({_PICTURE})|(?<![\w.~-])((?:{temporary}|{_TEMPORARY})(?![\w.-]){_REST})"
        rf"|(?<![\w.~-])(?:{home}|{_HOME})"
    )
    return pattern.sub(_shorter, words)


def _shorter(match: re.Match[str]) -> str:
    picture, temporary = match.groups()
    if picture:
        return picture
    return f"…/{Path(temporary).name}" if temporary else "~"
