"""Kernel Inception Distance; with other features the kernel distance of that network.

References
----------
Binkowski et al., Demystifying MMD GANs, 2018, Section 4.
"""

import torch

from stylegan_eval.metrics.image_metric import (
    Gathered,
    ImageMetric,
    Value,
    error_details,
    inception_name,
)
from stylegan_eval.metrics.kernel import kernel_distance
from stylegan_eval.metrics.mmd_variance import FEWEST
from stylegan_eval.sampling import Stream, random_stream
from stylegan_eval.settings.images import KidSettings


def kid(settings: KidSettings, gathered: Gathered) -> list[Value]:
    """Mean over random subsets, which the seed draws."""
    fake, real = (torch.from_numpy(x).to(gathered.device) for x in gathered.vectors())
    distance = kernel_distance(
        fake,
        real,
        rng=random_stream(settings.seed, 1, Stream.SUBSET),
        subsets=settings.subsets,
        subset_size=settings.subset_size,
    )
    value = Value(
        name=inception_name("kid", "kd", settings, gathered.detector),
        value=distance.mean,
        stderr=distance.stderr,
        protocol={"subsets": f"{settings.subsets}x{settings.subset_size}"},
        details={"std": f"{distance.std:.4g}", **error_details(distance.stderr_redrawn)},
        notes=[] if distance.stderr else [_NO_ERROR],
    )
    return [value]


_NO_ERROR = f"no standard error: it takes subsets of {FEWEST} unlike images or more"
METRIC = ImageMetric(fake=("vectors",), real=("vectors",), values=kid)
