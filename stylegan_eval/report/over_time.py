"""Samples of a training over time: the same latents, from the sheets that it wrote on its way."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.report import shell
from stylegan_eval.report.matrix import Picture, matrix
from stylegan_eval.report.places import sentence
from stylegan_eval.report.subjects import Subject
from stylegan_eval.results.run_folder import SHEET, TrainingRun

_TIMES, _SAMPLES = 8, 6  # rows and columns, at most
_LARGEST = 2**27  # pixels of a sheet


def over_time_parts(subjects: Sequence[Subject]) -> list[str]:
    """For each training with sheets a table of images, a row for each time, as HTML."""
    parts = []
    for at, subject in enumerate(subjects):
        if subject.run is None:
            continue
        try:
            rows = [
                (f"{kimg:.5g} kimg", _pictures(_read(path, subject.run), subject.label, kimg))
                for kimg, path in chosen_sheets(subject.run.folder)
            ]
        except UserError as error:
            trouble = shell.text(sentence(str(error), Path()))
            parts.append(f'<p class="failed">No images over time: {trouble}</p>')
            continue
        if rows:
            columns = [f"sample {number}" for number in range(len(rows[0][1]))]
            label = f"{subject.label}: samples over time"
            parts.append(f"<h3>{shell.text(label)}</h3>")
            parts.append(matrix(f"time-{at}", label, columns, rows))
    return parts


def chosen_sheets(folder: Path) -> list[tuple[float, Path]]:
    """Sheets of a training with their kimg: the first, the last, and some evenly between."""
    names = ((re.fullmatch(SHEET, path.name), path) for path in folder.iterdir())
    found = sorted((int(m[1]) + int(m[2] or 0) / 1000, path) for m, path in names if m is not None)
    at = np.linspace(0, len(found) - 1, min(len(found), _TIMES)).round().astype(int)
    return [found[each] for each in dict.fromkeys(at.tolist())]


def _read(path: Path, run: TrainingRun) -> list[NDArray[np.uint8]]:
    """The first images [3, R, R] of a sheet, in the order of their latents."""
    from PIL import Image

    with parsing(path, "is no sheet of samples"):
        side = int(run.content["config"]["resolution"])
        with Image.open(path) as sheet:
            columns, rows = sheet.width // side, sheet.height // side
            if sheet.size != (columns * side, rows * side) or sheet.width * sheet.height > _LARGEST:
                raise ValueError(f"it has {sheet.width}x{sheet.height} pixels")
            places = [divmod(at, columns) for at in range(min(columns * rows, _SAMPLES))]
            boxes = [(x * side, y * side, (x + 1) * side, (y + 1) * side) for y, x in places]
            found = [np.asarray(sheet.crop(box).convert("RGB")) for box in boxes]
    return [image.transpose(2, 0, 1) for image in found]


def _pictures(images: Sequence[NDArray[np.uint8]], label: str, kimg: float) -> list[list[Picture]]:
    return [
        [Picture(image=image, what=f"sample {at} of {label} after {kimg:.5g} kimg")]
        for at, image in enumerate(images)
    ]
