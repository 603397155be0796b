"""Authenticity: the share of generated images that are no copies of training images.

References
----------
Alaa et al., How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing
Generative Models, 2022.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.naming import Value, error_details, full_name
from stylegan_eval.metrics.precision_recall import nearest_of
from stylegan_eval.results.significance import rate_stderr
from stylegan_eval.settings.image_metrics import AuthenticitySettings


class Nearest(NamedTuple):
    """The nearest training image of each generated one."""

    at: Tensor  # int64 [N]: its number
    distance: Tensor  # float32 [N]: how far it is
    own: Tensor  # float32 [N]: how far it is from the nearest other training image


def nearest_real(fake: Tensor, real: Tensor) -> Nearest:
    """Look for them among features [N, D] and [M, D], on one device; M is 2 or more."""
    distance, at = nearest_of(fake, real)
    found, place = torch.unique(at, return_inverse=True)
    return Nearest(at, distance, nearest_of(real[found], real, leave=1)[0][place])


def authenticity(
    settings: AuthenticitySettings, fake: ImageFeatures, real: ImageFeatures
) -> list[Value]:
    """Share of images farther from the nearest training image than that is from the next one."""
    near = nearest_real(fake.tensor(), real.tensor())
    share = float((near.distance > near.own).double().mean())
    return [
        Value(
            name=full_name("authenticity", settings, fake.detector, usual="inception"),
            value=share,
            # Given the training images, generated ones fall independently.
            stderr=rate_stderr(share, len(near.at)),
            details=error_details(),
        )
    ]
