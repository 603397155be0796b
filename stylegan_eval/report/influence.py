"""The images that add the most to a Fréchet distance, generated and real."""

from collections.abc import Mapping, Sequence
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
from stylegan_eval.report.samples import as_png, load_subject
from stylegan_eval.report.subjects import Subject
from stylegan_eval.report.tables import value
from stylegan_eval.results.formatting import number
from stylegan_eval.results.influence_file import INFLUENCE, SIDES, ImageInfluence, read_influence
from stylegan_eval.results.measured import Measured
from stylegan_eval.settings.image_metrics import GeneratedSettings

_HEADS = {
    "generated": "Generated images that raise it the most",
    "real": "Real images that are covered the least",
}


def influence_part(
    subjects: Sequence[Subject],
    tables: Mapping[str, Path],
    data: Path | None,
    count: int,
    device: torch.device,
) -> str:
    """The first `count` images of each side, of every result that has a table.

    `tables`: by what their results call them; `data`: where the real images are, if not there.
    """
    parts = []
    for subject in subjects:
        rows = {row.details.get(INFLUENCE, ""): row for row in reversed(subject.results)}
        for name, row in rows.items():
            if name in tables:
                parts += _of_result(subject, row, tables[name], data, count, device)
    text = (
        "Below each image by how much the distance would fall without it, to first order: over all"
        " images of a side 0 on average. With fewer images than ten times the features the order"
        " holds and the sizes are rough."
    )
    return shell.section("influence", "Images that cost most", shell.note(text), *parts)


def _of_result(
    subject: Subject,
    row: Measured,
    table: Path,
    data: Path | None,
    count: int,
    device: torch.device,
) -> list[str]:
    rows = read_influence(table, count)
    title = f"{shell.text(subject.label)}: {shell.code(row.metric)} {shell.text(value(row))}"
    parts = [f"<h3>{title}</h3>"]
    places = [Path(row["data"]), row.source.parent / row["data"]]
    for side in SIDES:
        shown = [each for each in rows if each.side == side]
        if not shown:
            continue
        seed = f", by number, of seed {shell.text(shown[0].seed)}" if shown[0].seed else ""
        parts.append(f"<h4>{_HEADS[side]}{seed}</h4>")
        try:
            with parsing(table, "not of these images"):
                if side == "real":
                    real = [*([data] if data is not None else []), *places]
                    images = _of_files(real, row["data_digest"], shown)
                elif shown[0].seed:
                    images = _drawn(subject, row, shown, device)
                else:
                    images = _of_files(subject.paths, row["generator_digest"], shown)
            parts.append(_gallery(shown, images))
        except UserError as error:
            parts.append(f'<p class="failed">No images: {shell.text(str(error))}</p>')
    return parts


def _drawn(
    subject: Subject, row: Measured, shown: Sequence[ImageInfluence], device: torch.device
) -> list[NDArray[np.uint8]]:
    """Draw the images anew: each is a function of seed and number."""
    protocol = dict(pair.partition("=")[::2] for pair in row["protocol"].split())
    settings = GeneratedSettings(
        mixing=int(protocol.get("mixing", 1)), psi=float(protocol.get("psi", 1))
    )
    generator = vary(load_subject(subject, device), settings, device).generator
    images = []
    for each in shown:
        at = int(each.image)
        _, _, raw = draw(generator, int(each.seed), range(at, at + 1), device)
        images.append(to_uint8(raw)[0].cpu().numpy())
    return images


def _of_files(
    places: Sequence[Path], digest: str, shown: Sequence[ImageInfluence]
) -> list[NDArray[np.uint8]]:
    """Read the images from the first place that holds what was measured."""
    trouble = "a set of images was measured that is not known"
    for place in places:
        if not place.exists():
            trouble = f"{places[0]} is not there"
            continue
        with opened(place) as files:
            if content_digest(files) != digest:
                trouble = f"{place} holds other images now, not those measured"
                continue
            names = files.names
            numbers = {name: number for number, name in enumerate(names)}
            return [files.read(numbers[each.image]) for each in shown]
    raise UserError(trouble)


def _gallery(shown: Sequence[ImageInfluence], images: Sequence[NDArray[np.uint8]]) -> str:
    figures = [
        f'<figure><img src="{shell.data_uri(as_png(image))}" alt="{shell.text(each.image)}">'
        f"<figcaption>{number(each.influence)}<br>{shell.text(each.image)}</figcaption></figure>"
        for each, image in zip(shown, images, strict=True)
    ]
    small = max(image.shape[-1] for image in images) <= 64
    return f'<div class="gallery{" small" if small else ""}">{"".join(figures)}</div>'
