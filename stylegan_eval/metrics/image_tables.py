"""Tables of single images: what each adds to a Fréchet distance, and pairs that may be copies."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylegan_eval.engine.progress import progress_bar
from stylegan_eval.engine.stats_file import StoredStats
from stylegan_eval.metrics.authenticity import nearest_real
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.frechet import FrechetTo, Gaussian
from stylegan_eval.metrics.image_pass import Images, name_of
from stylegan_eval.results.image_tables import SIDES, ImageInfluence, ImagePair, write_table

_TILE = 4096


def influence(vectors: NDArray[np.floating], own: Gaussian, other: Gaussian) -> NDArray[np.float64]:
    """By how much the distance of two Gaussians would fall without each vector, to first order.

    IF(x) / N, of mean 0, see `fid`; the root of the sum of squares is about the standard error.

    Parameters
    ----------
    vectors : NDArray
        All those [N, D] whose moments are `own`.
    """
    _, gradient = FrechetTo(other).with_gradient(own)
    parts = []
    with progress_bar(desc="influence of images", total=len(vectors), unit="img") as bar:
        for start in range(0, len(vectors), _TILE):
            shift = vectors[start : start + _TILE] - own.mean  # [n, D]
            parts.append(shift @ gradient.mean + ((shift @ gradient.cov) * shift).sum(axis=1))
            bar.update(len(shift))
    of_one = np.concatenate(parts)
    return (of_one - of_one.mean()) / len(of_one)


def image_influences(
    images: tuple[Images | StoredStats, Images | StoredStats],
    features: tuple[ImageFeatures, ImageFeatures],
) -> Iterator[ImageInfluence]:
    """Rows of the generated and of the real images, of each those first that add the most.

    A side that is statistics has none.
    """
    for side, shown, seen, other in zip(SIDES, images, features, reversed(features), strict=True):
        if isinstance(shown, StoredStats):
            continue
        assert seen.vectors is not None
        added = influence(seen.vectors, seen.moments, other.moments)
        for number in np.argsort(-added, kind="stable").tolist():
            yield ImageInfluence(side, *name_of(shown, number), float(added[number]))


def image_pairs(
    images: tuple[Images | StoredStats, Images | StoredStats],
    features: tuple[ImageFeatures, ImageFeatures],
) -> Iterator[ImagePair]:
    """Each generated image and its nearest training image, likely copies first."""
    near = nearest_real(*(side.tensor() for side in features))
    ratio = near.distance.double() / near.own.double()  # 0 / 0: a copy of what is there twice
    for number in ratio.nan_to_num(nan=0.0, posinf=math.inf).argsort(stable=True).tolist():
        real, _ = name_of(images[1], int(near.at[number]))
        numbers = float(near.distance[number]), float(near.own[number])
        yield ImagePair(*name_of(images[0], number), real, *numbers)


def write_tables(
    paths: Mapping[str, Path | None],
    images: tuple[Images | StoredStats, Images | StoredStats | None],
    features: tuple[ImageFeatures, ImageFeatures],
) -> dict[str, str]:
    """Write the tables of a metric that are asked for; digests for `details` of the rows.

    `paths` are by the name of the table, None where it is not asked for.
    """
    written: dict[str, str] = {}
    fakes, reals = images
    if reals is None:
        return written
    if (path := paths.get("influence")) is not None:
        written["influence"] = write_table(path, image_influences((fakes, reals), features))
    if (path := paths.get("pairs")) is not None:
        written["pairs"] = write_table(path, image_pairs((fakes, reals), features))
    return written
