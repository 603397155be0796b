"""Tables of single images that a measurement writes beside its results."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from stylegan_eval.engine.files import atomic_write, sha256_of
from stylegan_eval.engine.untrusted import csv_text, from_csv_text, parsing

Side = Literal["generated", "real"]
SIDES: tuple[Side, ...] = ("generated", "real")


class ImageInfluence(NamedTuple):
    """Contribution of an image to a Fréchet distance; the fields are the columns."""

    side: Side
    image: str  # Name of its file; number where there is none
    seed: str  # Of generated images, which are functions of seed and number; else empty
    influence: float


class ImagePair(NamedTuple):
    """A generated image and the nearest training image; the fields are the columns."""

    image: str  # Name of its file; number where there is none
    seed: str  # Of generated images, which are functions of seed and number; else empty
    real: str  # Name of the file of the training image; number where there is none
    distance: float  # How far they are from each other
    own: float  # How far the training image is from the nearest other one


Row = TypeVar("Row", ImageInfluence, ImagePair)
# By the option that asks for one: in `details` of a result, the beginning of its table's digest.
TABLES: Mapping[str, type[Any]] = {"influence": ImageInfluence, "pairs": ImagePair}


def write_table(path: Path, rows: Iterable[Row]) -> str:
    """Write a table, whole or not at all; returns `table_digest`."""
    with (
        atomic_write(path) as temporary,
        # A name may hold bytes that are no text.
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        for number, row in enumerate(rows):
            if number == 0:
                writer.writerow(row._fields)
            writer.writerow(
                csv_text(cell) if isinstance(cell, str) else f"{cell:.6g}" for cell in row
            )
    return table_digest(path)


def table_digest(path: Path) -> str:
    """Beginning of the SHA-256 of a table."""
    return sha256_of(path)[:16]


def begins_with(path: Path, *headers: Sequence[str]) -> bool:
    """Whether a file begins with the columns of one of these tables."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline(2**14).strip()
    except OSError:
        return False
    return first in map(",".join, headers)


def is_image_table(path: Path) -> bool:
    """Whether a file begins as these tables do."""
    return begins_with(path, *(kind._fields for kind in TABLES.values()))


def read_table(path: Path, kind: type[Row]) -> list[Row]:
    """Rows of a table, in its order."""
    option = next(option for option, other in TABLES.items() if other is kind)
    with (
        parsing(path, f"cannot be read as {option} of images", f"--{option} FILE writes one"),
        path.open(encoding="utf-8", newline="") as file,
    ):
        lines = csv.reader(file, strict=True)
        if tuple(next(lines, ())) != kind._fields:
            raise ValueError("other columns")
        columns = list(zip(kind._fields, kind.__annotations__.values(), strict=True))
        rows = []
        for line in lines:
            row: dict[str, Any] = {
                name: float(cell) if hint is float else from_csv_text(cell)
                for (name, hint), cell in zip(columns, line, strict=True)
            }
            if row.get("side", "real") not in SIDES:
                raise ValueError("another side")
            rows.append(kind(**row))
        return rows
