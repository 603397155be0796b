"""Fréchet distance between the features of generated and of real images.

With Inception's pool3 features it is the FID of the paper (Section 2.1): 50,000 generated images
without truncation against 50,000 real ones chosen at random, flipped at random when training
flipped them, everything quantised to bytes. With other features it is called by the network's name.

References
----------
Heusel et al., GANs Trained by a Two Time-Scale Update Rule, 2017, equation 6.
metrics/frechet_inception_distance.py of the official StyleGAN.
"""

from stylegan_eval.features import ImageFeatures
from stylegan_eval.metrics.frechet import FrechetTo
from stylegan_eval.metrics.image_metric import (
    Gathered,
    ImageMetric,
    Value,
    error_details,
    inception_name,
)
from stylegan_eval.metrics.uncertainty import estimate
from stylegan_eval.settings.images import FidSettings


def fid(settings: FidSettings, gathered: Gathered) -> list[Value]:
    """Distance with its standard error, and where images suffice its limit for infinitely many."""
    name = inception_name("fid", "fd", settings, gathered.detector)
    distance = FrechetTo(gathered.real.moments)
    note = _note(gathered.fake, gathered.real)
    if gathered.fake.stored is not None:
        return [Value(name=name, value=distance(gathered.fake.stored), notes=[note])]
    found = estimate(distance, gathered.fake.blocks)
    details = error_details() if found.stderr else {}
    value = Value(name=name, value=found.value, stderr=found.stderr, details=details, notes=[note])
    if settings.floor or found.limit is None:
        return [value]
    limit = Value(
        name=f"{name}_inf", value=found.limit, stderr=found.limit_stderr, details=details,
        notes=[note],
    )  # fmt: skip
    return [value, limit]


def _note(fake: ImageFeatures, real: ImageFeatures) -> str:
    counts = [n for n in (fake.moments.count, real.moments.count) if n is not None]
    dim = len(real.moments.mean)
    if min(counts, default=dim + 1) > dim:
        return ""
    return (
        f"{min(counts)} images do not span {dim} features: the value is biased upwards and compares"
        f" only with values of {min(counts)} images"
    )


METRIC = ImageMetric(fake=("moments",), real=("moments",), values=fid)
