"""The pictures of a report, drawn once for the page and the Markdown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.outcomes import Outcome
from benchmarks.report.curves import distance_curves, loss_curves
from benchmarks.report.grids import COLUMNS, IMAGES, sheets
from benchmarks.report.tables import Section
from stylegan_eval.report.shell import Picture

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Pictures of one section."""

    samples: tuple[Picture, ...]
    curves: tuple[Picture, ...]

    @property
    def drawn(self) -> list[Picture]:
        """Those that are files."""
        return [picture for picture in (*self.samples, *self.curves) if picture.png is not None]


def slug(text: str) -> str:
    """Text as a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "x"


def slugs(parts: Sequence[Section]) -> list[str]:
    """A name per section, all different."""
    names: list[str] = []
    for part in parts:
        request = part.request
        name = "-".join(slug(word) for word in (request.table, request.scale, request.dataset))
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names


def draw_pictures(
    section: Section, name: str, outcomes: Sequence[Outcome], device: "torch.device"
) -> Pictures:
    """Draw what a section shows.

    Parameters
    ----------
    section : Section
        The section.
    name : str
        Its slug, the first part of each file's name.
    outcomes : sequence of Outcome
        Of its request.
    device : torch.device
        Where the samples are drawn.
    """
    samples = []
    for at, sheet in enumerate(sheets(outcomes, device)):
        samples.append(
            Picture(
                name=f"{name}-samples-{at}-{slug(sheet.network)}.png",
                caption=(
                    f"{sheet.network}, seed {sheet.training.seed}, after"
                    f" {sheet.training.kimg:.5g} kimg"
                ),
                alt=sheet.trouble
                or f"{IMAGES} samples of {sheet.network} in rows of {COLUMNS}, uncurated",
                png=sheet.png,
            )
        )
    networks = ", ".join(dict.fromkeys(t.network for t in section.trainings))
    curves = (
        Picture(
            name=f"{name}-distance.png",
            caption="Distance over training; the scale is logarithmic.",
            alt=f"Curves of the distance over kimg of {networks}",
            png=distance_curves(section.trainings),
        ),
        Picture(
            name=f"{name}-losses.png",
            caption="Losses and scores of the discriminator over training.",
            alt=f"Curves of losses and scores over kimg of {networks}",
            png=loss_curves(section.trainings),
        ),
    )
    return Pictures(
        samples=tuple(samples),
        curves=tuple(curve for curve in curves if curve.png is not None),
    )
