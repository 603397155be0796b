"""Feature networks, one a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from stylegan_eval.errors import UserError
from stylegan_eval.settings.images import Features

if TYPE_CHECKING:
    import torch

    from stylegan_eval.detectors.network import FeatureNetwork
    from stylegan_eval.settings.common import Precision

DETECTORS: tuple[Features, ...] = get_args(Features)


def load_detector(
    features: str,
    resize: str,
    weights: Path | None,
    device: torch.device,
    precision: Precision = "fp32",
) -> FeatureNetwork:
    """Build the feature network of this name on `device`.

    Parameters
    ----------
    features : str
        One of `DETECTORS`.
    resize : {"tf1", "pytorch-fid", "clean"}
        How images reach Inception's input size; the other networks have one rule each.
    weights : Path or None
        Weights file; None for the official one.
    device : torch.device
        Where to run.
    precision : {"fp32", "tf32", "bf16"}
        In which the network computes.

    Raises
    ------
    UserError
        The weights cannot be had or do not fit, or the device has no such precision.
    """
    from stylegan_eval.precision import check_precision

    check_precision(precision, device.type)
    if features not in DETECTORS:
        raise UserError(f"no features {features}: choose one of {', '.join(DETECTORS)}")
    if features == "inception":
        from stylegan_eval.detectors.inception import load_inception

        return load_inception(weights, resize, device, precision)
    if features == "vgg16":
        from stylegan_eval.detectors.vgg16 import load_vgg16

        return load_vgg16(weights, device, precision)
    if features.startswith("dinov2-"):
        from stylegan_eval.detectors.vit import load_dinov2

        return load_dinov2(features, weights, device, precision)
    if features.startswith("clip-"):
        from stylegan_eval.detectors.clip import load_clip

        return load_clip(weights, device, precision)
    if weights is not None:
        raise UserError(f"--weights does not apply to --features {features}: it brings its own")
    from stylegan_eval.detectors.efficientnet import load_efficientnet

    return load_efficientnet(device, precision)
