"""Digests of the weights files that a metric's plain name stands for."""

from collections.abc import Mapping
from types import MappingProxyType

from stylegan_eval.detectors import inception, vgg16

OFFICIAL_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {"inception": inception.WEIGHTS_SHA256, "vgg16": vgg16.WEIGHTS_SHA256}
)
