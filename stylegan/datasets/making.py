"""The work of a preparation: each image is read, decoded and encoded once."""

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageColor

from stylegan.datasets import Choices, Crop
from stylegan.datasets.archive import Label, dataset_json, encode_png
from stylegan.datasets.check import (
    NO_DIGEST,
    Duplicates,
    Fate,
    damaged_line,
    decode_all,
    digest_of,
    numbers_where,
    trouble_of,
    write_report,
)
from stylegan.datasets.partial import Journal, OtherPlanError
from stylegan.datasets.resize import cropped, fits
from stylegan.datasets.survey import (
    Headers,
    make_plan,
    note_small,
    pick_channels,
    read_headers,
    summary,
)
from stylegan_eval.engine.progress import follow
from stylegan_eval.engine.untrusted import one_line
from stylegan_eval.errors import UserError
from stylegan_eval.images.decoding import CHANNELS, Header, in_channels
from stylegan_eval.images.files import map_ordered
from stylegan_eval.images.source import Source, read_as
from stylegan_eval.images.storage import CHANGED

_EXACT = 2**24  # whole numbers below are the same in float32
_FORMAT = 2  # of what is written; a beginning of another is not used
_AT_ONCE = 2**16  # numbers of images


class _Made(NamedTuple):
    """The outcome for one image."""

    trouble: str = ""
    digest: bytes = NO_DIGEST
    png: bytes | None = None  # None where it is too small


