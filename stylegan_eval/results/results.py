"""One measured number with its full provenance: as CSV, as JSON and as a line of text."""

import csv
import html
import io
import json
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from stylegan_eval.engine.command import say
from stylegan_eval.engine.files import PACKAGE, atomic_write, check_writable, locked
from stylegan_eval.engine.untrusted import csv_text, from_csv_text, parsing, printable
from stylegan_eval.errors import UserError
from stylegan_eval.results.formatting import fitted, json_value, result_text
from stylegan_eval.results.significance import known

# In `details`: the standard error where the real images are redrawn as well.
REDRAWN = "stderr-reals-redrawn"
# Likewise: degrees of freedom of a standard error that comes from few groups of images.
FREEDOM = "stderr-freedom"
_DIGITS = 16  # a number of images has fewer


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A result; the attributes are the columns, in this order."""

    metric: str  # Name; it pins the protocol (``fid50k``)
    value: float  # The number
    stderr: float | None = None  # Its standard error; None where none is known
    num: int  # Generated images, or pairs of them
    seed: int  # Seed of all that is random
    protocol: Mapping[str, str]
    """Choices behind the number, in words: resize, mirror, quantisation, ..."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Other values measured, or used without defining the number."""
    generator: str = ""
    generator_digest: str = ""
    description: str = ""
    """generator, generator_digest, description: What drew the images: a checkpoint, a factory, or a
    set of images; empty where none did."""
    detector: str = ""
    weights_sha256: str = ""
    """detector, weights_sha256: The feature network, distance or classifiers; empty where none took
    part."""
    data: str = ""
    data_digest: str = ""
    """data, data_digest: The real images; empty where none took part."""
    data_count: int = 0  # How many of them were used; 0 where unknown
    precision: str
    device: str
    """precision, device: Arithmetic of the network and where it ran."""
    processes: int = 1  # How many processes shared the work
    torch: str = field(default_factory=lambda: version("torch"))
    version: str = field(default_factory=lambda: version(PACKAGE))
    """torch, version: Versions of PyTorch and of this package."""
    seconds: float  # Wall time
    date: str = field(default_factory=_now)  # UTC, ISO 8601
    note: str = ""  # What a reader must know before quoting the number; empty when nothing

    def __post_init__(self) -> None:
        for name in ("protocol", "details"):
            said = dict(getattr(self, name))
            # A cell of the table is "key=value key=value".
            assert not set(" =\n") & set("".join([*said.keys(), *said.values()])), said
            object.__setattr__(self, name, said)
        object.__setattr__(self, "stderr", known(self.stderr, self.value))

    @property
    def name(self) -> str:
        """The metric's, as papers name it."""
        return self.metric

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        noted = f"\n  note: {self.note}" if self.note else ""
        return printable(f"{summary(self)}{noted}")

    def to_dict(self) -> dict[str, Any]:
        """Every column by name, for JSON or a table; not a number is None."""
        return {name: json_value(value) for name, value in asdict(self).items()}

    def _repr_html_(self) -> str:
        return html_table([self])


COLUMNS = tuple(column.name for column in fields(Row))
# What must be equal in two rows that are compared.
DEFINING = (
    "protocol",
    "num",
    "detector",
    "weights_sha256",
    "data_digest",
    "data_count",
    "precision",
)


def one_note(*notes: str) -> str:
    """Join notes into the text of a row: each once, in their order, without the empty ones."""
    return "; ".join(dict.fromkeys(note for note in notes if note))


