"""Digests of the weights files that a metric's plain name stands for."""

from collections.abc import Mapping
from types import MappingProxyType

from stylegan_eval.detectors import clip, inception, vgg16, vit

OFFICIAL_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "inception": inception.WEIGHTS_SHA256,
        vgg16.NAME: vgg16.WEIGHTS_SHA256,
        clip.NAME: clip.WEIGHTS_SHA256,
        **{name: release.sha256 for name, release in vit.DINOV2.items()},
    }
)
