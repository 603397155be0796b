"""Table of what each image adds to a Fréchet distance."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from stylegan_eval.engine.files import atomic_write, sha256_of
from stylegan_eval.engine.names import csv_text, from_csv_text
from stylegan_eval.engine.untrusted import parsing

Side = Literal["generated", "real"]
SIDES: tuple[Side, ...] = ("generated", "real")
# In `details` of a result: the beginning of the digest of its table.
INFLUENCE = "influence"
_HEADER = b"side,image,seed,influence"


class ImageInfluence(NamedTuple):
    """A row; the fields are the columns."""

    side: Side
    image: str  # Name of its file; number where there is none
    seed: str  # Of generated images, which are functions of seed and number; else empty
    influence: float


def write_influence(path: Path, rows: Iterable[ImageInfluence]) -> str:
    """Write the table, whole or not at all; returns what `INFLUENCE` stands for."""
    with (
        atomic_write(path) as temporary,
        # A name may hold bytes that are no text.
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ImageInfluence._fields)
        for row in rows:
            writer.writerow([row.side, csv_text(row.image), row.seed, f"{row.influence:.6g}"])
    return influence_digest(path)


def influence_digest(path: Path) -> str:
    """Beginning of the SHA-256 of a table."""
    return sha256_of(path)[:16]


def looks_like_influence(path: Path) -> bool:
    """Whether a file begins as these tables do."""
    try:
        with path.open("rb") as file:
            return file.readline(2**10).strip() == _HEADER
    except OSError:
        return False


def read_influence(path: Path, most: int | None = None) -> list[ImageInfluence]:
    """Rows of a table, of each side the first `most`: those that add the most."""
    found: dict[str, list[ImageInfluence]] = {side: [] for side in SIDES}
    with (
        parsing(path, "cannot be read as influence of images", "fid --influence FILE writes one"),
        path.open(encoding="utf-8", newline="") as file,
    ):
        lines = csv.reader(file, strict=True)
        if tuple(next(lines, ())) != ImageInfluence._fields:
            raise ValueError("other columns")
        for side, image, seed, value in lines:
            if most is None or len(found[side]) < most:
                found[side].append(
                    ImageInfluence(side, from_csv_text(image), seed, float(value))  # type: ignore[arg-type]
                )
    return [row for side in SIDES for row in found[side]]