def note_lines(noted: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of the notes of (name, note): equal ones share a line, parts (ls_w/hat) add none."""
    names: dict[str, list[str]] = {}
    for name, note in noted:
        if note and name.rpartition("/")[0] not in names.get(note, []):
            names.setdefault(note, []).append(name)
    return [f"{', '.join(dict.fromkeys(of))}: {note}" for note, of in names.items()]


def summary(row: Row) -> str:
    """The result as one line for people."""
    return f"{row.metric} {_value(row)}  (num {row.num}, seed {row.seed}, {_protocol(row)})"


def table(rows: Sequence[Row]) -> str:
    """Many results, a line each, without their protocols; parts of a result below it."""
    names = {row.metric: row.metric.rpartition("/")[2] for row in rows}
    parts = {metric for metric, name in names.items() if name != metric}
    width = max(len(metric) for metric in names if metric not in parts)
    lines = []
    for row in rows:
        if row.metric in parts:
            keys = [key for key in ("accuracy", "share", "error") if key in row.details]
            said = ", ".join(f"{key} {row.details[key]}" for key in keys)
            lines.append(f"    {names[row.metric]:<16}{row.value:8.4f}  {said}".rstrip())
        else:
            lines.append(f"{row.metric:<{width}}  {_value(row)}  (num {row.num})")
    return "\n".join(lines)


def html_table(rows: Sequence[Row]) -> str:
    """A table for notebooks; inherits the colours of the page."""
    head = "".join(f"<th>{name}</th>" for name in ("metric", "value", "num", "protocol", "note"))
    lines = []
    for row in rows:
        cells = (row.metric, _value(row), str(row.num), _protocol(row), row.note)
        lines.append("".join(f"<td>{html.escape(printable(cell))}</td>" for cell in cells))
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _value(row: Row) -> str:
    return result_text(row.value, row.stderr)


def _protocol(row: Row) -> str:
    return ", ".join(f"{key} {value}" for key, value in row.protocol.items())


def report(
    rows: Sequence[Row], path: Path | None, receipt: Path | None = None, *, as_json: bool
) -> None:
    """Print results to stdout and their notes to stderr; append them to a table if there is one."""
    if as_json:
        click.echo(to_json(rows))
    else:
        lines = table(rows) if len(rows) > 2 else "\n".join(map(summary, rows))
        say(fitted(lines, sys.stdout))
    for line in note_lines((row.metric, row.note) for row in rows):
        say(fitted(f"note: {line}", sys.stderr), err=True)
    if path is not None:
        append_csv(path, rows, receipt)


def to_json(rows: Sequence[Row]) -> str:
    """The results as a JSON object with the key ``results``: one object per row."""
    results = [row.to_dict() for row in rows]
    return json.dumps({"results": results}, indent=2, allow_nan=False)


def _cells(row: Row) -> dict[str, Any]:
    said = {
        name: " ".join(f"{key}={value}" for key, value in getattr(row, name).items())
        for name in ("protocol", "details")
    }
    cells = asdict(row) | said | {"stderr": "" if row.stderr is None else row.stderr}
    return {name: csv_text(cell) if isinstance(cell, str) else cell for name, cell in cells.items()}


def words_of(cell: str) -> dict[str, str]:
    """Read a cell of `protocol` or `details`, "key=value key=value"."""
    pairs = (pair.partition("=") for pair in cell.split())
    return {key: value for key, _, value in pairs}


class Dated(Protocol):
    """A row that can be asked for its date."""

    def __getitem__(self, column: str, /) -> str: ...


D = TypeVar("D", bound=Dated)
K = TypeVar("K", bound=Hashable)


def newest(rows: Iterable[D], key: Callable[[D], K]) -> dict[K, D]:
    """The row of each key with the latest date, of equal ones the last; keys in first order.

    Tables are put together by hand, in any order.
    """
    found: dict[K, D] = {}
    for row in rows:
        if row["date"] >= found.setdefault(key(row), row)["date"]:
            found[key(row)] = row
    return found


def count_of(row: Mapping[str, str]) -> int:
    """Images of a row, which may be of a log or edited; 0 where it has no such number."""
    num = row["num"]
    return int(num) if num.isdecimal() and len(num) < _DIGITS else 0


def freedom(row: Mapping[str, str]) -> float | None:
    """Degrees of freedom of the row's errors; None where these count as known."""
    found = words_of(row["details"]).get(FREEDOM)
    return float(found) if found else None


def cells(row: Row) -> dict[str, str]:
    """The columns as text, as they are read from a table again."""
    return {name: from_csv_text(str(cell)) for name, cell in _cells(row).items()}


def read_table(path: Path) -> str:
    """Text of a result table that rows may be appended to; empty when there is no such file."""
    check_writable(path)
    if not path.exists():
        return ""
    with parsing(path, "cannot be read as a table of results"):
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark before the text
        header = next(csv.reader(io.StringIO(text)), [])
    if text and header != list(COLUMNS):
        missing = ", ".join(name for name in COLUMNS if name not in header) or "none"
        foreign = ", ".join(name for name in header if name not in COLUMNS) or "none"
        raise UserError(
            f"{path}: columns are {','.join(header):.80}, not those of a table of results of this"
            f" version (missing: {missing}; foreign: {foreign:.80}): name another file"
        )
    return text


def append_csv(path: Path, rows: Sequence[Row], receipt: Path | None = None) -> None:
    """Append rows to a CSV file, with a header when it is new; all or nothing.

    Several processes may append to one file at a time. With a `receipt`, a file among the work that
    gave the rows, they are appended once: work whose command was killed after it had appended them
    gives them again.
    """
    with locked(path):
        text = read_table(path)
        added = io.StringIO()
        writer = csv.DictWriter(added, COLUMNS, lineterminator="\n")
        writer.writerows(_cells(row) for row in rows)
        # A path may hold bytes that are no text.
        new = added.getvalue().encode(errors="backslashreplace").decode()
        if receipt is not None:
            if receipt.exists() and receipt.read_text(encoding="utf-8") in text:
                return
            with atomic_write(receipt) as temporary:
                temporary.write_text(new, encoding="utf-8")
        header = "" if text else ",".join(COLUMNS) + "\n"
        gap = "\n" if text and not text.endswith("\n") else ""
        with atomic_write(path) as temporary:
            temporary.write_text(text + gap + header + new, encoding="utf-8")
