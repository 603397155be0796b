"""Spatial FID: the Fréchet distance of Inception's features of 17x17 places.

References
----------
Nash et al., Generating Images with Sparse Representations, 2021.
Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, 2021 (the evaluator "ADM").
"""

from stylegan_eval.metrics.features import ImageFeatures
from stylegan_eval.metrics.fid import fid_values
from stylegan_eval.metrics.naming import Value, count_name, marks, suffix
from stylegan_eval.settings.image_metrics import SfidSettings


def sfid(settings: SfidSettings, fake: ImageFeatures, real: ImageFeatures) -> list[Value]:
    """As `fid`, of another layer."""
    own = marks(settings, fake.detector, usual="inception-spatial")
    name = f"sfid{count_name(settings.num)}{suffix(settings)}{own}"
    return fid_values(name, fake, real)[: 1 if settings.floor else 2]
