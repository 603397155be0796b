"""Dry run of a preparation: decode every image, write nothing, report each file's fault."""

import csv
import hashlib
import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stylegan.datasets import Choices, LabelSource
from stylegan.datasets.resize import fits
from stylegan.datasets.sources import open_source
from stylegan.datasets.survey import Headers, Plan, make_plan, note_small, pick_channels, summary
from stylegan_eval.engine.files import atomic_write, check_writable
from stylegan_eval.engine.progress import follow
from stylegan_eval.engine.untrusted import csv_text, one_line
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import Header
from stylegan_eval.images.files import map_ordered
from stylegan_eval.images.source import Source, read_as

DIGEST_BYTES = 16
NO_DIGEST = bytes(DIGEST_BYTES)
COLUMNS = ("file", "bytes", "width", "height", "mode", "trouble")


class Fate(IntEnum):
    """Whether an image is used, and if not, why."""

    UNKNOWN = 0
    TAKEN = 1
    SMALL = 2
    DAMAGED = 3
    REPEATED = 4


def digest_of(pixels: np.ndarray) -> bytes:
    """Digest of an image [C, H, W]; equal for equal pixels."""
    digest = hashlib.blake2b(f"{pixels.shape}".encode(), digest_size=DIGEST_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


class Duplicates:
    """Which of N images have the pixels of an earlier one.

    A table of their numbers by the beginning of their digests (open addressing), a third empty: 28
    bytes an image rather than the 200 of a dict.

    >>> duplicates = Duplicates(3)
    >>> [duplicates.add(k, digest_of(np.array(x))) for k, x in enumerate(([1], [2], [1]))]
    [0, 1, 0]
    >>> duplicates.count, duplicates.first
    (1, (2, 0))
    """

    def __init__(self, count: int) -> None:
        self.count = 0  # of images with the pixels of an earlier one
        self.first = (0, 0)  # number of the first such image, and of the earlier one
        self._digests = np.zeros((count, 2), np.uint64)
        self._slots = np.full(3 * count // 2 + 2, -1, np.int32)

    def add(self, number: int, digest: bytes) -> int:
        """Number of the first image with this digest."""
        words = np.frombuffer(digest, np.uint64)
        slot = int(words[0]) % len(self._slots)
        while (other := int(self._slots[slot])) >= 0:
            if (self._digests[other] == words).all():
                if other != number:
                    self.first = self.first if self.count else (number, other)
                    self.count += 1
                return other
            slot = (slot + 1) % len(self._slots)
        self._slots[slot], self._digests[number] = number, words
        return number

    def line(self, names: Sequence[str]) -> str:
        """Line on images with the pixels of others."""
        number, place = self.first
        first, second = one_line(names[place]), one_line(names[number])
        return f"exact duplicates: {self.count}, {second} of {first} first"


@dataclass(frozen=True)
class Checked:
    """Findings of decoding every image of a source."""

    headers: Headers  # Where it can be read
    fates: np.ndarray  # uint8 [N], of `Fate`
    troubles: Mapping[int, str]  # Of those that cannot be read, by number
    duplicates: Duplicates

    def usable(self, choices: Choices) -> Sequence[int]:
        """Numbers of the images that can be read, and are not to be dropped as duplicates."""
        repeated = choices.drop_duplicates & (self.fates == Fate.REPEATED)
        return numbers_where((self.fates != Fate.DAMAGED) & ~repeated)


def numbers_where(chosen: np.ndarray) -> Sequence[int]:
    """Numbers of the true values of an array [N]; eight bytes each, or none for all."""
    if chosen.all():
        return range(len(chosen))
    return array("q", np.flatnonzero(chosen).astype(np.int64).tobytes())


def decode_all(source: Source, workers: int | None, *, progress: bool) -> Checked:
    """Decode every image."""
    threads = workers or os.cpu_count() or 1
    headers, duplicates = Headers(len(source)), Duplicates(len(source))
    fates, troubles = np.full(len(source), Fate.TAKEN, np.uint8), dict[int, str]()

    def look(number: int) -> tuple[Header | None, str, bytes]:
        header = None
        try:
            header = source.header(number)
            return header, "", digest_of(read_as(source, number, header.channels))
        except UserError as error:
            return header, trouble_of(source, number, error), NO_DIGEST

    with ThreadPoolExecutor(threads) as pool:
        looked = map_ordered(pool, look, range(len(source)), ahead=4 * threads)
        followed = follow(looked, "check", len(source), shown=progress)
        for number, (header, trouble, digest) in enumerate(followed):
            if header is not None:
                headers[number] = header
            if trouble:
                troubles[number], fates[number] = trouble, Fate.DAMAGED
            elif duplicates.add(number, digest) != number:
                fates[number] = Fate.REPEATED
    return Checked(headers, fates, troubles, duplicates)


def trouble_of(source: Source, number: int, error: UserError) -> str:
    """Why an image cannot be read, in one line without its name."""
    where = f"{source.path}: {one_line(source.names[number])}: "
    return " ".join(str(error).removeprefix(where).split())


def write_report(
    path: Path, source: Source, headers: Headers, trouble: Callable[[int], str]
) -> None:
    """Write the images as CSV, with the header `COLUMNS`."""
    with (
        atomic_write(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, name in enumerate(source.names):
            try:
                size = source.size(number)
            except UserError:
                size = 0
            writer.writerow((csv_text(name), size, *headers[number], trouble(number)))


def check_set(
    src: Path | str,
    choices: Choices,
    *,
    labels: LabelSource = "source",
    report: Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[str]:
    """Check a set of any kind, write the report if asked, and say what would be made, in lines."""
    if report is not None:
        check_writable(report)
    with open_source(src, folder_classes=labels == "folders") as source:
        checked = decode_all(source, workers, progress=progress)
        usable, plan = checked.usable(choices), None
        if usable:
            overview = summary(source.names, checked.headers, usable)
            plan = make_plan(source, overview, replace(choices, skip_small=True))
            note_small(source, overview, plan, choices)
        trouble = _Trouble(checked, choices, plan)
        if report is not None:
            write_report(report, source, checked.headers, trouble.of)
        _refuse(src, source.names, trouble, report)
        assert plan is not None
        _, reason = pick_channels(source, checked.headers, plan.kept, choices.channels)
    size = f"{plan.resolution}x{plan.resolution}"
    used = choices.resample if plan.filtered else "none"
    damaged, total = checked.troubles, len(source)
    count = f"{total - len(damaged)}" if damaged else f"all {total}"
    lines = [
        f"{src}: {source.kind}, {count} images can be read",
        f"  would make: {len(plan.kept)} images of {size}, crop {plan.crop}, filter {used}",
    ]
    if damaged:
        lines.append(f"  {damaged_line(damaged, source.names)}")
    if checked.duplicates.count:
        dropped = ": left out" if choices.drop_duplicates else ""
        lines.append(f"  {checked.duplicates.line(source.names)}{dropped}")
    return [*lines, f"  {reason}"] if reason else lines


class _Trouble(NamedTuple):
    """Reasons against using each image."""

    checked: Checked
    choices: Choices
    plan: Plan | None  # Of those that can be read

    def of(self, number: int) -> str:
        """Why an image cannot be used; "" if it can."""
        checked, plan = self.checked, self.plan
        if number in checked.troubles:
            return checked.troubles[number]
        if plan is None or self.choices.skip_small or plan.crop == "lsun-wide":
            return ""
        width, height, _ = checked.headers[number]
        if fits(plan.crop, width, height, plan.resolution):
            return ""
        return f"too small for {plan.resolution}"

    def numbers(self) -> Iterator[int]:
        """Numbers of the images that are not left out, and cannot be used."""
        for number in range(len(self.checked.fates)):
            damaged = number in self.checked.troubles
            skipped = damaged and self.choices.skip_damaged and self.plan is not None
            if not skipped and self.of(number):
                yield number


def _refuse(src: Path | str, names: Sequence[str], trouble: _Trouble, report: Path | None) -> None:
    """Refuse a set with images that cannot be used."""
    first, count = -1, 0
    for number in trouble.numbers():
        first = first if count else number
        count += 1
    if not count:
        return
    more = f"see {report}" if report is not None else "list them with --report FILE.csv"
    if trouble.plan is not None:
        more = f"--skip-damaged and --skip-small leave such images out, {more}"
    raise UserError(
        f"{src}: {count} of {len(names)} images cannot be used,"
        f" {one_line(names[first])} first: {trouble.of(first)}; {more}"
    )


def damaged_line(troubles: Mapping[int, str], names: Sequence[str]) -> str:
    """Line on the images that are left out."""
    first = min(troubles)
    return (
        f"left out as damaged: {len(troubles)}, {one_line(names[first])} first ({troubles[first]})"
    )
