"""Memorization-informed Fréchet distance: FID that counts copied training images.

References
----------
Bai et al., On Training Sample Memorization: Lessons from Benchmarking Generative Modeling with a
Large-scale Competition, 2021.
"""

import torch
from torch import Tensor

from stylegan_eval.errors import UserError
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.fid import details_of, few_images_note, fid_of
from stylegan_eval.metrics.naming import Value, inception_name
from stylegan_eval.settings.image_metrics import MifidSettings

TILE = 2048
_NO_ZERO = 1e-14  # Added to the distance, as in the competition


def memorization_distance(fake: Tensor, real: Tensor) -> float:
    """Cosine distance 1 - |cos| of a generated image from its nearest real one, mean over images.

    `fake`, `real`: features [N, D] and [M, D], on one device; rows that are 0 do not count. Returns
    0 (copies, but for rounding) to 1.
    """
    x, y = (_directions(side) for side in (fake, real))
    if not len(x) or not len(y):
        raise UserError("all features of a side are 0: use other --features")
    nearest = torch.zeros(len(x), dtype=torch.float64, device=x.device)  # the largest |cos|
    for row in range(0, len(x), TILE):
        rows = nearest[row : row + TILE]
        for column in range(0, len(y), TILE):
            cosines = x[row : row + TILE] @ y[column : column + TILE].T
            torch.maximum(rows, cosines.abs_().amax(dim=1), out=rows)
    return float((1 - nearest).clamp(min=0).mean())


def _directions(x: Tensor) -> Tensor:
    """float64, rows of length 1."""
    return torch.nn.functional.normalize(x[(x != 0).any(dim=1)].double())


def mifid(settings: MifidSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """Fréchet distance over the memorization distance, which counts as 1 from the threshold on."""
    apart = memorization_distance(fake.tensor(), real.tensor())
    distance = fid_of(fake, real)
    details = {"memorization-distance": f"{apart:.4g}"}
    notes = [few_images_note(fake, real)]
    value, stderr = distance.value, distance.stderr
    if apart < settings.threshold:
        value, stderr = value / (apart + _NO_ZERO), None
        notes.append(
            f"the images lie at {apart:.2g} from their nearest real ones, below the threshold"
            f" {settings.threshold:g}: the Fréchet distance is divided by that, and there is no"
            " standard error"
        )
    else:
        details |= details_of(distance, stderr, fake)
    return [
        Value(
            name=inception_name("mifid", "mifd", settings, fake.detector),
            value=value,
            stderr=stderr,
            protocol={"threshold": f"{settings.threshold:g}"},
            details=details,
            notes=notes,
        )
    ]
