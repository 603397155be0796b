"""One measured number with everything needed to know what it is: CSV, JSON and a line to read."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stylegan_eval.errors import UserError
from stylegan_eval.files import atomic_write

PACKAGE = "stylegan-bench"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A result; the attributes are the columns, in this order.

    Attributes
    ----------
    metric : str
        Name; it pins the protocol (``fid50k``).
    value : float
        The number.
    num : int
        Generated images.
    seed : int
        Seed of all that is random.
    protocol : mapping
        Choices behind the number, in words: resize, mirror, quantisation, ...
    checkpoint, checkpoint_sha256, description : str
        The generator; empty where none took part.
    detector, weights_sha256 : str
        The feature network.
    data, data_digest : str
        The real images.
    data_count : int
        How many of them were used.
    precision, device : str
        Arithmetic and where it ran.
    torch, version : str
        Versions of PyTorch and of this package.
    seconds : float
        Wall time.
    date : str
        UTC, ISO 8601.
    note : str
        What a reader must know before quoting the number; empty when nothing.
    """

    metric: str
    value: float
    num: int
    seed: int
    protocol: Mapping[str, str]
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    description: str = ""
    detector: str
    weights_sha256: str
    data: str
    data_digest: str
    data_count: int
    precision: str
    device: str
    torch: str
    version: str = field(default_factory=lambda: version(PACKAGE))
    seconds: float
    date: str = field(default_factory=_now)
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "protocol", dict(self.protocol))


COLUMNS = tuple(column.name for column in fields(Row))


def summary(row: Row) -> str:
    """The result as one line for people."""
    protocol = ", ".join(f"{key} {value}" for key, value in row.protocol.items())
    return f"{row.metric} {row.value:.4f}  (num {row.num}, seed {row.seed}, {protocol})"


def to_json(rows: Sequence[Row]) -> str:
    """The results as a JSON object with the key ``results``: one object per row."""
    return json.dumps({"results": [asdict(row) for row in rows]}, indent=2)


def _cells(row: Row) -> dict[str, Any]:
    protocol = " ".join(f"{key}={value}" for key, value in row.protocol.items())
    return asdict(row) | {"protocol": protocol}


def read_table(path: Path) -> str:
    """Text of a result table that rows may be appended to; empty when there is no such file.

    Raises
    ------
    UserError
        The file is not such a table: nothing will be appended to it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a table of results ({error})") from error
    header = next(csv.reader(io.StringIO(text)), [])
    if text and header != list(COLUMNS):
        raise UserError(
            f"{path}: columns are {','.join(header)}; expected {','.join(COLUMNS)}:"
            " name another --csv file"
        )
    return text


def append_csv(path: Path, rows: Sequence[Row]) -> None:
    """Append rows to a CSV file, with a header when it is new; all or nothing.

    Raises
    ------
    UserError
        The file has other columns, or cannot be written.
    """
    text = read_table(path)
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    if not text:
        writer.writeheader()
    elif not text.endswith("\n"):
        table.write("\n")
    writer.writerows(_cells(row) for row in rows)
    with atomic_write(path) as temporary:
        temporary.write_text(text + table.getvalue(), encoding="utf-8")
