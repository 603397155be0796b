"""Of each generated image the nearest real one, as a feature network sees them.

Letters: S samples, N real images, D features.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylegan_eval.blocks import Run
from stylegan_eval.detectors import load_detector
from stylegan_eval.evaluation.images import files_features
from stylegan_eval.evaluation.sources import pick_reals
from stylegan_eval.features import FeatureCollector
from stylegan_eval.images import ImageFiles, open_images
from stylegan_eval.metrics.manifold import distances
from stylegan_eval.settings.common import Sampling

if TYPE_CHECKING:
    from stylegan_eval.protocols import Detector

_TILE = 4096
_COMPARED = 1000  # real images whose own nearest neighbours give the scale


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest real image of a sample.

    Attributes
    ----------
    name : str
        Its file.
    distance : float
        Euclidean, between features.
    image : ndarray
        uint8 [3, H, W].
    """

    name: str
    distance: float
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Neighbourhood:
    """Real images and their features. Made by `open_neighbourhood`.

    Attributes
    ----------
    files : ImageFiles
        The images.
    detector : Detector
        Who sees them.
    vectors : Tensor
        float32 [N, D].
    typical : float
        Median distance of a real image from the nearest other one.
    """

    files: ImageFiles
    detector: "Detector"
    vectors: Tensor
    typical: float

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
    """Look at all real images, or find in the cache what was seen in them.

    Parameters
    ----------
    data : Path
        Folder or zip.
    features : str
        One of `detectors.DETECTORS`.
    weights : Path or None
        Of the feature network; None for the official ones.
    device : torch.device
        Where to compute.

    Raises
    ------
    UserError
        Images or weights cannot be had.
    """
    files = open_images(data)
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


def nearest_of(samples: Tensor, reals: Tensor, leave: int = 0) -> tuple[Tensor, Tensor]:
    """Distance and number of the nearest real image.

    Parameters
    ----------
    samples : Tensor
        [S, D].
    reals : Tensor
        [N, D] on the same device.
    leave : int
        How many nearer ones are passed over: 1 where samples are among the reals.

    Returns
    -------
    distances : Tensor
        float32 [S].
    indices : Tensor
        int64 [S].
    """
    centre = reals.mean(dim=0, dtype=torch.float64)
    best: list[tuple[Tensor, Tensor]] = []
    for start in range(0, len(reals), _TILE):
        tile = distances(samples, reals[start : start + _TILE], centre)  # [S, tile]
        few = tile.topk(min(leave + 1, tile.shape[1]), dim=1, largest=False)
        best.append((few.values, few.indices + start))
    values = torch.cat([found for found, _ in best], dim=1)
    order = values.argsort(dim=1, stable=True)[:, leave : leave + 1]
    indices = torch.cat([at for _, at in best], dim=1)
    return values.gather(1, order)[:, 0], indices.gather(1, order)[:, 0]


def typical_distance(reals: Tensor) -> float:
    """Median distance of real images, evenly chosen, from the nearest other one; NaN for one."""
    if len(reals) < 2:
        return float("nan")
    chosen = torch.linspace(0, len(reals) - 1, min(len(reals), _COMPARED)).long()
    return float(nearest_of(reals[chosen.to(reals.device)], reals, leave=1)[0].median())
