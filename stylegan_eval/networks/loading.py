"""Feature networks and perceptual distances by name."""

from pathlib import Path

import torch

from stylegan_eval.engine.precision import check_precision
from stylegan_eval.errors import UserError
from stylegan_eval.networks import NETWORKS, detectors
from stylegan_eval.networks.lpips import PerceptualDistance
from stylegan_eval.networks.network import FeatureNetwork
from stylegan_eval.plugins import resolve
from stylegan_eval.settings.common import Precision


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
        One of `detectors`.
    resize : {"tf1", "pytorch-fid", "clean"}
        How images reach Inception's input size; the other networks have one rule each.
    weights : Path or None
        Weights file; None for the official one.
    """
    check_precision(precision, device.type)
    if features not in detectors():
        raise UserError(f"no features {features}: choose one of {', '.join(detectors())}")
    row = NETWORKS[features]
    load = resolve(row.place)
    if not row.url:
        if weights is not None:
            raise UserError(f"--weights does not apply to --features {features}: it brings its own")
        return load(device, precision)
    path = weights or row.official_weights()
    return load(path, *([resize] if row.has_resizes else []), device, precision)


def check_image_size(name: str, height: int, width: int) -> None:
    """Check that the distance of this name takes images of this size."""
    smallest = NETWORKS[name].smallest
    if min(height, width) < smallest:
        raise UserError(
            f"{name} takes images of {smallest}x{smallest} pixels and more, but gets"
            f" {height}x{width}: use a generator of higher resolution (or --crop none, if they are"
            " crops)"
        )


def load_distance(name: str, weights: Path | None, device: torch.device) -> PerceptualDistance:
    """Build the perceptual distance of this name, one of `DISTANCES`, on `device`.

    `weights`: VGG16 of torchvision for ``lpips-vgg``; None for the official file. The others bring
    their own.
    """
    row = NETWORKS[name]
    load = resolve(row.place)
    if weights is not None and not row.url:
        raise UserError(f"--weights applies to --distance lpips-vgg; {name} brings its own")
    return load(weights, device) if row.url else load(device)
