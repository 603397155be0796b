"""Samples of generators, their nearest real images, and samples of a training over time."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.engine.blocks import Run
from stylegan_eval.engine.protocols import Detector, LoadedGenerator
from stylegan_eval.engine.sampling import draw, to_uint8
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.generators.loading import NETWORKS, load_generator
from stylegan_eval.images.files import open_images
from stylegan_eval.images.source import Source
from stylegan_eval.metrics.features import FeatureCollector
from stylegan_eval.metrics.image_metrics import files_features
from stylegan_eval.metrics.precision_recall import nearest_of
from stylegan_eval.metrics.sources import pick_reals
from stylegan_eval.networks.network import load_detector
from stylegan_eval.report import shell
from stylegan_eval.report.shell import Picture, matrix, place
from stylegan_eval.report.subjects import Subject
from stylegan_eval.results.formatting import number
from stylegan_eval.results.run_folder import SHEET, TrainingRun
from stylegan_eval.settings.common import Sampling

_COMPARED = 1000  # real images whose own nearest neighbours give the scale
_AT_A_TIME = 16


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest real image of a sample."""

    name: str  # Its file
    distance: float  # Euclidean, between features
    image: NDArray[np.uint8]  # uint8 [3, H, W]


@dataclass(frozen=True)
class Neighbourhood:
    """Real images and their features. Made by `open_neighbourhood`."""

    files: Source  # The images
    detector: Detector  # Who sees them
    vectors: Tensor  # float32 [N, D]
    typical: float  # Median distance of a real image from the nearest other one

    def nearest(self, images: Tensor) -> list[Nearest]:
        """Find the nearest real image of each of uint8 images [S, 3, H, W]."""
        found, at = nearest_of(self.detector(images).to(self.vectors.device), self.vectors)
        return [
            Nearest(name=self.files.names[index], distance=distance, image=self.files.read(index))
            for distance, index in zip(found.tolist(), at.tolist(), strict=True)
        ]

    def close(self) -> None:
        """Close the files."""
        self.files.close()


def open_neighbourhood(
    data: Path, features: str, weights: Path | None, device: torch.device
) -> Neighbourhood:
    """Look at all real images, or find in the cache what was seen in them."""
    files = open_images(data, labelled=False)
    detector = load_detector(features, "tf1", weights, device)
    run = Run(device=device)
    reals = pick_reals(files, range(len(files)), "full", Sampling(num=max(len(files), 2)),
                       mirror=False)  # fmt: skip
    collector = FeatureCollector(detector=detector, kinds=("vectors",), num=len(files))
    vectors = files_features(reals, collector, run).vectors
    run.finish()
    assert vectors is not None
    known = torch.from_numpy(vectors).to(device)
    return Neighbourhood(files, detector, known, typical_distance(known))


