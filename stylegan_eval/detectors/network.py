"""A feature network with what a result must say about it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylegan_eval.precision import strict_float32


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork:
    """A detector: preprocessing and network, run in strict float32.

    Attributes
    ----------
    name : str
        ``inception``, ``efficientnet-lite0``.
    resize : str
        Name of the preprocessing rule.
    weights_sha256 : str
        Digest of the weights file.
    feature_dim : int
        Length D of a feature vector.
    preprocess : callable
        uint8 [N, 3, H, W] -> float32 input of the network.
    network : nn.Module
        Input -> features [N, D]; in evaluation mode and channels_last, on `device`.
    device : torch.device
        Where it runs.
    """

    name: str
    resize: str
    weights_sha256: str
    feature_dim: int
    preprocess: Callable[[Tensor], Tensor]
    network: nn.Module
    device: torch.device

    @property
    def identity(self) -> str:
        """Name, preprocessing and weights."""
        return f"{self.name} resize={self.resize} sha256={self.weights_sha256}"

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, D] of uint8 images [N, 3, H, W], on the network's device."""
        assert images.dtype == torch.uint8, images.dtype
        assert images.ndim == 4, images.shape
        assert images.shape[1] == 3, images.shape
        with torch.inference_mode(), strict_float32(self.device.type):
            x = self.preprocess(images.to(self.device))
            features: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return features
