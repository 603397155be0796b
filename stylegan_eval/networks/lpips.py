"""LPIPS and ST-LPIPS as embeddings whose squared distance they are."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_eval.engine.device import best_format, strict_float32
from stylegan_eval.engine.files import sha256_of
from stylegan_eval.engine.sampling import on_device
from stylegan_eval.engine.untrusted import parsing
from stylegan_eval.errors import UserError
from stylegan_eval.networks import NETWORKS
from stylegan_eval.networks.network import place
from stylegan_eval.networks.vgg16 import CHANNELS, STAGES, VggTrunk
from stylegan_eval.networks.weights import checkpoints_folder, packaged_file, read_weights
from stylegan_eval.plugins import resolve

# Added to the norm of a pixel's channels, outside the root: x / (|x| + 1e-10).
NORM_EPS = 1e-10
# Mean and deviation of ImageNet's colours, for images in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
NAME = "lpips-vgg"
BACKBONE = NETWORKS[NAME]
HEADS_SHA256 = "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"
# Where torchvision's `features` has its convolutions; ReLUs and pools lie between.
_CONVS = tuple(f"features.{n}" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28))
VGG, ALEX = "st-lpips-vgg", "st-lpips-alex"
_SHA256 = {
    VGG: "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
    ALEX: "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
}
_ALEX_NAMES = [f"net.slice{n}.{place}" for n, place in enumerate((0, 5, 9, 11, 13), start=1)]


class Embedding(Protocol):
    """All that path length asks of a perceptual distance."""

    @property
    def name(self) -> str:
        """Short name; results carry it."""

    @property
    def mark(self) -> str:
        """Its mark in the names of metrics; "" for official LPIPS."""

    @property
    def identity(self) -> str:
        """Equal identities, equal distances."""

    def embed(self, images: Tensor) -> Sequence[Tensor]:
        """Embed images [N, 3, H, W] in [-1, 1]: tensors [N, ...], together one point each."""


def _like(x: Tensor, values: Sequence[float]) -> Tensor:
    """Values in the type and on the device of `x`, which is not waited for."""
    return on_device(torch.tensor(values, dtype=x.dtype), x.device)


def squared_norm(parts: Sequence[Tensor]) -> Tensor:
    """Sum of squares of everything that belongs to each of N points: float64 [N].

    `parts`: [N, ...] each.
    """
    sums = [part.square().flatten(1).sum(dim=1, dtype=torch.float64) for part in parts]
    return torch.stack(sums).sum(dim=0)


def unit_channels(x: Tensor) -> Tensor:
    """Scale each pixel's channels to length 1, [N, C, H, W]; pixels without signal stay 0."""
    squares = x.square().sum(dim=1, keepdim=True)  # [N, 1, H, W]
    # The root has no derivative at 0, where the value is 0 all the same.
    return x / (squares.clamp_min(torch.finfo(x.dtype).tiny).sqrt() + NORM_EPS)


