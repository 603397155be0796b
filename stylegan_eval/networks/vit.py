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
from stylegan_eval.networks.network import FeatureNetwork, place
from stylegan_eval.networks.preprocess import IMAGENET_MEAN, IMAGENET_STD, normalise, pillow_bicubic
from stylegan_eval.networks.weights import fetch, fitting, read_weights
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


class Scale(nn.Module):
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
        self.ls1 = Scale(width) if architecture.scaled else nn.Identity()
        self.ls2 = Scale(width) if architecture.scaled else nn.Identity()

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


@dataclass(frozen=True, kw_only=True)
class Release:
    """A published network: its size and its weights file."""

    width: int
    depth: int
    heads: int
    sha256: str
    url: str


def _release(letter: str, width: int, depth: int, heads: int, sha256: str) -> Release:
    name = f"dinov2_vit{letter}14"
    url = f"https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth"
    return Release(width=width, depth=depth, heads=heads, sha256=sha256, url=url)


DINOV2: Mapping[str, Release] = MappingProxyType(
    {
        "dinov2-vits14": _release(
            "s", 384, 12, 6, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"
        ),
        "dinov2-vitb14": _release(
            "b", 768, 12, 12, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"
        ),
        "dinov2-vitl14": _release(
            "l", 1024, 24, 16, "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"
        ),
    }
)


def dinov2_input(images: Tensor) -> Tensor:
    """Pillow's bicubic to 224x224, rounded to bytes, then ImageNet's mean and deviation.

    Parameters
    ----------
    images : Tensor
        uint8 [N, 3, H, W].

    Returns
    -------
    Tensor
        float32 [N, 3, 224, 224].
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
    name: str, weights: Path | None, device: torch.device, precision: Precision = "fp32"
) -> FeatureNetwork:
    """Read the weights and build the detector.

    Parameters
    ----------
    name : str
        A key of `DINOV2`.
    weights : Path or None
        State dictionary in the official layout; None fetches the official one.
    device : torch.device
        Where to run.
    precision : {"fp32", "tf32", "bf16"}
        In which the network computes.
    """
    release = DINOV2[name]
    path = weights or fetch(release.url, release.sha256, advice="pass it with --weights FILE")
    state = read_weights(path)
    with fitting(path, f"the official weights of {name}"):
        network = build_dinov2(state, release.width, release.depth, release.heads)
    return FeatureNetwork(
        name=name,
        resize=f"pillow-bicubic-{DINOV2_SIZE}",
        weights_sha256=sha256_of(path),
        feature_dim=release.width,
        preprocess=dinov2_input,
        network=place(network, device, precision),
        device=device,
        precision=precision,
    )
