"""Sets of images for comparisons with peers, and a cheap way to their Fréchet distances."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stylegan_eval.engine.blocks import Run
from stylegan_eval.metrics import METRICS
from stylegan_eval.metrics.everything import ALL
from stylegan_eval.metrics.measure import measure
from stylegan_eval.settings.common import Inputs
from stylegan_eval.settings.image_metrics import FidSettings

# Images of each kind: few are enough, for distances are no less exact with fewer.
COUNT = 3


@dataclass(frozen=True)
class Case:
    """Generated and real images of a size, in folders and in zips, and Inception weights."""

    fake: Path
    real: Path
    fake_zip: Path
    real_zip: Path
    weights: Path

    def inputs(self):
        """The folders."""
        return Inputs(images=self.fake, data=self.real, weights={"": self.weights})

    def fid(self, resize):
        """Our distance of the zips."""
        inputs = Inputs(images=self.fake_zip, data=self.real_zip, weights={"": self.weights})
        (row,) = rows_of("fid", inputs, FidSettings(num=COUNT, resize=resize, batch=2))
        return row.value


def make_case(folder, size, weights):
    """Write the images of a size."""
    fake, fake_zip = write_images(folder / "fake", COUNT, size, seed=0)
    real, real_zip = write_images(folder / "real", COUNT, size, seed=1)
    return Case(fake, real, fake_zip, real_zip, weights)


def write_images(folder, count, size, seed):
    """PNGs of smooth colour with noise, a hard edge in each: resize rules treat them differently.

    Returns the folder and a zip of the same files.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as out:
        for index in range(count):
            coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
            pixels = np.asarray(smooth) + rng.normal(0, 12, (size, size, 3))
            pixels[:, : rng.integers(1, size)] *= rng.random()
            path = folder / f"{index:03d}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
            out.write(path, path.name)
    return folder, archive


def read_images(folder):
    """uint8 [N, 3, H, W] of a folder's PNGs."""
    images = [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def in_span(fake, real):
    """Features [n, 2048] turned into the few dimensions that they span, with all distances kept.

    A root of 2048 x 2048 takes scipy a minute, and where the images are few it is one of a
    singular product; a rotation and a common shift change no Fréchet distance.
    """
    both = np.concatenate([fake, real]).astype(np.float64)
    both -= both.mean(axis=0)
    _, values, axes = np.linalg.svd(both, full_matrices=False)
    turned = both @ axes[values > 1e-9 * values[0]].T
    return turned[: len(fake)], turned[len(fake) :]


def distance_in_span(function, fake, real):
    """A package's Fréchet distance ``function(mean, cov, mean, cov)`` of features [n, 2048]."""
    stats = []
    for part in in_span(fake, real):
        stats += [part.mean(axis=0), np.cov(part, rowvar=False)]
    return function(*stats)


def rows_of(metric, inputs, settings):
    """What the metric's driver measures."""
    return measure(
        {**METRICS, "all": ALL}[metric], inputs, settings, Run(device=torch.device("cpu"))
    )
