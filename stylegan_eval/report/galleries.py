"""Images that tables of single images name: the costliest ones, and pairs that may be copies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stylegan_eval.engine.sampling import draw, to_uint8
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.generators.variants import vary
from stylegan_eval.images.content import content_digest
from stylegan_eval.metrics.given import opened
from stylegan_eval.report import shell
from stylegan_eval.report.samples import load_subject
from stylegan_eval.report.shell import Figure, Picture, gallery
from stylegan_eval.report.subjects import Found, Subject
from stylegan_eval.report.tables import gallery_id, value
from stylegan_eval.results.formatting import number
from stylegan_eval.results.image_tables import SIDES, ImageInfluence, ImagePair, read_table
from stylegan_eval.results.measured import Measured
from stylegan_eval.results.results import words_of
from stylegan_eval.settings.image_metrics import GeneratedSettings

_HEADS = {
    "generated": "Generated images that raise it the most",
    "real": "Real images that are covered the least",
}
_Images = list[NDArray[np.uint8]]


@dataclass(frozen=True)
class Shown:
    """A result with a table, and where its images are."""

    option: str  # 'influence' or 'pairs'
    subject: Subject
    row: Measured
    table: Path
    data: Path | None  # Where real images are, if not where the result says
    device: torch.device

    @property
    def at(self) -> str:
        """Id of its part of the page."""
        return gallery_id(self.option, self.row.details[self.option])

    @property
    def heading(self) -> str:
        """The metric measured."""
        name = f"{shell.text(self.subject.label)}: {shell.code(self.row.metric)}"
        return f'<h3 id="{self.at}">{name} {shell.text(value(self.row))}</h3>'

    @property
    def _variant(self) -> tuple[str, str]:
        """How its images were drawn: `mixing` and `psi`."""
        protocol = words_of(self.row["protocol"])
        return protocol.get("mixing", "1"), protocol.get("psi", "1")

    def key(self, row: ImageInfluence | ImagePair) -> tuple[str, ...]:
        """Key of a generated image, the same in every table."""
        return (self.subject.label, *self._variant, row.seed, row.image)

    def fakes(self, names: Sequence[str], seed: str) -> _Images:
        """Generated images: drawn anew, each of seed and number, or read."""
        if not seed:
            return _of_files(self.subject.paths, self.row["generator_digest"], names)
        mixing, psi = self._variant
        settings = GeneratedSettings(mixing=int(mixing), psi=float(psi))
        loaded = load_subject(self.subject, self.device)
        generator = vary(loaded, settings, self.device).generator
        images = []
        for at in map(int, names):
            _, _, raw = draw(generator, int(seed), range(at, at + 1), self.device)
            images.append(to_uint8(raw)[0].cpu().numpy())
        return images

    def reals(self, names: Sequence[str]) -> _Images:
        """Real images."""
        places = [Path(self.row["data"]), self.row.source.parent / self.row["data"]]
        return _of_files(
            [*([self.data] if self.data else []), *places], self.row["data_digest"], names
        )


def shown(
    option: str, found: Found, subjects: Sequence[Subject], data: Path | None, device: torch.device
) -> Iterator[Shown]:
    """Results with a table of this option."""
    for subject in subjects:
        rows = {row.details.get(option, ""): row for row in reversed(subject.results)}
        for name, row in rows.items():
            if name in found.images:
                yield Shown(option, subject, row, found.images[name], data, device)


Drawn = Mapping[tuple[str, ...], str]
"""Id of the figure of a generated image, by `Shown.key`."""


def drawn_in(results: Sequence[Shown], count: int) -> Drawn:
    """The generated images that a gallery of these results shows."""
    found = {}
    for result in results:
        for at, row in enumerate(_generated(result)[:count]):
            found[result.key(row)] = f"{result.at}-{at}"
    return found


def _generated(result: Shown) -> Sequence[ImageInfluence | ImagePair]:
    if result.option == "pairs":
        return read_table(result.table, ImagePair)
    return [row for row in read_table(result.table, ImageInfluence) if row.side == "generated"]


def influence_part(results: Sequence[Shown], count: int, pairs: Drawn) -> str:
    """The first `count` images of each side; those that `pairs` has are linked with it."""
    parts = []
    for result in results:
        parts.append(result.heading)
        rows = read_table(result.table, ImageInfluence)
        for side in SIDES:
            of_side = [row for row in rows if row.side == side][:count]
            if not of_side:
                continue
            parts.append(f"<h4>{_HEADS[side]}{_of_seed(of_side[0].seed)}</h4>")
            try:
                names = [row.image for row in of_side]
                with parsing(result.table, "not of these images"):
                    real = side == "real"
                    images = result.reals(names) if real else result.fakes(names, of_side[0].seed)
            except UserError as error:
                parts.append(shell.failed(f"No images: {error}"))
                continue
            parts.append(gallery(_costly(result, of_side, images, pairs)))
    text = (
        "Below each image by how much the distance would fall without it, to first order: over all"
        " images of a side 0 on average. With fewer images than ten times the features the order"
        " holds and the sizes are rough."
    )
    return shell.section("influence", "Images that cost most", shell.note(text), *parts)


def _costly(
    result: Shown, rows: Sequence[ImageInfluence], images: _Images, pairs: Drawn
) -> list[Figure]:
    figures = []
    for at, (row, image) in enumerate(zip(rows, images, strict=True)):
        generated = row.side == "generated"
        other = pairs.get(result.key(row)) if generated else None
        figures.append(
            Figure(
                pictures=[Picture(image=image, what=f"{row.side} image {row.image}")],
                lines=[number(row.influence), row.image],
                at=f"{result.at}-{at}" if generated else "",
                link=None if other is None else (other, "nearest training image"),
            )
        )
    return figures


def pairs_part(results: Sequence[Shown], count: int, costly: Drawn) -> str:
    """The first `count` pairs; images that `costly` has are linked with it."""
    parts = []
    for result in results:
        rows = read_table(result.table, ImagePair)[:count]
        if not rows:
            continue
        parts.append(f"{result.heading}{shell.note(_of_seed(rows[0].seed, 'Generated images'))}")
        try:
            with parsing(result.table, "not of these images"):
                fakes = result.fakes([row.image for row in rows], rows[0].seed)
                reals = result.reals([row.real for row in rows])
        except UserError as error:
            parts.append(shell.failed(f"No images: {error}"))
            continue
        figures = []
        for at, (row, fake, real) in enumerate(zip(rows, fakes, reals, strict=True)):
            other = costly.get(result.key(row))
            figures.append(
                Figure(
                    pictures=[
                        Picture(image=fake, what=f"generated image {row.image}"),
                        Picture(image=real, what=f"training image {row.real}"),
                    ],
                    lines=[f"{number(row.distance)} : {number(row.own)}", row.image, row.real],
                    at=f"{result.at}-{at}",
                    link=None if other is None else (other, "what it costs"),
                )
            )
        parts.append(gallery(figures))
    text = (
        "Below each generated image the nearest training image; how far apart they are, and after"
        " the colon how far the training image is from the nearest other one. A copy is 0 away."
        " What is nearer than the second number counts as a copy, as some new images of the same"
        " kind do: look at the pairs."
    )
    return shell.section("pairs", "Nearest training images", shell.note(text), *parts)


def _of_seed(seed: str, what: str = "") -> str:
    return f"{what}, by number, of seed {shell.text(seed)}" if seed else ""


def _of_files(places: Sequence[Path], digest: str, wanted: Sequence[str]) -> _Images:
    """Read images by name from the first place that holds what was measured."""
    trouble = "a set of images was measured that is not known"
    for place in places:
        if not place.exists():
            trouble = f"{places[0]} is not there"
            continue
        with opened(place) as files:
            if content_digest(files) != digest:
                trouble = f"{place} holds other images now, not those measured"
                continue
            numbers = {name: number for number, name in enumerate(files.names)}
            return [files.read(numbers[name]) for name in wanted]
    raise UserError(trouble)
