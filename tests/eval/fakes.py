"""Generators and detectors with closed-form answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.protocols import LoadedGenerator

CPU = torch.device("cpu")


@dataclass(frozen=True)
class LinearGenerator:
    """Images that are a fixed linear map of z, plus a little of each noise map."""

    resolution: int = 16
    z_dim: int = 8
    noise_shapes: Sequence[tuple[int, int]] = ((4, 4), (16, 16))

    def mapping(self, z: Tensor) -> Tensor:
        return z[:, None]  # [N, 1, z_dim]

    def synthesis(self, ws: Tensor, noise: Sequence[Tensor]) -> Tensor:
        pixels = 3 * self.resolution**2
        rng = torch.Generator().manual_seed(0)
        basis = torch.randn(self.z_dim, pixels, generator=rng) / (2 * math.sqrt(self.z_dim))
        images = (ws[:, 0] @ basis).view(-1, 3, self.resolution, self.resolution)
        for layer in noise:
            images = images + 0.05 * layer.mean(dim=(2, 3), keepdim=True)
        return images


@dataclass(frozen=True)
class PixelDetector:
    """Features are the first pixels, divided by 255."""

    feature_dim: int = 12
    name: str = "pixels"
    identity: str = "pixels v1"
    weights_sha256: str = "00" * 32
    device: torch.device = CPU

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, : self.feature_dim].float() / 255


def load(path: Path, device: torch.device) -> LoadedGenerator | None:
    """Read a checkpoint of the kind `FAKE n`: a linear generator of resolution n."""
    words = path.read_bytes().split()
    if words[:1] != [b"FAKE"]:
        return None
    return LoadedGenerator(
        generator=LinearGenerator(resolution=int(words[1])),
        description="linear",
        sha256=sha256_of(path),
        mirrored=None if b"imported" in words else b"mirrored" in words,
    )
