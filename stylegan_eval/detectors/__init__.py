"""Feature networks, one a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stylegan_eval.errors import UserError

if TYPE_CHECKING:
    import torch

    from stylegan_eval.detectors.network import FeatureNetwork


def load_detector(
    features: str, resize: str, weights: Path | None, device: torch.device
) -> FeatureNetwork:
    """Build the feature network of this name on `device`.

    Parameters
    ----------
    features : {"inception", "efficientnet-lite0"}
        Name of the network.
    resize : {"tf1", "pytorch-fid"}
        How images reach Inception's input size.
    weights : Path or None
        Weights file for Inception; None for the official one.
    device : torch.device
        Where to run.

    Raises
    ------
    UserError
        The weights cannot be had or do not fit.
    """
    if features == "inception":
        from stylegan_eval.detectors.inception import load_inception

        return load_inception(weights, resize, device)
    if weights is not None:
        raise UserError(f"--weights applies to --features inception; {features} brings its own")
    from stylegan_eval.detectors.efficientnet import load_efficientnet

    return load_efficientnet(device)
