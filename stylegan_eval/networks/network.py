"""A feature network with the provenance that results record."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from stylegan_eval.engine.device import (
    best_format,
    check_precision,
    computing_in,
    network_dtype,
    strict_float32,
)
from stylegan_eval.engine.sampling import on_device
from stylegan_eval.errors import UserError
from stylegan_eval.networks import NETWORKS, detectors
from stylegan_eval.plugins import code_of, resolve
from stylegan_eval.settings.common import Precision

# On a CPU, activations of more images than this no longer fit what the allocator keeps between
# calls: fetching fresh memory from the system cost 15 % of Inception's time in bfloat16.
CPU_IMAGES = 8


def place(network: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """Move a network to its device; its weights are converted and laid out once and for all."""
    network = network.eval().requires_grad_(requires_grad=False)
    network = network.to(device=device, dtype=network_dtype(precision))
    # Apart from the conversion: with both in one call PyTorch keeps the old layout.
    return network.to(memory_format=best_format(device, precision))


@dataclass(frozen=True, kw_only=True)
class FeatureNetwork:
    """A detector: preprocessing in float32 and a network."""

    name: str  # ``inception``, ``efficientnet-lite0``
    resize: str  # Name of the preprocessing rule
    weights_sha256: str  # Digest of the weights file
    feature_dim: int  # Length D of a feature vector
    preprocess: Callable[[Tensor], Tensor]  # uint8 [N, 3, H, W] -> float32 input of the network
    network: nn.Module  # Input -> features float32 [N, D]; from `place`
    device: torch.device  # Where it runs
    precision: Precision = "fp32"  # In which the network computes
    head: Tensor | None = None
    """float32 [C, D]: `logits` are features times this, where the network classifies."""
    head_bias: Tensor | None = None  # float32 [C], added to them
    code: str = ""  # Digest of the package that brings it; empty for this one

    @property
    def identity(self) -> str:
        """Name, preprocessing and weights; precision unless it is fp32, code of a package."""
        identity = f"{self.name} resize={self.resize} sha256={self.weights_sha256}"
        identity += f" code={self.code[:16]}" if self.code else ""
        return identity if self.precision == "fp32" else f"{identity} precision={self.precision}"

    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [N, D] of uint8 images [N, 3, H, W], on the network's device."""
        assert images.dtype == torch.uint8, images.dtype
        assert images.ndim == 4, images.shape
        assert images.shape[1] == 3, images.shape
        step = CPU_IMAGES if self.device.type == "cpu" else max(len(images), 1)
        with torch.inference_mode(), computing_in(self.precision, self.device.type):
            images = on_device(images, self.device)
            starts = range(0, max(len(images), 1), step)
            parts = [self._features(images[start : start + step]) for start in starts]
        return torch.cat(parts)

    def _features(self, images: Tensor) -> Tensor:
        layout = best_format(self.device, self.precision)
        x = self.preprocess(images).contiguous(memory_format=layout)
        features: Tensor = self.network(x.to(network_dtype(self.precision)))
        return features.float()

    def logits(self, features: Tensor) -> Tensor:
        """Class logits float32 [N, C] of features [N, D], in strict float32.

        Inception's have no bias, as the Inception Score wants them.
        """
        assert self.head is not None, f"{self.name} has no classes"
        with torch.inference_mode(), strict_float32(self.device.type):
            logits = features.to(self.device, torch.float32) @ self.head.T
            return logits if self.head_bias is None else logits + self.head_bias


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
    load: Callable[..., FeatureNetwork] = resolve(row.place)
    if not row.url:
        if weights is not None:
            raise UserError(f"--weights does not apply to --features {features}: it brings its own")
        network = load(device, precision)
    else:
        path = weights or row.official_weights()
        network = load(path, *([resize] if row.has_resizes else []), device, precision)
    return network if features in NETWORKS.own else replace(network, code=code_of(row.place))
