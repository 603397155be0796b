"""Names inside an archive, which a stranger may have written."""

import re

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
