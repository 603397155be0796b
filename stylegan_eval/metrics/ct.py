"""C_T: whether generated images lie nearer to the training images than held-out ones do.

References
----------
Meehan, Chaudhuri and Dasgupta, A Non-Parametric Test to Detect Data-Copying in Generative Models,
2020.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stylegan_eval.engine.sampling import random_choice
from stylegan_eval.engine.statistics import FeatureStats
from stylegan_eval.errors import UserError
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.naming import Value, error_details, full_name
from stylegan_eval.metrics.precision_recall import nearest_of
from stylegan_eval.results.significance import known
from stylegan_eval.settings.image_metrics import CtSettings

_TILE = 4096
_MOST_STEPS = 300
_FEWEST = 20  # A cell with no more generated images does not count, as in the authors' code


def z_score(fake: Tensor, held: Tensor) -> tuple[float, float]:
    """Mann and Whitney's U of distances [m] over distances [n], in its standard deviations.

    Below 0 where those of `fake` are the smaller ones. Returns the score, with the authors'
    correction for continuity, and its standard error with `held` fixed.
    """
    m, n = len(fake), len(held)
    held = held.sort().values
    below = torch.searchsorted(held, fake) + torch.searchsorted(held, fake, right=True)
    wins = below.double() / 2  # of each image over held-out ones; a tie is half of one
    spread = math.sqrt(n * m * (n + m + 1) / 12)
    return (
        float(wins.sum() - n * m / 2 + 0.5) / spread,
        math.sqrt(m) * float(wins.std()) / spread,
    )


class Score(NamedTuple):
    """C_T: near 0 where nothing is copied, far below where much is."""

    value: float
    stderr: float  # With the training and held-out images fixed
    null_std: float
    """Standard deviation of the value over all images where nothing is copied: that of a weighted
    mean of standard normal numbers, one a cell, so 1 for one cell alone."""


def c_t(sides: Sequence[Tensor], cells: Sequence[Tensor], count: int) -> Score:
    """Mean of the scores of `count` cells, weighted by the held-out images in them.

    Parameters
    ----------
    sides : sequence of Tensor
        Features [N, D] of training, held-out and generated images.
    cells : sequence of Tensor
        int64 [N]: the cell of each.
    """
    total, squares, score, variance = 0, 0, 0.0, 0.0
    for cell in range(count):
        train, held, fake = (x[at == cell] for x, at in zip(sides, cells, strict=True))
        if not len(train) or not len(held):
            raise UserError(
                f"one of --cells {count} holds no {'held-out' if len(train) else 'training'} image:"
                " use fewer cells, or more held-out images"
            )
        if len(fake) <= _FEWEST:
            continue
        z, stderr = z_score(nearest_of(fake, train)[0], nearest_of(held, train)[0])
        total += len(held)
        squares += len(held) ** 2
        score += len(held) * z
        variance += (len(held) * stderr) ** 2
    if not total:
        raise UserError(
            f"no cell holds more than {_FEWEST} generated images: use fewer --cells or more images"
        )
    return Score(score / total, math.sqrt(variance) / total, math.sqrt(squares) / total)


def principal(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean [D] and the first principal directions [D, count] of features [N, D], float64."""
    stats = FeatureStats.of(x, "")
    directions = np.linalg.eigh(stats.cov)[1][:, ::-1][:, :count]
    return torch.from_numpy(stats.mean).to(x.device), torch.tensor(directions.copy()).to(x.device)


def centres_of(x: Tensor, count: int, seed: int) -> Tensor:
    """Centres of the cells of features [N, D] by k-means, from images chosen at random."""
    centres = x[random_choice(seed, len(x), count)]
    for _ in range(_MOST_STEPS):
        cell = nearest_of(x, centres)[1]
        held = [x[cell == number] for number in range(count)]
        means = [part.mean(dim=0) if len(part) else centres[k] for k, part in enumerate(held)]
        if torch.equal(centres, torch.stack(means)):
            break
        centres = torch.stack(means)
    return centres


def ct(
    settings: CtSettings, fake: ImageFeatures, real: ImageFeatures, held_out: ImageFeatures
) -> list[Value]:
    """C_T of the first principal components of the training images, in cells of these."""
    train = real.tensor()
    if len(train) < settings.cells:
        raise UserError(f"--cells {settings.cells} of {len(train)} images: use fewer cells")
    sides = [train, held_out.tensor(), fake.tensor()]
    if settings.components < train.shape[1]:
        mean, directions = principal(train, settings.components)
        sides = [
            torch.cat([(part.double() - mean) @ directions for part in torch.split(x, _TILE)])
            for x in sides
        ]
    centres = centres_of(sides[0], settings.cells, settings.seed)
    cells = [nearest_of(x, centres)[1] for x in sides]
    value, stderr, null_std = c_t(sides, cells, settings.cells)
    return [
        Value(
            name=full_name("ct", settings, fake.detector, usual="inception"),
            value=value,
            stderr=known(stderr, value),
            protocol={"cells": str(settings.cells), "components": str(settings.components)},
            details={
                "null-std": f"{null_std:.4g}",
                "z": f"{value / null_std:.4g}",
                **(error_details() if known(stderr, value) else {}),
            },
        )
    ]
