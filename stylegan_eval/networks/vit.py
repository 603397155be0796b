"""Vision transformers, and DINOv2: the features of the Fréchet distance FD-DINOv2.

Letters: N images, T tokens, D width.

References
----------
Dosovitskiy et al., An Image is Worth 16x16 Words, 2021.
Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, 2023.
Stein et al., Exposing Flaws of Generative Model Evaluation Metrics, 2023 (FD-DINOv2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.networks.network import FeatureNetwork, place
from stylegan_eval.networks.preprocess import IMAGENET_MEAN, IMAGENET_STD, normalise, pillow_bicubic
from stylegan_eval.networks.weights import read_weights
from stylegan_eval.settings.common import Precision

PATCH = 14
DINOV2_SIZE = 224
DINOV2_EPS = 1e-6
# Added to the number of patches when positions are resampled, by the official code: a guard
# against rounding down that moves the samples a little.
OFFSET = 0.1


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Size and kind of a vision transformer."""

    width: int
    depth: int
    heads: int
    """width, depth, heads: Length D of a token, number of blocks, attention heads of each."""
    grid: int  # Patches along a side
    eps: float  # Of the layer norms
    activation: Callable[[Tensor], Tensor]  # Of the two-layer networks
    scaled: bool  # Whether each residual branch is scaled per channel (DINOv2)
    normed: bool
    """Whether the patches have no bias and the tokens are normed before the blocks (CLIP)."""


class LayerScale(nn.Module):
    """A factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, D] -> [N, T, D]."""
        return x * self.gamma


class Attention(nn.Module):
    """Self-attention with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, D] -> [N, T, D]."""
        n, tokens, width = x.shape
        qkv = self.qkv(x).view(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [N, heads, T, D / heads]
        # Written out: the fused kernels choose their own precision.
        weights = ((q * (width // self.heads) ** -0.5) @ k.mT).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, tokens, width))


class Mlp(nn.Module):
    """Two layers, four times as wide in between."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.activation = architecture.activation
        self.fc1 = nn.Linear(architecture.width, 4 * architecture.width)
        self.fc2 = nn.Linear(4 * architecture.width, architecture.width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, D] -> [N, T, D]."""
        return self.fc2(self.activation(self.fc1(x)))


class Block(nn.Module):
    """Attention and a two-layer network, each added to its normed input's origin."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width = architecture.width
        self.norm1 = nn.LayerNorm(width, eps=architecture.eps)
        self.attn = Attention(width, architecture.heads)
        self.norm2 = nn.LayerNorm(width, eps=architecture.eps)
        self.mlp = Mlp(architecture)
        self.ls1 = LayerScale(width) if architecture.scaled else nn.Identity()
        self.ls2 = LayerScale(width) if architecture.scaled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, D] -> [N, T, D]."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class VisionTransformer(nn.Module):
    """float32 [N, 3, H, W] -> the class token after the last norm, times `head`."""

    def __init__(self, architecture: Architecture, head: nn.Module) -> None:
        super().__init__()
        width, tokens = architecture.width, architecture.grid**2 + 1
        norm = partial(nn.LayerNorm, width, eps=architecture.eps)
        self.patch_embed = nn.Conv2d(3, width, PATCH, stride=PATCH, bias=not architecture.normed)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        self.norm_pre = norm() if architecture.normed else nn.Identity()
        self.blocks = nn.ModuleList([Block(architecture) for _ in range(architecture.depth)])
        self.norm = norm()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Features of a preprocessed input."""
        patches = self.patch_embed(x).flatten(2).mT  # [N, grid^2, D]
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1)
        tokens = self.norm_pre(tokens + self.pos_embed)  # [N, T, D]
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens[:, 0]))


DINOV2: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "dinov2-vits14": (384, 12, 6),
        "dinov2-vitb14": (768, 12, 12),
        "dinov2-vitl14": (1024, 24, 16),
    }
)  # width, depth and heads


def dinov2_input(images: Tensor) -> Tensor:
    """Pillow's bicubic to 224x224, rounded to bytes, then ImageNet's mean and deviation.

    uint8 [N, 3, H, W] -> float32 [N, 3, 224, 224].
    """
    return normalise(pillow_bicubic(images, DINOV2_SIZE), IMAGENET_MEAN, IMAGENET_STD)


def resample_positions(positions: Tensor, grid: int) -> Tensor:
    """Position embeddings [1, 1 + M^2, D] for `grid` x `grid` patches, as the official code does.

    Bicubic without antialiasing, at steps of M / (grid + 0.1); the class token's stays.
    """
    length, width = positions.shape[1:]
    side = round((length - 1) ** 0.5)
    if side == grid:
        return positions
    patches = positions[:, 1:].float().view(1, side, side, width).permute(0, 3, 1, 2)
    factor = (grid + OFFSET) / side
    patches = F.interpolate(patches, scale_factor=(factor, factor), mode="bicubic")
    assert patches.shape[2:] == (grid, grid), patches.shape
    return torch.cat([positions[:, :1].float(), patches.flatten(2).mT], dim=1)


def build_dinov2(state: Mapping[str, Any], width: int, depth: int, heads: int) -> VisionTransformer:
    """Network of this size with weights in the official layout.

    Raises
    ------
    KeyError, RuntimeError, AttributeError
        They do not fit.
    """
    architecture = Architecture(
        width=width, depth=depth, heads=heads, grid=DINOV2_SIZE // PATCH, eps=DINOV2_EPS,
        activation=F.gelu, scaled=True, normed=False,
    )  # fmt: skip
    # The mask token belongs to training.
    ours = {
        key.replace("patch_embed.proj.", "patch_embed."): value.float()
        for key, value in state.items()
        if key != "mask_token"
    }
    ours["pos_embed"] = resample_positions(ours["pos_embed"], architecture.grid)
    with torch.device("meta"):  # no initial values: they would come from the global generator
        network = VisionTransformer(architecture, nn.Identity())
    network.load_state_dict(ours, assign=True)
    return network


def load_dinov2(
    name: str, weights: Path, device: torch.device, precision: Precision = "fp32"
) -> FeatureNetwork:
    """Build the detector of this name from a state dictionary in the official layout."""
    width, depth, heads = DINOV2[name]
    state = read_weights(weights)
    with parsing(weights, f"not the official weights of {name}"):
        network = build_dinov2(state, width, depth, heads)
    return FeatureNetwork(
        name=name,
        resize=f"pillow-bicubic-{DINOV2_SIZE}",
        weights_sha256=sha256_of(weights),
        feature_dim=width,
        preprocess=dinov2_input,
        network=place(network, device, precision),
        device=device,
        precision=precision,
    )


load_dinov2_vits14 = partial(load_dinov2, "dinov2-vits14")
load_dinov2_vitb14 = partial(load_dinov2, "dinov2-vitb14")
load_dinov2_vitl14 = partial(load_dinov2, "dinov2-vitl14")