@dataclass(frozen=True, kw_only=True)
class PerceptualDistance:
    """A trunk of convolutions with a linear head on each of its feature maps."""

    name: str  # ``lpips-vgg``, ``st-lpips-vgg``, ``st-lpips-alex``
    mark: str  # What a metric's name must say of it; empty for official LPIPS
    weights_sha256: str  # Digest of the trunk's weights file
    trunk: nn.Module
    """Normalised images -> list of feature maps [N, C, H, W]; laid out by `best_format`. It must
    change nothing in place: forward-mode derivatives go through it."""
    roots: Sequence[Tensor]  # Square roots of the heads' weights, [C] per feature map
    device: torch.device  # Where it runs

    @property
    def identity(self) -> str:
        """Name and weights."""
        return f"{self.name} sha256={self.weights_sha256}"

    def embed(self, images: Tensor) -> list[Tensor]:
        """Embed images.

        Differentiable in forward mode; the caller chooses precision and gradient mode.

        [N, 3, H, W] in [-1, 1], neither clamped nor quantised -> [N, C, H', W'] per feature map.
        Squared differences, summed over all, are the distance.
        """
        shift, scale = (_like(images, c)[:, None, None] for c in (SHIFT, SCALE))
        x = ((images - shift) / scale).contiguous(memory_format=best_format(self.device))
        embedded = []
        for features, root in zip(self.trunk(x), self.roots, strict=True):
            pixels = features.shape[2] * features.shape[3]
            embedded.append(unit_channels(features) * (root / pixels**0.5)[:, None, None])
        return embedded

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances float64 [N] of images [N, 3, H, W] in [-1, 1], in strict float32."""
        with torch.no_grad(), strict_float32(self.device.type):
            embedded = self.embed(torch.cat([a, b]))  # [2 N, ...] each
        return squared_norm([part[: len(a)] - part[len(a) :] for part in embedded])

    def double(self) -> "PerceptualDistance":
        """A copy in float64, for checking the arithmetic."""
        return replace(
            self, trunk=deepcopy(self.trunk).double(), roots=[root.double() for root in self.roots]
        )


def head_roots(state: Mapping[str, Tensor], channels: Sequence[int], where: str) -> list[Tensor]:
    """Square roots [C] of the linear heads ``lin{k}.model.1.weight`` [1, C, 1, 1]."""
    roots = []
    for number, width in enumerate(channels):
        head = state.get(f"lin{number}.model.1.weight")
        if head is None or head.shape != (1, width, 1, 1):
            raise UserError(f"{where}: expected lin{number}.model.1.weight [1, {width}, 1, 1]")
        if bool((head < 0).any()):
            raise UserError(f"{where}: lin{number} has negative weights: no distance")
        roots.append(head.flatten().double().sqrt().float())
    return roots


def load_convs(
    convs: nn.ModuleList, state: Mapping[str, Tensor], names: Sequence[str], where: str
) -> None:
    """Give convolutions the weights and biases stored under `names`, in order."""
    for conv, name in zip(convs, names, strict=True):
        with parsing(where, f"{name} does not fit"):
            conv.load_state_dict(
                {key: state[f"{name}.{key}"].float() for key in ("weight", "bias")}, assign=True
            )


def _max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


def find_heads() -> Path:
    """Path of the linear heads."""
    return packaged_file("lpips", "weights/v0.1/vgg.pth", HEADS_SHA256, "lpips")


def why_not_lpips(weights: Path | None) -> str:
    """Why ``lpips-vgg`` cannot be had, downloading its backbone if need be; empty when it can.

    Weights that are given, or lie in the cache, are a wish for it: where they are damaged, loading
    them raises instead of passing to another distance.
    """
    cached = checkpoints_folder() / BACKBONE.url.rpartition("/")[2]
    if weights is not None or cached.exists():
        return ""
    try:
        find_heads()
        BACKBONE.official_weights()
    except UserError as error:
        return str(error)
    return ""


def load_lpips(weights: Path | None, device: torch.device) -> PerceptualDistance:
    """Read backbone and heads and build the distance.

    `weights`: state dict of a VGG16 in torchvision's naming; None fetches the official one.
    """
    heads = find_heads()
    path = weights or BACKBONE.official_weights()
    with torch.device("meta"):  # no initial values: they would come from the global generator
        trunk = VggTrunk(_max_pool)
    load_convs(trunk.convs, read_weights(path), _CONVS, f"{path}: not torchvision's VGG16")
    roots = head_roots(read_weights(heads), CHANNELS, str(heads))
    sha256 = sha256_of(path)
    return PerceptualDistance(
        name=NAME,
        mark="" if sha256 == BACKBONE.sha256 else f"weights:{sha256[:8]}",
        weights_sha256=sha256,
        trunk=place(trunk, device, "fp32"),
        roots=[root.to(device) for root in roots],
        device=device,
    )


def blur_down(x: Tensor) -> Tensor:
    """Smooth by [1, 2, 1] x [1, 2, 1] / 16 over a mirrored border of 2 and keep every second pixel.

    [N, C, H, W] -> [N, C, H // 2 + 1 or + 2, ...].
    """
    taps = _like(x, (1.0, 2.0, 1.0)) / 4
    kernel = (taps[:, None] * taps[None, :]).expand(x.shape[1], 1, 3, 3)  # [C, 1, 3, 3]
    return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def _pool2(x: Tensor) -> Tensor:
    return blur_down(F.max_pool2d(x, 2, stride=1))


def _pool3(x: Tensor) -> Tensor:
    return blur_down(F.max_pool2d(x, 3, stride=1))


class AlexTrunk(nn.Module):
    """AlexNet's convolutions at stride 1, blurred where the original strides."""

    channels = (64, 192, 384, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps [N, C, H', W'] after each of the five ReLUs."""
        conv1, conv2, conv3, conv4, conv5 = self.convs
        relu1 = F.relu(blur_down(conv1(x)))
        relu2 = F.relu(conv2(_pool3(relu1)))
        relu3 = F.relu(conv3(_pool3(relu2)))
        relu4 = F.relu(conv4(relu3))
        return [relu1, relu2, relu3, relu4, F.relu(conv5(relu4))]


def _vgg_names() -> list[str]:
    """Names of the convolutions: a stage begins with a pool and a blur, ReLUs lie between."""
    names, place = [], 0
    for number, stage in enumerate(STAGES, start=1):
        place += 2 if number > 1 else 0
        for _ in stage:
            names.append(f"net.slice{number}.{place}")
            place += 2
    return names


def load_stlpips(name: str, device: torch.device) -> PerceptualDistance:
    """Build the distance from the weights of the package ``stlpips-pytorch``."""
    net = name.removeprefix("st-lpips-")
    inner = f"weights/vST0.0/{net}_shift_tolerant.pth"
    path = packaged_file("stlpips_pytorch", inner, _SHA256[name], "demo")
    state = read_weights(path)
    trunk: VggTrunk | AlexTrunk
    with torch.device("meta"):  # no initial values: they would come from the global generator
        trunk = VggTrunk(_pool2) if name == VGG else AlexTrunk()
    load_convs(trunk.convs, state, _vgg_names() if name == VGG else _ALEX_NAMES, str(path))
    roots = head_roots(state, CHANNELS if name == VGG else AlexTrunk.channels, str(path))
    return PerceptualDistance(
        name=name,
        mark=name,
        weights_sha256=_SHA256[name],
        trunk=place(trunk, device, "fp32"),
        roots=[root.to(device) for root in roots],
        device=device,
    )


load_st_lpips_vgg = partial(load_stlpips, VGG)
load_st_lpips_alex = partial(load_stlpips, ALEX)


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
