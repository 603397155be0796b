"""Improved precision and recall, through VGG16's fc2 by default.

References
----------
Kynkäänniemi et al., Improved Precision and Recall Metric, 2019, equations 1 and 2.
"""

import math

import torch

from stylegan_eval.metrics import manifold
from stylegan_eval.metrics.image_metric import (
    Gathered,
    ImageMetric,
    Value,
    count_and_k,
    marks,
    suffix,
)
from stylegan_eval.settings.images import PrSettings


def precision_recall(settings: PrSettings, gathered: Gathered) -> list[Value]:
    """Precision with its standard error over generated images, and recall."""
    fake, real = (torch.from_numpy(x).to(gathered.device) for x in gathered.vectors())
    precision, recall = manifold.precision_recall(real, fake, settings.k)
    own = marks(settings, gathered.detector, usual="vgg16")
    name = f"pr{count_and_k(settings.num, settings.k)}{suffix(settings)}"
    # Given the real images, generated ones lie in their balls independently of each other.
    stderr = math.sqrt(precision * (1 - precision) / len(fake))
    return [
        Value(name=f"{name}_precision{own}", value=precision, stderr=stderr),
        Value(name=f"{name}_recall{own}", value=recall),
    ]


METRIC = ImageMetric(fake=("vectors",), real=("vectors",), values=precision_recall)
