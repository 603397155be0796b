"""A perceptual distance as the square of a Euclidean distance between embeddings.

LPIPS compares unit-normalised channels, weighs the squared differences by a non-negative head and
averages over pixels. With the root of head over pixels put on the features, that is the plain
squared distance of two points, so one network pass per image gives all that is needed, and the
derivative of the embedding gives the distance of neighbours.

Shapes: N batch, C channels, H W pixels.

References
----------
Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018,
equation 1.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from stylegan_eval.errors import UserError
from stylegan_eval.precision import strict_float32
from stylegan_eval.untrusted import parsing

# Added to the norm of a pixel's channels, outside the root: x / (|x| + 1e-10).
NORM_EPS = 1e-10
# Mean and deviation of ImageNet's colours, for images in [-1, 1].
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


class Embedding(Protocol):
    """All that path length asks of a perceptual distance."""

    @property
    def name(self) -> str:
        """Short name; results carry it."""

    @property
    def mark(self) -> str:
        """What a metric's name must say of it; empty for official LPIPS."""

    @property
    def identity(self) -> str:
        """Equal identities, equal distances."""

    def embed(self, images: Tensor) -> Sequence[Tensor]:
        """Embed images [N, 3, H, W] in [-1, 1]: tensors [N, ...], together one point each."""


def squared_norm(parts: Sequence[Tensor]) -> Tensor:
    """Sum of squares of everything that belongs to each of N points: float64 [N].

    Parameters
    ----------
    parts : sequence of Tensor
        [N, ...] each.
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
    """A trunk of convolutions with a linear head on each of its feature maps.

    Attributes
    ----------
    name : str
        ``lpips-vgg``, ``st-lpips-vgg``, ``st-lpips-alex``.
    mark : str
        What a metric's name must say of it; empty for official LPIPS.
    weights_sha256 : str
        Digest of the trunk's weights file.
    trunk : nn.Module
        Normalised images -> list of feature maps [N, C, H, W]; in channels_last. It must change
        nothing in place: forward-mode derivatives go through it.
    roots : sequence of Tensor
        Square roots of the heads' weights, [C] per feature map.
    device : torch.device
        Where it runs.
    """

    name: str
    mark: str
    weights_sha256: str
    trunk: nn.Module
    roots: Sequence[Tensor]
    device: torch.device

    @property
    def identity(self) -> str:
        """Name and weights."""
        return f"{self.name} sha256={self.weights_sha256}"

    def embed(self, images: Tensor) -> list[Tensor]:
        """Embed images.

        Differentiable in forward mode; the caller chooses precision and gradient mode.

        Parameters
        ----------
        images : Tensor
            [N, 3, H, W] in [-1, 1], neither clamped nor quantised.

        Returns
        -------
        list of Tensor
            [N, C, H', W'] per feature map. Squared differences, summed over all, are the distance.
        """
        shift, scale = (images.new_tensor(c)[:, None, None] for c in (SHIFT, SCALE))
        x = ((images - shift) / scale).contiguous(memory_format=torch.channels_last)
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
    """Square roots [C] of the linear heads ``lin{k}.model.1.weight`` [1, C, 1, 1].

    Raises
    ------
    UserError
        A head is missing, of another width, or has negative weights.
    """
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
    """Give convolutions the weights and biases stored under `names`, in order.

    Raises
    ------
    UserError
        One is missing or of another shape.
    """
    for conv, name in zip(convs, names, strict=True):
        with parsing(where, f"{name} does not fit"):
            conv.load_state_dict(
                {key: state[f"{name}.{key}"].float() for key in ("weight", "bias")}, assign=True
            )
