"""Density and coverage, with the precision and recall of the same paper.

References
----------
Naeem et al., Reliable Fidelity and Diversity Metrics, 2020, equations 1 to 6.
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
from stylegan_eval.settings.images import PrdcSettings


def prdc(settings: PrdcSettings, gathered: Gathered) -> list[Value]:
    """The four numbers, of balls without their boundary."""
    fake, real = (torch.from_numpy(x).to(gathered.device) for x in gathered.vectors())
    measured, note = manifold.measure(real, fake, settings.k, manifold.OPEN)
    own = marks(settings, gathered.detector, usual="vgg16")
    name = f"prdc{count_and_k(settings.num, settings.k)}{suffix(settings)}"
    return [
        Value(
            name=f"{name}_{kind}{own}",
            value=value,
            stderr=stderr,
            details=error_details() if stderr else {},
            notes=[note],
        )
        for kind, value, stderr in (
            ("density", measured.density, measured.density_stderr),
            ("coverage", measured.coverage, None),
            ("precision", measured.precision, measured.precision_stderr),
            ("recall", measured.recall, None),
        )
    ]


METRIC = ImageMetric(fake=("vectors",), real=("vectors",), values=prdc)
