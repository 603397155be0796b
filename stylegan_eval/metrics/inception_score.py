"""Inception Score; with another classifier the same score of that network.

References
----------
Salimans et al., Improved Techniques for Training GANs, 2016, Section 4.
"""

from stylegan_eval.engine import statistics
from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.naming import Value, freedom_details, inception_name
from stylegan_eval.settings.image_metrics import IsSettings


def inception_score(settings: IsSettings, fake: ImageFeatures, _real: ImageFeatures) -> list[Value]:
    """Mean over the splits; papers print the splits' standard deviation beside it."""
    assert fake.classes is not None
    score = statistics.inception_score(fake.classes, settings.splits)
    value = Value(
        name=inception_name("is", "is", settings, fake.detector),
        value=score.mean,
        stderr=score.stderr,
        protocol={"splits": str(settings.splits)},
        details={"std": f"{score.std:.4g}", **freedom_details(score.freedom)},
    )
    return [value]