class Making:
    """A preparation; the `Work` of `write_resumable`.

    Which images are damaged or duplicates shows only as they are decoded. The plan is made before,
    of all headers, and compared at the end with that of the images that were used: where it is
    another one (the smallest image was damaged), they are made again by that.
    """

    def __init__(
        self,
        source: Source,
        choices: Choices,
        *,
        report: Path | None,
        workers: int,
        shown: bool,
    ) -> None:
        self._source, self._choices, self._report = source, choices, report
        self._workers, self._shown = workers, shown
        self._may_leave_out = choices.skip_damaged or choices.drop_duplicates
        self._headers, self._fates = Headers(len(source)), np.zeros(len(source), np.uint8)
        self._troubles: dict[int, str] = {}  # of images that cannot be read, by number
        self._checked = False  # whether everything was decoded before
        self._noted = 0  # resolution whose smallest image was named, if it was

    def look(self) -> None:
        """Plan by the headers."""
        known = np.ones(len(self._source), bool)
        headers = read_headers(self._source, self._header, progress=self._shown)
        for number, header in enumerate(headers):
            if isinstance(header, str):
                self._troubles[number], known[number] = header, False
            else:
                self._headers[number] = header
        self._usable, self._duplicates = numbers_where(known), Duplicates(len(known))
        if self._troubles and not (self._choices.skip_damaged and known.any()):
            self.check()  # and refuse
            return
        try:
            self._decide()
        except UserError:
            if not self._may_leave_out:
                raise
            self.check()  # what does not fit may be damaged

    def check(self, journal: Path | None = None) -> None:
        """Plan by what can be used, after decoding what has not been decoded.

        `journal` is of an earlier process, which had decoded everything.
        """
        if journal is not None:
            with closing(Journal(journal, self._fates)) as earlier:
                self._recall(earlier, len(self._fates))
        if self._fates.all():
            self._usable = self._numbers(self._used)
        else:
            checked = decode_all(self._source, self._workers, progress=self._shown)
            self._headers, self._troubles = checked.headers, dict(checked.troubles)
            self._usable, self._duplicates = checked.usable(self._choices), checked.duplicates
        if not self._choices.drop_duplicates:  # they are counted anew
            self._duplicates = Duplicates(len(self._source))
        self._checked = True
        self._write_report()
        if self._troubles and not (self._choices.skip_damaged and len(self._usable)):
            first = min(self._troubles)
            raise self._refusal(first, self._troubles[first])
        self._decide()

    def _header(self, number: int) -> Header | str:
        try:
            return self._source.header(number)
        except UserError as error:
            trouble = trouble_of(self._source, number, error)
            if not self._may_leave_out:
                raise self._refusal(number, trouble) from error
            return trouble

    def _refusal(self, number: int, trouble: str) -> UserError:
        skips, source = self._choices.skip_damaged, self._source
        advice = "no image can be read" if skips else "remove it, or --skip-damaged"
        return UserError(f"{source.path}: {one_line(source.names[number])}: {trouble}: {advice}")

    def _decide(self) -> None:
        """Plan, and in which order what is done."""
        source, choices = self._source, self._choices
        overview = summary(source.names, self._headers, self._usable)
        plan = make_plan(source, overview, choices)
        if plan.resolution != self._noted:
            note_small(source, overview, plan, choices)
        self._noted = plan.resolution
        channels, reason = pick_channels(source, self._headers, plan.kept, choices.channels)
        self.plan = replace(plan, ground=_ground(choices.pad, plan.crop, channels))
        self._channels, self.reason = channels, reason
        decodes_small = self._may_leave_out and not self._checked
        self._order = self._usable if decodes_small else plan.kept
        self._fates = np.zeros(len(self._order), np.uint8)

    @property
    def made_of(self) -> dict[str, object]:
        """All that decides the images."""
        source, choices, plan = self._source, self._choices, self.plan
        stamped, order = hashlib.sha256(source.digest.encode()), hashlib.sha256()
        for name, stamp in source.stamps.items():  # also where the time of modification is set back
            stamped.update(f"{name!a} {stamp}\n".encode())
        for start in range(0, len(self._order), _AT_ONCE):
            order.update(np.asarray(self._order[start : start + _AT_ONCE], np.int64).tobytes())
        return {
            "format": _FORMAT,
            "source": stamped.hexdigest(),
            "order": order.hexdigest(),
            "resolution": plan.resolution,
            "crop": plan.crop,
            "filter": choices.resample,
            "ground": plan.ground,
            "channels": self._channels,
            "left out": [choices.skip_damaged, choices.drop_duplicates],
        }

    def begin(self, journal: Path, whole: int) -> int:
        """Read the journal of an earlier process; how many of its `whole` images are used."""
        self._journal = Journal(journal, self._fates)
        return self._recall(self._journal, whole)

    def _recall(self, journal: Journal, whole: int) -> int:
        used = 0
        for place, (fate, digest) in enumerate(journal.read(whole)):
            number = self._order[place]
            used += fate == Fate.TAKEN
            if fate == Fate.DAMAGED:
                self._troubles[number] = self._made(number).trouble
            else:
                self._duplicates.add(number, digest)
        return used

    def images(self) -> Iterator[bytes]:
        """PNG files of the images that are taken."""
        start, order = self._journal.known, self._order
        rest = (order[place] for place in range(start, len(order)))
        with closing(self._journal) as journal, ThreadPoolExecutor(self._workers) as pool:
            made = map_ordered(pool, self._made, rest, ahead=4 * self._workers)
            followed = follow(made, "prepare", len(order), initial=start, shown=self._shown)
            for place, image in enumerate(followed, start):
                fate = self._fate(order[place], image)
                if fate == Fate.TAKEN:
                    assert image.png is not None
                    yield image.png
                journal.add(fate, image.digest)
        self._compare()
        if not self._checked:
            self._write_report()

    def _made(self, number: int) -> _Made:
        plan, header, channels = self.plan, self._headers[number], self._channels
        try:
            own = read_as(self._source, number, header.channels)
            image = own if len(own) == channels else in_channels(own, channels)
        except UserError as error:
            return _Made(trouble=trouble_of(self._source, number, error))
        png = None
        if fits(plan.crop, header.width, header.height, plan.resolution):
            resample = self._choices.resample
            png = encode_png(cropped(image, plan.crop, plan.resolution, resample, plan.ground))
        return _Made(digest=digest_of(own), png=png)

    def _fate(self, number: int, image: _Made) -> Fate:
        if image.trouble:
            if not self._choices.skip_damaged:
                if self._report is not None and not self._checked:
                    raise OtherPlanError  # which makes a report of all images
                raise self._refusal(number, image.trouble)
            self._troubles[number] = image.trouble
            return Fate.DAMAGED
        is_first = self._duplicates.add(number, image.digest) == number
        if self._choices.drop_duplicates and not is_first:
            return Fate.REPEATED
        return Fate.SMALL if image.png is None else Fate.TAKEN

    def _compare(self) -> None:
        """Refuse the plan if that of the images that were used is another one."""
        source, choices, before = self._source, self._choices, self.plan
        if self._used.all():
            return
        try:
            self._usable = self._numbers(self._used)
            plan = make_plan(source, summary(source.names, self._headers, self._usable), choices)
        except (UserError, ValueError) as error:  # what is left is too small, or nothing is left
            raise self._other_plan() from error
        channels, self.reason = pick_channels(source, self._headers, plan.kept, choices.channels)
        if (plan.resolution, plan.crop) != (before.resolution, before.crop):
            raise self._other_plan()
        if channels != self._channels:
            raise self._other_plan()
        self.plan = replace(plan, ground=before.ground)

    def _other_plan(self) -> Exception:
        """The error for another plan: after decoding everything there is no third one."""
        return UserError(f"{self._source.path}: {CHANGED}") if self._checked else OtherPlanError()

    def _numbers(self, chosen: np.ndarray) -> Sequence[int]:
        """Numbers of the images at some places of the order."""
        places = numbers_where(chosen)
        if len(places) == len(self._order):
            return self._order
        return array("q", (self._order[place] for place in places))

    @property
    def _used(self) -> np.ndarray:
        return (self._fates == Fate.TAKEN) | (self._fates == Fate.SMALL)

    @property
    def taken(self) -> Sequence[int]:
        """Numbers of the images that were taken."""
        return self._numbers(self._fates == Fate.TAKEN)

    @property
    def skipped(self) -> int:
        """Images that were too small."""
        return len(self._usable) - len(self.taken)

    def notes(self) -> Iterator[str]:
        """Lines on damaged images and duplicates."""
        if self._troubles:
            yield damaged_line(self._troubles, self._source.names)
        if self._duplicates.count:
            line = self._duplicates.line(self._source.names)
            drops = self._choices.drop_duplicates
            yield f"{line}: " + ("left out" if drops else "--drop-duplicates leaves them out")

    def _write_report(self) -> None:
        if self._report is not None:
            of = self._troubles.get
            write_report(self._report, self._source, self._headers, lambda number: of(number, ""))

    def dataset_json(self) -> bytes:
        """Labels of the images that were taken."""
        source = self._source
        labels = labels_of(source, self.taken)
        return dataset_json(labels, source.attributes, self._channels, source.classes)


def labels_of(source: Source, numbers: Sequence[int]) -> Iterator[Label]:
    """The labels of some images, in the types of `archive.Label`.

    Numbers are as short as they can be and still be the same float32, so that labels that were
    read and are written again stay as they were.
    """
    labels = source.labels
    for number in numbers:
        if labels is None:
            yield None
        elif labels.ndim == 1:
            yield int(labels[number])
        else:
            yield [_shortest(value) for value in labels[number].astype(np.float32)]


def _shortest(number: np.float32) -> float:
    return int(number) if abs(number) < _EXACT and number == int(number) else float(str(number))


def _ground(colour: str | None, crop: Crop, channels: int) -> tuple[int, ...]:
    """Value of each channel around padded images; none for other crops."""
    if crop != "pad":
        return ()
    mode = next(mode for mode, count in CHANNELS.items() if count == channels)
    value = ImageColor.getcolor(colour or "black", mode)
    return value if isinstance(value, tuple) else (value,)
