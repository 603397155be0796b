"""Feature networks and perceptual distances by name, with their official weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, get_args

from stylegan_eval.errors import UserError
from stylegan_eval.networks import clip, inception, vgg16, vit
from stylegan_eval.settings.common import Features

if TYPE_CHECKING:
    import torch

    from stylegan_eval.networks.lpips import PerceptualDistance
    from stylegan_eval.networks.network import FeatureNetwork
    from stylegan_eval.settings.common import Precision


DETECTORS: tuple[Features, ...] = get_args(Features)
# Smallest image each network takes, in pixels: below, a pool would have nothing left to pool.
SMALLEST_IMAGE = MappingProxyType({"lpips-vgg": 16, "st-lpips-vgg": 18, "st-lpips-alex": 21})
OFFICIAL_WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "inception": inception.WEIGHTS_SHA256,
        vgg16.NAME: vgg16.WEIGHTS_SHA256,
        clip.NAME: clip.WEIGHTS_SHA256,
        **{name: release.sha256 for name, release in vit.DINOV2.items()},
    }
)


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
    """
    from stylegan_eval.engine.precision import check_precision

    check_precision(precision, device.type)
    if features not in DETECTORS:
        raise UserError(f"no features {features}: choose one of {', '.join(DETECTORS)}")
    if features == "inception":
        from stylegan_eval.networks.inception import load_inception

        return load_inception(weights, resize, device, precision)
    if features == "vgg16":
        from stylegan_eval.networks.vgg16 import load_vgg16

        return load_vgg16(weights, device, precision)
    if features.startswith("dinov2-"):
        from stylegan_eval.networks.vit import load_dinov2

        return load_dinov2(features, weights, device, precision)
    if features.startswith("clip-"):
        from stylegan_eval.networks.clip import load_clip

        return load_clip(weights, device, precision)
    if weights is not None:
        raise UserError(f"--weights does not apply to --features {features}: it brings its own")
    from stylegan_eval.networks.efficientnet import load_efficientnet

    return load_efficientnet(device, precision)


def check_image_size(name: str, height: int, width: int) -> None:
    """Check that the distance of this name takes images of this size."""
    smallest = SMALLEST_IMAGE[name]
    if min(height, width) < smallest:
        raise UserError(
            f"{name} takes images of {smallest}x{smallest} pixels and more, but gets"
            f" {height}x{width}: use a generator of higher resolution (or --crop none, if they are"
            " crops)"
        )


def load_distance(name: str, weights: Path | None, device: torch.device) -> PerceptualDistance:
    """Build the perceptual distance of this name on `device`.

    Parameters
    ----------
    name : {"lpips-vgg", "st-lpips-vgg", "st-lpips-alex"}
        Name of the distance.
    weights : Path or None
        VGG16 of torchvision for ``lpips-vgg``; None for the official file. The others bring
        their own.
    device : torch.device
        Where to run.
    """
    if name == "lpips-vgg":
        from stylegan_eval.networks.lpips import load_lpips

        return load_lpips(weights, device)
    if weights is not None:
        raise UserError(f"--weights applies to --distance lpips-vgg; {name} brings its own")
    from stylegan_eval.networks.lpips import load_stlpips

    return load_stlpips(name, device)


def why_not_lpips(weights: Path | None) -> str:
    """Why ``lpips-vgg`` cannot be had, downloading its backbone if need be; empty when it can.

    Weights that are given, or lie in the cache, are a wish for it: where they are damaged, loading
    them raises instead of passing to another distance.
    """
    from stylegan_eval.networks.lpips import backbone_is_cached, find_backbone, find_heads

    if weights is not None or backbone_is_cached():
        return ""
    try:
        find_heads()
        find_backbone()
    except UserError as error:
        return str(error)
    return ""
