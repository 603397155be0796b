"""Perceptual distances between images, one network family a file."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    import torch

    from stylegan_eval.perceptual.distance import PerceptualDistance

# Smallest image each network takes, in pixels: below, a pool would have nothing left to pool.
SMALLEST_IMAGE = MappingProxyType({"lpips-vgg": 16, "st-lpips-vgg": 18, "st-lpips-alex": 21})


def check_image_size(name: str, height: int, width: int) -> None:
    """Check that the distance of this name takes images of this size.

    Raises
    ------
    UserError
        They are too small.
    """
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

    Raises
    ------
    UserError
        The weights cannot be had or do not fit.
    """
    if name == "lpips-vgg":
        from stylegan_eval.perceptual.lpips import load_lpips

        return load_lpips(weights, device)
    if weights is not None:
        raise UserError(f"--weights applies to --distance lpips-vgg; {name} brings its own")
    from stylegan_eval.perceptual.stlpips import load_stlpips

    return load_stlpips(name, device)


def why_not_lpips(weights: Path | None) -> str:
    """Why ``lpips-vgg`` cannot be had, downloading its backbone if need be; empty when it can.

    Weights that are given, or lie in the cache, are a wish for it: where they are damaged, loading
    them raises instead of passing to another distance.
    """
    from stylegan_eval.perceptual.lpips import backbone_is_cached, find_backbone, find_heads

    if weights is not None or backbone_is_cached():
        return ""
    try:
        find_heads()
        find_backbone()
    except UserError as error:
        return str(error)
    return ""
