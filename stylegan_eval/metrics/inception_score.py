"""Inception Score; with another classifier the same score of that network.

References
----------
Salimans et al., Improved Techniques for Training GANs, 2016, Section 4.
"""

from stylegan_eval.engine import statistics
from stylegan_eval.metrics.naming import Gathered, ImageMetric, Value, inception_name
from stylegan_eval.settings.image_metrics import IsSettings


def inception_score(settings: IsSettings, gathered: Gathered) -> list[Value]:
    """Mean over the splits; papers print the splits' standard deviation beside it."""
    assert gathered.fake.classes is not None
    score = statistics.inception_score(gathered.fake.classes, settings.splits)
    value = Value(
        name=inception_name("is", "is", settings, gathered.detector),
        value=score.mean,
        stderr=score.stderr,
        protocol={"splits": str(settings.splits)},
        details={"std": f"{score.std:.4g}"},
    )
    return [value]


METRIC = ImageMetric(fake=("classes",), real=(), values=inception_score)
