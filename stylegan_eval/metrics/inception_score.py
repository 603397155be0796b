"""Inception Score; with another classifier the same score of that network.

References
----------
Salimans et al., Improved Techniques for Training GANs, 2016, Section 4.
"""

from stylegan_eval.metrics import scores
from stylegan_eval.metrics.image_metric import Gathered, ImageMetric, Value, inception_name
from stylegan_eval.settings.images import IsSettings


def inception_score(settings: IsSettings, gathered: Gathered) -> list[Value]:
    """Mean over the splits; papers print the splits' standard deviation beside it."""
    assert gathered.fake.classes is not None
    score = scores.inception_score(gathered.fake.classes, settings.splits)
    value = Value(
        name=inception_name("is", "is", settings, gathered.detector),
        value=score.mean,
        stderr=score.stderr,
        protocol={"splits": str(settings.splits)},
        details={"std": f"{score.std:.4g}"},
    )
    return [value]


METRIC = ImageMetric(fake=("classes",), real=(), values=inception_score)
