"""Numbers, errors, durations and sizes as text."""

import math
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from stylegan_eval.errors import UserError

_JOINT = re.compile(r"(?<!±)( +)(?![ ±\d-])")  # where a line may break: at no number
_SIZE = re.compile(r"(\d{1,18}(?:\.\d*)?|\.\d+)\s*(?:([KMGT])(i?))?B?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes that "10GiB", "500 MB", "1.5g" or "4096" mean.

    With an i units are powers of 1024, without one of 1000.

    >>> parse_size("10GiB") == 10 * 2**30
    True
    >>> parse_size("500 MB")
    500000000
    """
    match = _SIZE.fullmatch(text.strip())
    value = 0
    if match:
        number, prefix, binary = match.groups()
        power = " KMGT".index((prefix or " ").upper())
        value = int(float(number) * (1024 if binary else 1000) ** power)
    if value < 1:
        raise UserError(f"a size must look like 10GiB or 500MB, not {text!r}")
    return value


def size_text(count: float) -> str:
    """'512 B', '3.4 MiB', '12 GiB': two digits or more.

    >>> size_text(3.4 * 2**20), size_text(12 * 2**30)
    ('3.4 MiB', '12 GiB')
    """
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            value = count / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """'45 s', '12 min', '3.4 h' or '8.2 d'."""
    for unit, size, digits in (("d", 86400.0, 1), ("h", 3600.0, 1), ("min", 60.0, 0)):
        if seconds >= size * 2:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def number(value: float) -> str:
    """Four significant digits, never an exponent for what people read as a number."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = 3 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(decimals, 0)}f}" if abs(value) >= 1e-4 else f"{value:.3g}"


def about(count: float) -> str:
    """A count in two digits, rounded up.

    >>> about(8), about(82_101)
    ('8', '83,000')
    """
    unit = 10 ** max(len(str(math.ceil(count))) - 2, 0)
    return f"{math.ceil(count / unit) * unit:,}"


def with_error(value: float, error: float | None) -> str:
    """Value ± error, both to two significant digits of the error.

    >>> with_error(1.51457, 0.0234), with_error(1.51457, 0.0996), with_error(306.4, 135)
    ('1.515 ± 0.023', '1.51 ± 0.10', '306 ± 135')
    """
    if error is None:
        return number(value)
    if error == 0 or not math.isfinite(error):
        return f"{number(value)} ± {error:g}"
    rounded = float(f"{error:.1e}")  # 0.0996 is 0.10
    decimals = max(1 - math.floor(math.log10(rounded)), 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def result_text(value: float, error: float | None) -> str:
    """A single result: as `with_error` where its error is known, else to four decimals."""
    return f"{value:.4f}" if error is None else with_error(value, error)


def folded(line: str, width: int) -> str:
    """A line in lines of at most `width`, those after the first indented.

    A number stays with the word before it and with its error; what has no place to break is longer.

    >>> folded("fid2k 12.30 ± 0.12  (num 2000, seed 0, resize tf1)", 32).splitlines()
    ['fid2k 12.30 ± 0.12  (num 2000,', '    seed 0, resize tf1)']
    """
    pieces = _JOINT.split(line)
    lines = [pieces[0]]
    for gap, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if len(lines[-1]) + len(gap) + len(piece) <= width:
            lines[-1] += gap + piece
        else:
            lines.append(f"    {piece}")
    return "\n".join(lines)


def fitted(text: str, stream: TextIO) -> str:
    """Lines folded to the terminal that `stream` is; as they are for a file or a pipe."""
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(folded(line, width) for line in text.splitlines())


def table_text(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """A table, its first column to the left; where `width` is too narrow, lines for each row."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in (heads, *rows)
    ]
    if max(map(len, lines)) <= width:
        return "\n".join(lines)
    longest = max(map(len, heads[1:]))
    parts = []
    for name, *cells in rows:
        pairs = [(head, cell) for head, cell in zip(heads[1:], cells, strict=True) if cell]
        parts += [name, *(f"  {head:<{longest}}  {cell}" for head, cell in pairs)]
    return "\n".join(parts)


def json_value(value: Any) -> Any:
    """A value for JSON, which has no word for what is infinite or not a number: null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def probability(p: float) -> str:
    """'p = 0.02', or 'p < 0.0001'."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def number_plain(value: float) -> str:
    """A setting, as it was typed: '100', '0.5', '25000'."""
    return f"{value:.10g}"


def shortest(names: Sequence[str]) -> list[str]:
    """As much of the end of each path as tells it from the others."""
    parts = [[part for part in Path(name).parts if part != "/"] or [name] for name in names]
    # A checkpoint by itself says little without its folder.
    taken = [2 if part[-1].startswith("checkpoint-") else 1 for part in parts]
    while True:
        shown = ["/".join(part[-count:]) for part, count in zip(parts, taken, strict=True)]
        again = Counter(shown)
        longer = [
            at for at, name in enumerate(shown) if again[name] > 1 and taken[at] < len(parts[at])
        ]
        if not longer:
            return shown
        for at in longer:
            taken[at] += 1
