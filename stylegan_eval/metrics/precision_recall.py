"""Improved precision and recall, through VGG16's fc2 by default.

References
----------
Kynkäänniemi et al., Improved Precision and Recall Metric, 2019, equations 1 and 2.
"""

import torch

from stylegan_eval.metrics import manifold
from stylegan_eval.metrics.image_metric import (
    Gathered,
    ImageMetric,
    Value,
    count_and_k,
    error_details,
    marks,
    suffix,
)
from stylegan_eval.settings.images import PrSettings


def precision_recall(settings: PrSettings, gathered: Gathered) -> list[Value]:
    """Precision with its standard error over generated images, and recall."""
    fake, real = (torch.from_numpy(x).to(gathered.device) for x in gathered.vectors())
    measured, note = manifold.measure(real, fake, settings.k, manifold.CLOSED)
    own = marks(settings, gathered.detector, usual="vgg16")
    name = f"pr{count_and_k(settings.num, settings.k)}{suffix(settings)}"
    precision = Value(
        name=f"{name}_precision{own}",
        value=measured.precision,
        stderr=measured.precision_stderr,
        details=error_details(),
        notes=[note],
    )
    return [precision, Value(name=f"{name}_recall{own}", value=measured.recall, notes=[note])]


METRIC = ImageMetric(fake=("vectors",), real=("vectors",), values=precision_recall)
