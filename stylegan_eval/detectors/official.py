"""Digests of the weights files that a metric's plain name stands for."""

from collections.abc import Mapping
from types import MappingProxyType

from stylegan_eval.detectors.inception import WEIGHTS_SHA256

OFFICIAL_WEIGHTS: Mapping[str, str] = MappingProxyType({"inception": WEIGHTS_SHA256})