def typical_distance(reals: Tensor) -> float:
    """Median distance of real images, evenly chosen, from the nearest other one; NaN for one."""
    if len(reals) < 2:
        return float("nan")
    chosen = torch.linspace(0, len(reals) - 1, min(len(reals), _COMPARED)).long()
    return float(nearest_of(reals[chosen.to(reals.device)], reals, leave=1)[0].median())


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Contents of the file of a generator."""

    images: NDArray[np.uint8] | None = None  # uint8 [S, 3, R, R]; None where none could be drawn
    z_dim: int = 0  # Length of a latent; 0 where there are no images
    near: tuple[Nearest, ...] = ()  # For each image; empty where it was not looked for
    trouble: str = ""  # Why there are no images
    settings: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    """settings, origin: As `protocols.LoadedGenerator` has them."""


def open_subject(
    subject: Subject, count: int, seed: int, device: torch.device, reals: Neighbourhood | None
) -> Opened:
    """Open the checkpoint of a generator, if it is where it was, and draw from it.

    Image i depends on (`seed`, i) alone: generators of one `z_dim` get the same latents. `reals`:
    where to look for the nearest real image of each.
    """
    try:
        loaded = load_subject(subject, device)
        images = _drawn(loaded, count, seed, device)
    except UserError as error:
        return Opened(trouble=str(error))
    near = () if reals is None else tuple(reals.nearest(torch.from_numpy(images)))
    return Opened(
        images=images,
        z_dim=loaded.generator.z_dim,
        near=near,
        settings=loaded.settings,
        origin=loaded.origin,
    )


def load_subject(subject: Subject, device: torch.device) -> LoadedGenerator:
    """Load the first of its places that holds what was measured."""
    if not subject.paths:
        raise UserError("no generator: real images took its place")
    if subject.description == "images":
        raise UserError("a set of images was measured, not a generator")
    other = ""
    for path in subject.paths:
        if not (path.is_file() or path.is_dir() or entry_points(group=NETWORKS, name=str(path))):
            continue
        loaded = load_generator(path, device)
        if subject.digest in ("", loaded.sha256):
            return loaded
        other = f"{path} holds another network now ({loaded.sha256[:12]}), not the one measured"
    raise UserError(
        other or f"{subject.paths[0]} is not there: name its checkpoint with --ckpt to see samples"
    )


def _drawn(
    loaded: LoadedGenerator, count: int, seed: int, device: torch.device
) -> NDArray[np.uint8]:
    parts = []
    for start in range(0, count, _AT_A_TIME):
        part = range(start, min(start + _AT_A_TIME, count))
        _, _, images = draw(loaded.generator, seed, part, device)
        parts.append(to_uint8(images).cpu().numpy())
    return np.concatenate(parts)


def samples_part(
    opened: Mapping[str, Opened], reals: Neighbourhood | None, seed: int, base: Path
) -> str:
    """Samples of each generator: a column for each, a row for each sample.

    `opened`: by label, also those that could not be opened; `base`: folder of the page.
    """
    if not opened:
        return ""
    dims = {one.z_dim for one in opened.values() if one.images is not None}
    text = f"Seed {seed}, not truncated, uncurated. Click an image to enlarge it."
    if len(opened) > 1 and dims:
        text += (
            " A row has the same latents for all."
            if len(dims) == 1
            else " A row has the same latents for those whose latents are equally long."
        )
    return shell.section(
        "samples",
        "Samples" if reals is None else "Samples and their nearest real images",
        shell.note(text),
        shell.note(_scale(reals, base)),
        *_remarks(opened),
        _matrix(opened),
    )


def _scale(reals: Neighbourhood | None, base: Path) -> str:
    if reals is None:
        return (
            "For the nearest real image below each sample, name the real images: stylegan-eval"
            " report ... --data IMAGES."
        )
    typical = (
        f" A copy has distance 0; real images are {number(reals.typical)} from their nearest"
        " neighbour (median)."
        if math.isfinite(reals.typical)
        else ""
    )
    return (
        f"Below each sample its nearest among {len(reals.files):,} images of"
        f" {place(reals.files.path, base)}, by"
        f" the distance of features of {reals.detector.name}.{typical}"
    )


def _matrix(opened: Mapping[str, Opened]) -> str:
    drawn = {label: one for label, one in opened.items() if one.images is not None}
    if not drawn:
        return ""
    count = max(len(_pictures(label, one)) for label, one in drawn.items())
    columns = [_pictures(label, one) for label, one in drawn.items()]
    rows = [(f"sample {at}", [column[at] for column in columns]) for at in range(count)]
    return matrix("matrix", "Samples", list(drawn), rows)


def _pictures(label: str, one: Opened) -> list[list[Picture]]:
    """Of each sample: the image, and the nearest real one below it."""
    found = []
    for at, image in enumerate([] if one.images is None else one.images):
        cell = [Picture(image=image, what=f"sample {at} of {label}")]
        if one.near:
            near = one.near[at]
            what = f"nearest real image of sample {at} of {label}: {near.name}"
            cell.append(Picture(image=near.image, what=what, caption=number(near.distance)))
        found.append(cell)
    return found


def _remarks(opened: Mapping[str, Opened]) -> list[str]:
    """On each generator: how near its real images are, or why there are no samples."""
    found = []
    for label, one in opened.items():
        if one.images is None:
            found.append(shell.failed(f"No samples of {label}: {one.trouble}"))
        elif one.near:
            distances = sorted(near.distance for near in one.near)
            text = f"{label}: median distance {number(distances[len(distances) // 2])}."
            wide, size = one.near[0].image.shape[-1], one.images.shape[-1]
            if wide != size:
                text += (
                    f" The real images are {wide} pixels wide, the samples {size}: that alone makes"
                    " them differ."
                )
            found.append(shell.note(text))
    return found


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
                (f"{kimg:.5g} kimg", _pictures_at(_read(path, subject.run), subject.label, kimg))
                for kimg, path in chosen_sheets(subject.run.folder)
            ]
        except UserError as error:
            parts.append(shell.failed(f"No images over time: {error}"))
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


def _pictures_at(
    images: Sequence[NDArray[np.uint8]], label: str, kimg: float
) -> list[list[Picture]]:
    return [
        [Picture(image=image, what=f"sample {at} of {label} after {kimg:.5g} kimg")]
        for at, image in enumerate(images)
    ]
